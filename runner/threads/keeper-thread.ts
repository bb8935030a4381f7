/**
 * The entry of the thread that keeps a worker's leases alive, however busy the main thread is, and looks for requests. It has a
 * connection to the store of its own. It never decides about the run: it tells the main thread what it saw. A main thread that
 * does not listen any more is ended.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { OxiError } from '../engine/errors.ts';
import { openStore } from '../state/open.ts';
import type { Lease } from '../state/store.ts';
import { Registrar } from '../workers/registrar.ts';
import { type KeeperCommand, type KeeperMessage, type KeeperStart, keyOf } from './keeper.ts';
import { watchMain } from './watch-main.ts';

const port = parentPort;
if (port === null) throw new Error('this file is the entry of a thread');
const { settings, runKey, holder, ttlMs, renewMs, pollMs, watch } = workerData as KeeperStart;
using _watching = watch && watchMain(watch);
const closing = new AbortController();
const tell = (message: KeeperMessage): void => port.postMessage(message);

await using store = await openStore(settings);
const registrar = new Registrar(store, runKey, holder, ttlMs);
/** By key, and when each is to be renewed by `performance.now()`. */
const leases = new Map<string, { lease: Lease; due: number }>();
let wake = new AbortController();
port.on('message', (command: KeeperCommand) => {
  if (command.kind === 'keep') leases.set(keyOf(command.lease), { lease: command.lease, due: 0 });
  else if (command.kind === 'drop') leases.delete(command.key);
  else if (command.kind === 'about') registrar.about(command.registration);
  else closing.abort();
  wake.abort();
});

/** False where another took it; a sentence where the store has lost the run. */
async function renew(lease: Lease): Promise<boolean | string> {
  try {
    return await store.renew(lease);
  } catch (error) {
    if (error instanceof OxiError && error.code === 'STATE_LOST') return error.message;
    throw error;
  }
}

/** That there are none is told, too: the main thread may have seen one that is gone. */
let told = '';
let trouble = '';
let nextBeat = 0;
let listening: AsyncDisposable | undefined;
while (!closing.signal.aborted) {
  wake = new AbortController();
  const found: string[] = [];
  // What one of these finds wrong holds up none of the others. Where the store is out of reach for the moment, a lease lives on until
  // its end, and the next renewal may succeed.
  const work = async (what: () => Promise<void>): Promise<void> => {
    try {
      await what();
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (!found.includes(message)) found.push(message);
    }
  };
  await work(async () => {
    listening ??= await store.subscribe?.(runKey, () => wake.abort());
  });
  for (const [key, kept] of leases)
    await work(async () => {
      if (performance.now() < kept.due) return;
      const held = await renew(kept.lease);
      kept.due = performance.now() + renewMs;
      if (held === true || !leases.has(key)) return;
      leases.delete(key);
      tell({ kind: 'lost', key, ...(held === false ? {} : { why: held }) });
    });
  await work(async () => {
    if (!registrar.hasNews && performance.now() < nextBeat) return;
    await registrar.beat();
    nextBeat = performance.now() + renewMs;
  });
  await work(async () => {
    const requests = await store.requests(runKey);
    const text = JSON.stringify(requests);
    if (text === told) return;
    told = text;
    tell({ kind: 'requests', requests });
  });
  await work(async () => {
    await store.sweep?.();
  });
  const message = found.join('; ');
  if (message !== '' && message !== trouble) tell({ kind: 'trouble', message });
  trouble = message;
  const signal = AbortSignal.any([closing.signal, wake.signal]);
  await sleep(pollMs, undefined, { signal }).catch(() => undefined);
}
await registrar.leave().catch(() => undefined);
await listening?.[Symbol.asyncDispose]();
port.close();
