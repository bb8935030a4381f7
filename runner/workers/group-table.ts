/** The table of split groups as one worker sees and changes it: what is done, what failed, what is left for it. */
import { crashpoint } from '../engine/crashpoint.ts';
import { EXIT } from '../engine/errors.ts';
import type { RunSummary } from '../engine/report.ts';
import { mine, type Sharing } from './begin.ts';
import type { SharedDocument, SharedRun } from './shared-run.ts';

type Group = SharedDocument['shared']['groups'][number];
export type Failure = NonNullable<Group['failed']>;

export interface GroupTableOptions {
  run: SharedRun;
  sharing: Sharing;
  workerId: string;
  now(): Date;
}

export class GroupTable {
  readonly #o: GroupTableOptions;
  readonly #finished = new Set<number>();
  /** The attempt of this worker. */
  readonly attempt: number;
  #document: SharedDocument;

  /** `document`: as it was when this worker joined. */
  constructor(options: GroupTableOptions, document: SharedDocument) {
    this.#o = options;
    this.#document = document;
    this.attempt = document.attempt;
  }

  get document(): SharedDocument {
    return this.#document;
  }

  get runId(): string {
    return this.#document.run_id;
  }

  /** The groups that this worker has finished. */
  get finished(): ReadonlySet<number> {
    return this.#finished;
  }

  /** Groups of this worker that nobody has finished. */
  get open(): number[] {
    const { groups } = this.#document.shared;
    return mine(this.#document, this.#o.sharing).filter(
      (index) => groups[index]?.done === undefined && !this.#finished.has(index),
    );
  }

  /** Those that it may work on, in order. */
  get candidates(): number[] {
    return this.open.filter((index) => this.failureOf(index) === undefined);
  }

  get allDone(): boolean {
    return this.#document.shared.groups.every(({ done }) => done !== undefined);
  }

  /** What others have finished. */
  get others(): { records: number; bytes: number } {
    const sum = { records: 0, bytes: 0 };
    this.#document.shared.groups.forEach(({ done }, index) => {
      if (done === undefined || this.#finished.has(index)) return;
      sum.records += done.records;
      sum.bytes += done.bytes;
    });
    return sum;
  }

  /** How it failed, where trying again is for those who come later. */
  failureOf(index: number): Failure | undefined {
    const failed = this.#document.shared.groups[index]?.failed;
    return failed !== undefined && failed.attempt >= this.attempt ? failed : undefined;
  }

  /** Throws OxiError LEASE_LOST where the run was started over. */
  async refresh(until?: AbortSignal): Promise<void> {
    this.#document = await this.#o.run.read(this.runId, until);
    const { groups } = this.#document.shared;
    // A server that went back has forgotten it: whoever takes the group again finds in its own document what is left to do.
    for (const index of this.#finished) if (groups[index]?.done === undefined) this.#finished.delete(index);
  }

  async markDone(index: number, read: { records: number; bytes: number }): Promise<void> {
    const done = { worker_id: this.#o.workerId, at: this.#o.now().toISOString(), ...read };
    this.#finished.add(index);
    crashpoint('done');
    // Lost with the machine, it is found out again: the group's own document says so.
    await this.#change((document) => ifOpen(document, index, { done }));
    crashpoint('marked');
  }

  async markFailed(index: number, { error, exit_code }: RunSummary): Promise<void> {
    // Whoever lost the group has no say about it.
    if (exit_code === EXIT.leaseHeld) return;
    const failed = {
      worker_id: this.#o.workerId,
      at: this.#o.now().toISOString(),
      code: error?.code ?? 'INTERNAL',
      message: error?.message ?? '',
      exit_code,
    };
    // All who have joined by now leave it alone, or one after the other would fail at it and none be left for the rest.
    const change = (document: SharedDocument): SharedDocument | undefined =>
      ifOpen(document, index, { failed: { ...failed, attempt: document.attempt } });
    // Where that can't be written down, the others find out by themselves.
    await this.#change(change).catch(() => undefined);
  }

  /** The run stands still: how it came to that. `until` ends the wait for another worker, with its reason. */
  async markEnded({ status, error }: RunSummary, until: AbortSignal): Promise<void> {
    // One that is being finished is for whoever does that, which may take long.
    await this.refresh(until);
    if (this.#document.status !== 'running') return;
    const change = (document: SharedDocument): SharedDocument | undefined =>
      document.status === 'running'
        ? {
            ...document,
            status: status === 'failed' ? 'failed' : 'interrupted',
            ...(error === undefined ? {} : { error: { code: error.code, message: error.message } }),
          }
        : undefined;
    this.#document = await this.#o.run.update(this.runId, change, 'soft', until);
  }

  async #change(change: (document: SharedDocument) => SharedDocument | undefined): Promise<void> {
    this.#document = await this.#o.run.update(this.runId, change);
  }
}

/** Who was slow finds that another one has finished the group: then that is how it was. */
function ifOpen(document: SharedDocument, index: number, change: Partial<Group>): SharedDocument | undefined {
  if (document.shared.groups[index]?.done !== undefined) return undefined;
  const groups = document.shared.groups.map((group, i) => {
    if (i !== index) return group;
    const { failed: _, ...rest } = group;
    return { ...rest, ...change };
  });
  return { ...document, shared: { ...document.shared, groups } };
}
