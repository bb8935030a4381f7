/**
 * `oxiflow state unlock --run-key KEY --force`: takes the leases of a run, whoever holds them, and gives them back at once. Whatever
 * their holders still write is refused by the store: it carries a token that is too old.
 */
import type { Command } from 'commander';
import { OxiError } from '../engine/errors.ts';
import { humanDuration } from '../observe/human.ts';
import { type LeaseReport, leaseReport } from '../state/pipeline-state.ts';
import type { Holder, Part, PartStanding, StateStore } from '../state/store.ts';
import {
  asker,
  mustBeThere,
  printJson,
  printRows,
  quoted,
  type StateOptions,
  say,
  who,
  withStore,
} from './state-store.ts';

/** It is given back at once. */
const TTL_MS = 60_000;

interface Unlocked extends LeaseReport {
  part: Part;
}

export function unlockCommand(verb: Command): Command {
  return verb
    .summary('free a run from whoever holds it')
    .description('take the leases of a run from whoever holds them, and free them')
    .requiredOption('--run-key <key>', 'the run')
    .option('--force', 'also from a worker that may be alive: it stops, and may save nothing more')
    .action((options: StateOptions & { runKey: string; force?: boolean }) =>
      withStore(options, async (store) => {
        const { runKey, force = false } = options;
        const parts = await mustBeThere(store, runKey);
        if (!force) refuseHeld(runKey, parts);
        const unlocked = await unlock(store, runKey, parts, await asker('unlock'), force);
        if (options.json === true) return printJson({ run_key: runKey, unlocked });
        printRows(unlocked.map((lease) => ['took', `${lease.part} from ${who(lease)}`, howItStood(lease)]));
        if (unlocked.length === 0) return say(`run ${quoted(runKey)}: nobody holds a lease, nothing to unlock`);
        say(
          `run ${quoted(runKey)} is free: the next attempt goes on from its last checkpoint. What its worker did after that is done ` +
            'again; if it is alive, it stops, and nothing that it still writes is taken',
        );
      }),
    );
}

function refuseHeld(runKey: string, parts: readonly PartStanding[]): void {
  const held = parts.flatMap(({ lease }) => (lease?.over === false ? [leaseReport(lease)] : []));
  const [first] = held;
  if (first === undefined) return;
  const others = new Set(held.map(({ worker_id }) => worker_id)).size - 1;
  throw new OxiError(
    'LEASE_HELD',
    `run ${quoted(runKey)} is held by ${who(first)}${others > 0 ? ` and ${others} more` : ''}, for ` +
      `${humanDuration(first.remaining_ms)} at least after it has stopped. --force takes it away: what it did since its last checkpoint is lost`,
  );
}

async function unlock(
  store: StateStore,
  runKey: string,
  parts: readonly PartStanding[],
  holder: Holder,
  force: boolean,
): Promise<Unlocked[]> {
  const unlocked: Unlocked[] = [];
  const leased = parts.filter(({ lease }) => lease !== undefined);
  if (leased.length === 0) return unlocked;
  for (const { part, lease } of leased) {
    const got = await store.acquire(runKey, part, holder, TTL_MS, { force });
    if (!got.acquired) throw heldMeanwhile(runKey);
    if (part.startsWith('worker-')) await store.removePart(got.lease);
    else await store.release(got.lease);
    if (lease !== undefined) unlocked.push({ part, ...leaseReport(lease) });
  }
  // Holders write the run's document with the token of another part: it has to know a younger one, too.
  if (!leased.some(({ part }) => part === 'run')) {
    const got = await store.acquire(runKey, 'run', holder, TTL_MS, { force });
    if (!got.acquired) throw heldMeanwhile(runKey);
    await store.release(got.lease);
  }
  return unlocked;
}

function heldMeanwhile(runKey: string): OxiError {
  return new OxiError('LEASE_HELD', `run ${quoted(runKey)}: somebody began to work on it meanwhile`);
}

function howItStood({ over, proven_dead, remaining_ms }: LeaseReport): string {
  if (proven_dead) return 'its process is dead';
  return over ? 'its time was over' : `it held for ${humanDuration(remaining_ms)} more`;
}
