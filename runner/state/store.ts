/**
 * The contract of every state backend. A store keeps small JSON documents, each with a version and a fencing token.
 *
 * Invariants that each backend keeps, and `test/contract/store-suite.ts` proves:
 *  1. A write names the version it replaces (0 creates); any other version in the store refuses it (`conflict`).
 *  2. A write carries a token; a token lower than the run's refuses it (`fenced`), however late it comes.
 *  3. `acquire` is the only way to a token; a new token is greater than every earlier one of that run key and part.
 *  4. A document is read back whole and unchanged, or the read fails with STATE_CORRUPT; it is never taken for absent.
 *  5. Whether a lease is over is decided by the store's clock: for local backends the boot's monotonic clock, on a shared
 *     folder the file server's, in Redis the server's.
 *  6. A write with the token of a lease that is held counts as its renewal; one renewal may stand for what is written in the next
 *     tenth of the lease's time.
 *  7. A write or an acquisition whose answer got lost is looked up before it is tried again: it happens once.
 *  8. A run that was there, and of which nothing is left, is not begun from zero: STATE_LOST, as far as anybody can know.
 */

/**
 * One document of a run. `run`: the run itself. `split-K`: the checkpoints of its split group K. Of a run that several workers
 * share, beside these: `group-K`, the attempts at split group K, and `worker-ID` (12 hexadecimal digits), one a worker.
 */
export type Part = 'run' | `split-${number}` | `group-${number}` | `worker-${string}`;

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** Who holds a lease: enough to tell on the same host and boot whether that process still lives. */
export interface Holder {
  workerId: string;
  host: string;
  /** Changes with every boot of the host. */
  bootId: string;
  /** The process-id namespace (containers); empty where there is none. */
  pidSpace: string;
  pid: number;
  /** When the process started, in the system's own unit: tells a reused pid from the same process. */
  startedAt: string;
}

export interface StoredDocument {
  version: number;
  token: number;
  /** ISO time of the write, for people; never used to decide anything. */
  writtenAt: string;
  body: { [key: string]: Json };
}

/** A lease as its holder keeps it. `token` only grows. */
export interface Lease {
  runKey: string;
  part: Part;
  token: number;
  ttlMs: number;
  holder: Holder;
}

export type AcquireResult =
  /** `predecessor`: the last holder, and whether it is proven dead (same host and boot, process gone; or an older boot of this host). */
  | {
      acquired: true;
      lease: Lease;
      predecessor?: { holder: Holder; token: number; released: boolean; provenDead: boolean };
    }
  /** `remainingMs`: how long until the lease ends if its holder never renews it again, at most. */
  | { acquired: false; holder: Holder; remainingMs: number };

/** How a lease stands, for people who look: nothing is taken or changed by looking. */
export interface LeaseStanding {
  holder: Holder;
  /** Anybody may take it: its time is over, or its holder is proven dead. */
  over: boolean;
  provenDead: boolean;
  /** How long until it ends if its holder never renews it again, at most; 0 where it is over. */
  remainingMs: number;
}

/** One part of a run, for people who look and for those who choose what to work on. */
export interface PartStanding {
  part: Part;
  /** Of its document; 0 where there is none. */
  version: number;
  /** ISO time of the last write, for people; empty where there is no document. */
  writtenAt: string;
  lease: LeaseStanding | undefined;
}

export type WriteResult =
  | { written: true; version: number }
  | { written: false; reason: 'conflict' | 'fenced'; version: number; token: number };

/** Survives: `soft` the death of the process, `hard` the death of the machine (fsync or the backend's equal). */
export type Grade = 'soft' | 'hard';

/**
 * A message to whoever works on a run. cancel: save a checkpoint and end. pause: save one and wait until it is cleared. stop: the
 * worker that is named saves a checkpoint, gives its work back and ends (`force`: at once, without one). rebalance: somebody has
 * nothing to do, so work that was claimed and not begun is given back.
 */
export interface RunRequest {
  kind: 'cancel' | 'pause' | 'stop' | 'rebalance';
  /** Id of the worker that is meant; all of them where left out. */
  worker?: string;
  force?: true;
  /** ISO time, for people. */
  at: string;
  from: string;
}

/** A finished attempt or run, kept for estimation, trends and comparison. */
export interface HistoryEntry {
  runKey: string;
  runId: string;
  pipeline: string;
  attempt: number;
  status: string;
  finishedAt: string;
  summary: { [key: string]: Json };
}

export interface StoreOptions {
  /** Replaces the boot's monotonic clock, in milliseconds; for tests. */
  monotonicMs?: () => number;
  /** Told what people should know about the place where the state is, once each. */
  warn?: (text: string) => void;
}

export interface StateStore extends AsyncDisposable {
  /** `file`, `sqlite`, ... */
  readonly backend: string;
  /** A hard write makes every earlier soft one durable too (a log); elsewhere only its own document. */
  readonly ordered: boolean;
  /** Where it keeps things, for people; never with a secret in it. */
  readonly location: string;

  read(runKey: string, part: Part): Promise<StoredDocument | undefined>;
  /** `expected` is the version that is replaced, 0 for a document that must not exist yet. An empty body is refused (throws). */
  write(
    runKey: string,
    part: Part,
    document: { expected: number; token: number; body: { [key: string]: Json }; grade: Grade },
  ): Promise<WriteResult>;

  /**
   * Takes the lease if it is free, released, over, or its holder is proven dead; with `force`, whoever holds it. Never waits. Throws
   * STATE_LOST where the store is known to have had the run and has not; not with `fresh`, by which it begins anew.
   */
  acquire(
    runKey: string,
    part: Part,
    holder: Holder,
    ttlMs: number,
    how?: { force?: boolean; fresh?: boolean },
  ): Promise<AcquireResult>;
  /** Takes the first of these leases that `acquire` would give; undefined where it would give none. */
  claim(
    runKey: string,
    parts: readonly Part[],
    holder: Holder,
    ttlMs: number,
  ): Promise<Extract<AcquireResult, { acquired: true }> | undefined>;
  /** True while nobody else took it, even past its end: an expired lease that nobody took is renewed. */
  renew(lease: Lease): Promise<boolean>;
  /** Gives the lease back; a lease that another took meanwhile is left alone. */
  release(lease: Lease): Promise<void>;

  /** The lease of a part that was taken and not given back; undefined where there is none. */
  standing(runKey: string, part: Part): Promise<LeaseStanding | undefined>;
  /** Every part of a run that has a document or a lease that was not given back; those of a kind (`worker-`) where asked. */
  parts(runKey: string, prefix?: string): Promise<PartStanding[]>;

  /** Run keys in the store, newest write first, with the run document; a corrupt one comes with `error` in place of `run`. */
  list(): Promise<{ runKey: string; run?: StoredDocument; error?: string }[]>;
  request(runKey: string, request: RunRequest): Promise<void>;
  /** The open requests of a run key, in the order in which they came. */
  requests(runKey: string): Promise<RunRequest[]>;
  /** Those of these kinds, and to this worker, where given; all of them otherwise. */
  clearRequests(runKey: string, which?: { kinds?: readonly RunRequest['kind'][]; worker?: string }): Promise<void>;
  /** Calls `wake` soon after a request has come, where the backend can tell; who only listens, and never looks, may miss one. */
  subscribe?(runKey: string, wake: () => void): Promise<AsyncDisposable>;

  appendHistory(entry: HistoryEntry): Promise<void>;
  /** Newest first. */
  history(filter?: { runKey?: string; pipeline?: string; limit?: number }): Promise<HistoryEntry[]>;

  /**
   * Sets corrupt documents of a run key aside (kept beside, never deleted) and puts the last good version in place, if there is one.
   * `rescued`: the store was damaged as a whole and set aside; these are the other runs that could be taken over.
   */
  repair(
    runKey: string,
  ): Promise<{ quarantined: string[]; restored: { part: Part; version: number }[]; rescued?: string[] }>;
  /** Removes a run and its documents, for `--fresh` and retention; needs the token of the current lease. */
  remove(lease: Lease): Promise<void>;
  /** Removes the part that the lease is of, document and lease (a worker that goes). Throws LEASE_LOST where another holds it. */
  removePart(lease: Lease): Promise<void>;
  /** Removes finished runs and history older than `maxAgeMs`; never a run whose lease is alive or whose status is not finished. */
  prune(maxAgeMs: number): Promise<{ runs: number; history: number }>;
  /**
   * Clears away what the dead have left, where a backend leaves any, and never touches the living; for those who work to call now
   * and then: it does nothing before its interval (`cleanup_interval`) is over. Says how many things are gone.
   */
  sweep?(): Promise<number>;
  close(): Promise<void>;
}
