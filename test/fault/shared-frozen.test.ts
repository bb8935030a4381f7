import { describe, expect, test } from 'vitest';
import { Depot, Parcels, SHARED_BACKENDS, type SharedBackend } from './depot.ts';
import { SEED, SOAK } from './random.ts';
import type { Attempt } from './runner.ts';

const parcels = new Parcels(SEED + 12, 60_000, 4);
const ARGS = ['--splits', '4', '--invocation', 'nightly'];

const PLACES = [
  ['with the work cut and nothing written', 'cut'],
  ['with a split claimed', 'claimed:2'],
  ['while it reads', 'read:2'],
  ['before a commit', 'commit:2'],
  ['behind a commit', 'committed:3'],
  ['while it publishes a part', 'publish:2'],
  ['before it says that a split is done', 'done:2'],
  ['behind that', 'marked:2'],
  ['before it finishes the run', 'finishing'],
  ['while it merges', 'merging:2'],
  ['with the parts merged and gone', 'parted'],
  ['with all of it published', 'finish'],
] as const;

/** One worker sleeps, another one finishes the run: one alone, that is never overtaken itself, however busy the machine is. */
async function outlived(backend: SharedBackend, place: string): Promise<{ depot: Depot; sleeper: Attempt }> {
  for (;;) {
    const depot = await Depot.open(parcels, { backend, pace: 0, lockTimeout: '1s' });
    const sleeper = depot.worker(ARGS, { env: { OXIFLOW_STOP_AT: place } });
    await sleeper.untilFrozen();
    const { code, stderr } = await depot.worker(ARGS).ended;
    if (code === 0) return { depot, sleeper };
    // By chance it fell asleep with a transaction of its other thread open: nobody gets by.
    expect(backend === 'sqlite' && code === 69, stderr).toBe(true);
    expect(stderr).toContain('locked by another program');
    sleeper.kill();
    await sleeper.ended;
    depot.remove();
  }
}

// Most of the time of each is the lease's: several at once.
describe.each(SHARED_BACKENDS)('a worker of a shared run that sleeps beyond its lease, state in %s', (backend) => {
  // On SQLite at all of them, on the others at every second one; with `npm run soak` everywhere.
  const odd = backend === 'file' ? 0 : 1;
  const places = PLACES.filter((_, i) => SOAK > 0 || backend === 'sqlite' || i % 2 === odd);

  test.concurrent.each(places)(
    '%s changes nothing more when another one has finished',
    async (when, place) => {
      const { depot, sleeper } = await outlived(backend, place);
      await depot.expectDone(when);
      const before = await depot.footprint();

      sleeper.kill('SIGCONT');
      const { code, stderr } = await sleeper.ended;
      // Whoever sleeps with a split that is done, or not begun, may find that it has lost nothing.
      expect(/^(claimed|done|marked)/.test(place) ? [0, 75] : [75], stderr).toContain(code);
      expect(await depot.footprint(), stderr).toEqual(before);
      await depot.expectDone(when);
      // And nobody believes that there is something left to do.
      const later = await depot.worker(ARGS).ended;
      expect(later.code, later.stderr).toBe(0);
      expect(later.stderr).toContain('has finished under this invocation');
      await depot.expectDone(when);
      depot.remove();
    },
    60_000,
  );
});
