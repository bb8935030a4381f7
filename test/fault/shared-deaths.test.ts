/** Workers of a shared run that all die, come at once, or come when there is next to nothing left to do. */
import { describe, expect, test } from 'vitest';
import { Depot, Parcels, SHARED_BACKENDS } from './depot.ts';
import { SEED, SOAK } from './random.ts';
import type { Attempt, Ended } from './runner.ts';

const parcels = new Parcels(SEED + 13, 1_200_000);
const few = new Parcels(SEED + 14, 20_000, 2);
/** On each backend, so that there are twenty of all together. */
const ROUNDS = 7 * Math.max(1, SOAK);
const CUT = /the work is cut into \d+ split/g;

const isAtWork = ({ events }: Attempt): boolean => events.some(({ type }) => type === 'checkpoint');

function expectAll(ended: readonly Ended[], code: number): void {
  for (const one of ended) expect(one.code, one.stderr).toBe(code);
}

/** How often somebody has cut the work. */
function cuts(ended: readonly Ended[]): number {
  return ended.flatMap(({ stderr }) => [...stderr.matchAll(CUT)]).length;
}

describe.each(SHARED_BACKENDS)('shared runs, state in %s', (backend) => {
  test('all three workers die at once; three others go on from their checkpoints', async () => {
    const depot = await Depot.open(parcels, { backend, pace: 0.01 });
    const first = [0, 1, 2].map(() => depot.worker());
    await Promise.all(first.map((worker) => worker.until('it works', isAtWork)));
    for (const worker of first) worker.kill();
    for (const { signal } of await Promise.all(first.map(({ ended }) => ended))) expect(signal).toBe('SIGKILL');
    expect((await depot.run())?.status).toBe('running');
    const next = await Promise.all([0, 1, 2].map(() => depot.worker().ended));
    expectAll(next, 0);
    expect(cuts(next)).toBe(0);
    await depot.expectDone('all died');
    depot.remove();
  }, 60_000);

  test(
    'two that begin at the same instant share one run, again and again',
    async () => {
      for (let round = 0; round < ROUNDS; round++) {
        const depot = await Depot.open(few, { backend, pace: 0 });
        const both = await Promise.all(
          [0, 1].map(() => depot.worker(['--splits', '4', '--invocation', 'nightly']).ended),
        );
        expectAll(both, 0);
        expect(cuts(both)).toBe(1);
        await depot.expectDone(`round ${round}`);
        const { attempts } = await depot.groups();
        expect(attempts).toBe(4);
        depot.remove();
      }
    },
    60_000 * Math.max(1, SOAK),
  );

  test('of three that start it over under one invocation, one does', async () => {
    const depot = await Depot.open(few, { backend, pace: 0 });
    expectAll([await depot.worker(['--invocation', 'monday']).ended], 0);
    const monday = await depot.run();
    const args = ['--fresh', '--invocation', 'tuesday'];
    const three = await Promise.all([0, 1, 2].map(() => depot.worker(args).ended));
    expectAll(three, 0);
    expect(cuts(three)).toBe(1);
    const tuesday = await depot.run();
    expect(tuesday?.invocation).toBe('tuesday');
    expect(tuesday?.run_id).not.toBe(monday?.run_id);
    await depot.expectDone('tuesday');
    // One that comes late does not start it over once more.
    const late = await depot.worker(args).ended;
    expect(late.stderr).toContain('has finished under this invocation');
    expect((await depot.run())?.run_id).toBe(tuesday?.run_id);
    depot.remove();
  }, 60_000);

  test('eight workers on one split: one works, seven wait, and all end with the run', async () => {
    const depot = await Depot.open(few, { backend });
    depot.hold();
    const eight = [...Array(8).keys()].map(() => depot.worker(['--splits', '1']));
    await Promise.all(eight.map((worker) => worker.until('it has joined', ({ events }) => events.length > 0)));
    depot.goOn();
    const ended = await Promise.all(eight.map((worker) => worker.ended));
    expectAll(ended, 0);
    expect(cuts(ended)).toBe(1);
    expect((await depot.groups()).attempts).toBe(1);
    await depot.expectDone('eight');
    depot.remove();
  }, 60_000);

  test('one that joins while another finishes the run waits for that, and ends with it', async () => {
    const depot = await Depot.open(few, { backend, pace: 0 });
    const finisher = depot.worker([], { env: { OXIFLOW_STOP_AT: 'noted' } });
    await finisher.untilFrozen();
    const joiner = depot.worker();
    const status = await depot.verb('status', '--run-key', 'parcels', '--json');
    expect(JSON.parse(status)).toMatchObject({ status: 'finishing' });
    finisher.kill('SIGCONT');
    const ended = [await finisher.ended, await joiner.ended];
    expectAll(ended, 0);
    await depot.expectDone('finishing');
    depot.remove();
  }, 60_000);
});
