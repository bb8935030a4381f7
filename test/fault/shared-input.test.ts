/** Input that is not what it was when the work was cut, or that nobody can read. */
import { describe, expect, test } from 'vitest';
import { Depot, Parcels, SHARED_BACKENDS } from './depot.ts';
import { SEED } from './random.ts';

const parcels = new Parcels(SEED + 18, 240_000, 6);
const ARGS = ['--splits', '6', '--invocation', 'nightly'];
const SMALL = 'in/001.ndjson';
const LARGE = 'in/006.ndjson';

/** The text with its `nth` line changed, as many bytes as before. */
function changed(text: string, nth: number, change: (line: string) => string): string {
  const lines = text.split('\n');
  const line = lines[nth] as string;
  lines[nth] = change(line).padEnd(line.length);
  return lines.join('\n');
}

describe.each(SHARED_BACKENDS)('state in %s', (backend) => {
  test.each([
    ['a file', SMALL, 2],
    ['a range of a file', LARGE, -30],
  ])(
    '%s that changes between two splits is refused; nothing of it is published',
    async (_what, name, at) => {
      const depot = await Depot.open(parcels, { backend, pace: 0 });
      depot.hold();
      const worker = depot.worker(ARGS);
      await worker.until('it has joined', ({ events }) => events.length > 0);
      const before = parcels.files[name] as string;
      const nth = at < 0 ? before.split('\n').length + at : at;
      // Longer by a parcel that nobody expects.
      const lines = before.split('\n');
      lines.splice(nth, 0, '{"seq":-1,"kg":50,"to":"nobody"}');
      depot.write({ [name]: lines.join('\n') });
      depot.goOn();
      const { code, stderr } = await worker.ended;
      expect(code, stderr).toBe(2);
      expect(stderr).toContain(name);
      expect(depot.outputs().filter((output) => output === 'weighed.ndjson')).toEqual([]);
      for (const output of depot.outputs()) expect(depot.read(output), output).not.toContain('"seq":-1');

      depot.write({ [name]: before });
      const again = await depot.worker(ARGS).ended;
      expect(again.code, again.stderr).toBe(0);
      await depot.expectDone('put back');
      depot.remove();
    },
    60_000,
  );

  test.each([
    ['the record is mended', {}, []],
    ['the plan is, and that is accepted', { on_error: 'drop' }, ['--accept-changes']],
  ])(
    'a record that nobody can take stops its split; the others are done, and once %s only that one is left',
    async (_how, more, args) => {
      const depot = await Depot.open(parcels, { backend });
      const before = parcels.files[LARGE] as string;
      depot.write({ [LARGE]: changed(before, 5, (line) => line.replace('"kg":', '"kg"?')) });
      const three = [0, 1, 2].map(() => depot.worker(ARGS));
      for (const { code, stderr } of await Promise.all(three.map(({ ended }) => ended))) expect(code, stderr).toBe(3);
      const left = await depot.left();
      expect(left.length).toBe(1);
      expect((await depot.run())?.status).toBe('failed');
      expect(depot.outputs().filter((output) => output === 'weighed.ndjson')).toEqual([]);
      const { attempts } = await depot.groups();

      if (args.length === 0) depot.write({ [LARGE]: before });
      else depot.change({ parse_json: more });
      const again = await depot.worker([...ARGS, ...args]).ended;
      expect(again.code, again.stderr).toBe(0);
      expect((await depot.groups()).attempts).toBe(attempts + 1);
      if (args.length === 0) await depot.expectDone(_how);
      else expect(await depot.left()).toEqual([]);
      depot.remove();
    },
    60_000,
  );
});
