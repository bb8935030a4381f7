/** The options of `run` that share a run between workers, and what they come to together. */
import { randomUUID } from 'node:crypto';
import { type Command, InvalidArgumentError } from 'commander';
import { OxiError } from '../engine/errors.ts';
import type { Sharing } from '../workers/begin.ts';
import { wholeNumber } from './options.ts';

export interface SharingOptions {
  join?: true;
  workers?: number;
  shard?: { index: number; of: number };
  sameHost?: true;
  splits?: number;
  limit?: number;
  fresh?: true;
  invocation?: string;
  parentFd?: number;
  whenTold?: true;
}

/** A run is not cut in more parts than that. */
const MOST_SPLITS = 10_000;
const MOST_WORKERS = 64;
/** Where nobody says how many workers there will be. */
const USUAL_WORKERS = 4;

export function sharing(verb: Command): Command {
  return verb
    .option('--workers <n>', 'share the run between n processes here', wholeNumber(1, MOST_WORKERS))
    .option('--join', 'work on the run together with other workers');
}

export function rareSharing(verb: Command): Command {
  return verb
    .option('--shard <i/n>', 'work on part i of n, from 0', shard)
    .option('--same-host', 'all shards run on this host')
    .option('--splits <n>', 'cut a shared run in n parts at most', wholeNumber(1, MOST_SPLITS));
}

function shard(text: string): { index: number; of: number } {
  const [, index, of] = /^(\d{1,5})\/(\d{1,5})$/.exec(text) ?? [];
  const found = { index: Number(index), of: Number(of) };
  if (!(found.of >= 1 && found.of <= MOST_SPLITS && found.index < found.of))
    throw new InvalidArgumentError('It must be I/N with I from 0 to N - 1, such as 0/8 for the first of eight.');
  return found;
}

/** How the run is shared; undefined: one worker does it all. Throws OxiError COMMAND_INVALID. */
export function sharingOf(o: SharingOptions): Sharing | undefined {
  const ways = [o.join && '--join', o.workers && '--workers', o.shard && '--shard'].filter((way) => way !== undefined);
  const [way, other] = ways;
  if (o.whenTold && (!o.join || o.parentFd === undefined))
    throw refused('--when-told needs --join, and --parent-fd N, the pipe that the launcher writes to');
  if (o.sameHost && o.shard === undefined) throw refused('--same-host needs --shard I/N');
  if (way === undefined) {
    if (o.splits !== undefined) throw refused('--splits needs --workers N or --join');
    return undefined;
  }
  if (other !== undefined) throw refused(`${way} and ${other} exclude each other`);
  if (o.limit !== undefined) throw refused(`--limit and ${way} exclude each other: nobody sees all records`);
  if (o.splits !== undefined && o.shard !== undefined)
    throw refused('--shard I/N cuts the work in N: leave --splits out');
  if (o.fresh && o.workers === undefined && o.invocation === undefined)
    throw refused(
      `--fresh with ${way} needs --invocation ID, the same for all workers: each of them would start over what the others do`,
    );
  if (o.shard !== undefined) return { kind: 'shard', ...o.shard, sameHost: o.sameHost === true };
  return { kind: 'join', splits: o.splits, workers: o.workers ?? USUAL_WORKERS, onlyJoin: o.whenTold === true };
}

/** `--workers` is one request, whoever of them begins: it is named where nobody has. */
export function invocationOf({ workers, invocation }: SharingOptions): string | undefined {
  return invocation ?? (workers === undefined ? undefined : randomUUID());
}

function refused(sentence: string): OxiError {
  return new OxiError('COMMAND_INVALID', `run: ${sentence}`);
}
