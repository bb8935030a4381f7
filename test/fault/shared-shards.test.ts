import { describe, expect, test } from 'vitest';
import { Depot, Parcels, SHARED_BACKENDS } from './depot.ts';
import { SEED } from './random.ts';

const parcels = new Parcels(SEED + 15, 1_200_000);
const shard = (index: number, of: number): string[] => [
  ...['--shard', `${index}/${of}`, '--invocation', 'nightly', '--same-host'],
];

describe.each(SHARED_BACKENDS)('shards, state in %s', (backend) => {
  test('one of three is killed and tried again; another number and workers that join are refused', async () => {
    const depot = await Depot.open(parcels, { backend, pace: 0.01 });
    const first = depot.attempt(shard(0, 3));
    const victim = depot.attempt(shard(1, 3));
    await victim.until('it works', ({ events }) => events.some(({ type }) => type === 'checkpoint'));
    victim.kill();
    expect((await victim.ended).signal).toBe('SIGKILL');
    expect((await first.ended).code).toBe(0);

    for (const [args, says] of [
      [shard(1, 4), 'was cut for 3 shards: go on with --shard I/3'],
      [['--join', '--invocation', 'nightly'], 'was cut for 3 shards: go on with --shard I/3'],
      [['--invocation', 'nightly'], 'is unfinished and shared by several workers'],
    ] as const) {
      const { code, stderr } = await depot.attempt(args).ended;
      expect(code, stderr).toBe(2);
      expect(stderr).toContain(says);
    }

    const again = await depot.attempt(shard(1, 3)).ended;
    expect(again.code, again.stderr).toBe(0);
    expect((await depot.run())?.status).toBe('running');
    const last = await depot.attempt(shard(2, 3)).ended;
    expect(last.code, last.stderr).toBe(0);
    await depot.expectDone('shards');
    expect(await depot.groups()).toEqual({ attempts: 4, resumed: 1 });
    depot.remove();
  }, 60_000);
});
