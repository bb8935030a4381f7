/** The errors that every backend reports in the same words, and the run keys that none accepts. */
import { errnoOf, ioError, isCorrupt, OxiError } from '../engine/errors.ts';
import type { HistoryEntry, Json, Lease } from './store.ts';

/** Longest run key, in UTF-16 units. */
const MAX_RUN_KEY = 1000;

export function checkRunKey(runKey: string): void {
  if (runKey !== '' && runKey.length <= MAX_RUN_KEY && runKey.isWellFormed()) return;
  throw new OxiError('COMMAND_INVALID', `a run key is a text of 1 to ${MAX_RUN_KEY} valid Unicode characters`);
}

/** An empty body would wipe what is stored: it is a fault of the caller, whatever the reason. */
export function checkBody(body: { [key: string]: Json }): void {
  if (Object.keys(body).length === 0) throw new Error('refused to replace a state document by an empty one');
}

const ANY_RUN = ' --run-key KEY';

export function corrupt(file: string, reason: string, runKey: string | undefined, cause?: unknown): OxiError {
  const key = runKey === undefined ? ANY_RUN : ` --run-key ${quote(runKey)}`;
  return new OxiError(
    'STATE_CORRUPT',
    `the saved state in ${file} can't be used: ${reason}. Run: oxiflow state repair${key}`,
    { place: { file }, cause },
  );
}

/** The same error with the run's own key in its command, where whoever found it did not know which run was asked for. */
export function aboutRun(error: unknown, runKey: string): unknown {
  if (isCorrupt(error) && error.message.endsWith(ANY_RUN))
    error.message = `${error.message.slice(0, -ANY_RUN.length)} --run-key ${quote(runKey)}`;
  return error;
}

export function newer(file: string, format: number, known: number): OxiError {
  return new OxiError(
    'STATE_CORRUPT',
    `the saved state in ${file} has format ${format}, this oxiflow knows ${known}: use the newer oxiflow that wrote it`,
    { place: { file } },
  );
}

export function older(file: string, format: number, known: number): OxiError {
  return new OxiError(
    'STATE_CORRUPT',
    `the saved state in ${file} has format ${format}, this oxiflow knows ${known}: finish what is open with the older oxiflow that wrote it, or keep the state in another place`,
    { place: { file } },
  );
}

export function lost(lease: Lease): OxiError {
  return new OxiError('LEASE_LOST', `another worker took the lease of run "${lease.runKey}" meanwhile`);
}

const OUT_OF_REACH = new Set(['ESTALE', 'ETIMEDOUT', 'EHOSTDOWN', 'EHOSTUNREACH', 'ENOTCONN', 'EREMOTEIO']);
const NO_LINKS = new Set(['EOPNOTSUPP', 'ENOTSUP', 'ENOSYS']);

/** As `ioError`, for the state's own files. */
export function stateIoError(error: unknown, path: string): unknown {
  const errno = errnoOf(error);
  if (errno !== undefined && OUT_OF_REACH.has(errno)) {
    return new OxiError('STATE_UNREACHABLE', `the state in ${path} is out of reach (${errno})`, { cause: error });
  }
  if (errno !== undefined && NO_LINKS.has(errno)) {
    return new OxiError('UNSUPPORTED', `${path}: its file system has no hard links; keep the state on another one`, {
      cause: error,
    });
  }
  return ioError(error, path, { file: path });
}

/** The instant in milliseconds by which history is ordered and pruned. */
export function finishedMs(entry: Pick<HistoryEntry, 'finishedAt'>): number {
  const ms = Date.parse(entry.finishedAt);
  if (Number.isNaN(ms)) throw new Error(`history: finishedAt is no ISO time: ${entry.finishedAt}`);
  return ms;
}

/** A run may be pruned when it is finished, and was so before `cutoffMs` (since the epoch). */
export function isPrunable(body: { [key: string]: Json }, cutoffMs: number): boolean {
  const { status, finished_at: finishedAt } = body;
  // NaN compares as false: a run without a readable time stays.
  return status === 'finished' && typeof finishedAt === 'string' && Date.parse(finishedAt) <= cutoffMs;
}

/** As an argument of a POSIX shell. */
export function quote(text: string): string {
  return /^[\w./:=@-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
