/**
 * The entry of the thread that keeps a run's lease alive, however busy the main thread is, and looks for cancel requests. It has
 * a connection to the store of its own. It never decides about the run: it tells the main thread what it saw. One that does not
 * listen any more is ended.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { openStore } from '../state/open.ts';
import type { KeeperMessage, KeeperStart } from './keeper.ts';
import { watchMain } from './watch-main.ts';

const port = parentPort;
if (port === null) throw new Error('this file is the entry of a thread');
const { settings, lease, renewMs, pollMs, watch } = workerData as KeeperStart;
using _watching = watch && watchMain(watch);
const closing = new AbortController();
port.on('message', () => closing.abort());
const tell = (message: KeeperMessage): void => port.postMessage(message);

await using store = await openStore(settings);
let nextRenewal = 0;
let told = false;
let trouble = '';
while (!closing.signal.aborted) {
  try {
    if (performance.now() >= nextRenewal) {
      if (!(await store.renew(lease))) {
        tell({ kind: 'lost' });
        break;
      }
      nextRenewal = performance.now() + renewMs;
    }
    const [request] = await store.requests(lease.runKey);
    if (request !== undefined && !told) {
      told = true;
      tell({ kind: 'cancelled', from: request.from });
    }
  } catch (error) {
    // The store is out of reach for the moment: the lease lives on until its end, and the next renewal may succeed.
    const message = error instanceof Error ? error.message : String(error);
    if (message !== trouble) tell({ kind: 'trouble', message });
    trouble = message;
  }
  await sleep(pollMs, undefined, { signal: closing.signal }).catch(() => undefined);
}
port.close();
