/** A process whose main thread gets stuck in the way that its argument says, watched as in a run. */
import { mkdtempSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Watch } from '../../runner/engine/watch.ts';
import { thisHolder } from '../../runner/state/host.ts';
import { openStore } from '../../runner/state/open.ts';
import { startKeeper } from '../../runner/threads/keeper.ts';

const [how, stuckAfterMs] = process.argv.slice(2);
const root = mkdtempSync(join(tmpdir(), 'oxiflow-blocked-'));
process.on('exit', () => rmSync(root, { recursive: true, force: true }));
const settings = {
  backend: 'file' as const,
  projectRoot: root,
  file: { basePath: join(root, 'state') },
  nfs: { mountPath: undefined },
  sqlite: { path: undefined },
  database: { type: undefined },
};
await using store = await openStore(settings);
const held = await store.acquire('rides', 'split-0', thisHolder('blocked'), 60_000);
if (!held.acquired) throw new Error('the lease is held');
using watch = new Watch({ stuckAfterMs: Number(stuckAfterMs) });
const node = watch.node('price', 'work');
watch.start(() => undefined);
await using keeper = startKeeper(
  {
    settings: settings,
    runKey: 'rides',
    holder: held.lease.holder,
    ttlMs: 60_000,
    renewMs: 1000,
    pollMs: 100,
    watch: { memory: watch.board.memory, everyMs: watch.everyMs },
  },
  { requests: () => undefined, trouble: (message) => process.stderr.write(message) },
);
keeper.keep(held.lease, () => undefined);

function priceOfRide(): void {
  for (;;);
}

await new Promise<void>((resolve) => {
  setTimeout(() => {
    node.atWork(1);
    if (how === 'loop') priceOfRide();
    if (how === 'pattern') /^(a+)+$/.test(`${'a'.repeat(60)}b`);
    if (how === 'call') readSync(0, Buffer.alloc(1));
    if (how === 'rest') {
      // Some more looks, for whoever was stopped meanwhile.
      process.stdin.on('end', () => setTimeout(resolve, 300)).resume();
      process.stdout.write('ready');
      return;
    }
    // Busy, but never for long.
    let rounds = 0;
    const timer = setInterval(() => {
      for (const end = performance.now() + 50; performance.now() < end; );
      if (++rounds < 20) return;
      clearInterval(timer);
      resolve();
    }, 1);
  }, 700);
});
