/**
 * The contract of every state backend. A store keeps small JSON documents, each with a version and a fencing token.
 *
 * Invariants that each backend keeps, and `test/contract/store-suite.ts` proves:
 *  1. A write names the version it replaces (0 creates); any other version in the store refuses it (`conflict`).
 *  2. A write carries a token; a token lower than the run's refuses it (`fenced`), however late it comes.
 *  3. `acquire` is the only way to a token; a new token is greater than every earlier one of that run key and part.
 *  4. A document is read back whole and unchanged, or the read fails with STATE_CORRUPT; it is never taken for absent.
 *  5. Whether a lease is over is decided by the store's clock: for local backends the boot's monotonic clock.
 */

/** One document of a run: the run itself, or one group of splits with its position. */
export type Part = 'run' | `split-${number}`;

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

export type WriteResult =
  | { written: true; version: number }
  | { written: false; reason: 'conflict' | 'fenced'; version: number; token: number };

/** Survives: `soft` the death of the process, `hard` the death of the machine (fsync or the backend's equal). */
export type Grade = 'soft' | 'hard';

/** A message to whoever works on a run. */
export interface RunRequest {
  kind: 'cancel';
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

  /** Takes the lease if it is free, released, over, or its holder is proven dead. Never waits. */
  acquire(runKey: string, part: Part, holder: Holder, ttlMs: number): Promise<AcquireResult>;
  /** True while nobody else took it, even past its end: an expired lease that nobody took is renewed. */
  renew(lease: Lease): Promise<boolean>;
  /** Gives the lease back; a lease that another took meanwhile is left alone. */
  release(lease: Lease): Promise<void>;

  /** The lease of a part that was taken and not given back; undefined where there is none. */
  standing(runKey: string, part: Part): Promise<LeaseStanding | undefined>;

  /** Run keys in the store, newest write first, with the run document; a corrupt one comes with `error` in place of `run`. */
  list(): Promise<{ runKey: string; run?: StoredDocument; error?: string }[]>;
  request(runKey: string, request: RunRequest): Promise<void>;
  /** The open requests of a run key. */
  requests(runKey: string): Promise<RunRequest[]>;
  clearRequests(runKey: string): Promise<void>;

  appendHistory(entry: HistoryEntry): Promise<void>;
  /** Newest first. */
  history(filter?: { runKey?: string; pipeline?: string; limit?: number }): Promise<HistoryEntry[]>;

  /** Sets corrupt documents of a run key aside (kept beside, never deleted) and puts the last good version in place, if there is one. */
  repair(runKey: string): Promise<{ quarantined: string[]; restored: { part: Part; version: number }[] }>;
  /** Removes a run and its documents, for `--fresh` and retention; needs the token of the current lease. */
  remove(lease: Lease): Promise<void>;
  /** Removes finished runs and history older than `maxAgeMs`; never a run whose lease is alive or whose status is not finished. */
  prune(maxAgeMs: number): Promise<{ runs: number; history: number }>;
  close(): Promise<void>;
}
