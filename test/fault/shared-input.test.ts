/** Input that is not what it was when the work was cut, or that nobody can read. */
import { describe, expect, test } from 'vitest';
import { Depot, differenceOf, Parcels, SHARED_BACKENDS, seqsIn } from './depot.ts';
import { SEED } from './random.ts';

const parcels = new Parcels(SEED + 18, 240_000, 6);
const ARGS = ['--splits', '6', '--invocation', 'nightly'];
/** In a split that is not begun while the first one is held. */
const SMALL = 'in/005.ndjson';
const LARGE = 'in/006.ndjson';

/** The large file with a weight that is none, as long as it was, and whose that is. */
function poisoned(): { text: string; seq: number } {
  const lines = (parcels.files[LARGE] as string).split('\n');
  const at = lines.findIndex((line, i) => i >= 5 && /"kg":\d\d/.test(line));
  const line = lines[at] as string;
  lines[at] = line.replace(/"kg":\d\d/, '"kg":""');
  return { text: lines.join('\n'), seq: (JSON.parse(line) as { seq: number }).seq };
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
      expect(depot.outputs()).not.toContain('weighed.ndjson');
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
    ['the record is mended', []],
    ['a change of the plan is accepted', ['--accept-changes']],
  ])(
    'a record that nobody can take stops its split; the others are done, and once %s only that one is left',
    async (how, args) => {
      const depot = await Depot.open(parcels, { backend });
      const { text, seq } = poisoned();
      depot.write({ [LARGE]: text });
      depot.hold();
      const three = [0, 1, 2].map(() => depot.worker(ARGS));
      await Promise.all(three.map((worker) => worker.until('it has joined', ({ events }) => events.length > 0)));
      depot.goOn();
      const ended = await Promise.all(three.map((worker) => worker.ended));
      for (const { code, stderr } of ended) expect(code, stderr).toBe(3);
      // One of them has tried it, the others are told.
      const told = ended.filter(({ stderr }) => /split \d failed, at worker/.test(stderr));
      expect(told.length).toBe(2);
      const left = await depot.left();
      expect(left.length).toBe(1);
      expect((await depot.run())?.status).toBe('failed');
      expect(depot.outputs()).not.toContain('weighed.ndjson');
      const { attempts } = await depot.groups();

      const isMended = args.length === 0;
      if (isMended) depot.write({ [LARGE]: parcels.files[LARGE] as string });
      else depot.change({ filter: { on_error: 'drop' } });
      const again = await depot.worker([...ARGS, ...args]).ended;
      expect(again.code, again.stderr).toBe(0);
      // With another plan, what had no checkpoint is begun anew.
      expect((await depot.groups()).attempts).toBeLessThanOrEqual(attempts + 1);
      if (isMended) await depot.expectDone(how);
      else
        expect(differenceOf(seqsIn(depot.read('weighed.ndjson')), parcels.weighed)).toEqual({
          missing: [seq],
          extra: [],
        });
      depot.remove();
    },
    60_000,
  );
});
