/**
 * The one place where progress becomes durable. A barrier that came out behind all sinks becomes a checkpoint in one
 * compare-and-set that carries the fencing token; a store that refuses it has given the run to another worker.
 */

import type { Grade, Lease, StateStore } from '../state/store.ts';
import type { Source, Split } from './contracts.ts';
import type { StepCounters } from './counters.ts';
import { crashpoint } from './crashpoint.ts';
import { type Checkpoint, type SplitDocument, splitBody } from './documents.ts';
import { OxiError } from './errors.ts';
import type { Barrier } from './flow.ts';
import { hashOf } from './plan.ts';

export interface CommitterOptions {
  store: StateStore;
  lease: Lease;
  /** Version of the split document as it was read. */
  version: number;
  document: SplitDocument;
  runId: string;
  segment: number;
  source: Source;
  splits: readonly Split[];
  /** What earlier segments have read. */
  earlier: { records: number; bytes: number };
  now(): Date;
  /** Milliseconds that all attempts have worked. */
  elapsedMs(): number;
}

export class Committer {
  readonly #o: CommitterOptions;
  #version: number;
  #document: SplitDocument;
  #chain = { split: 0, hash: '' };

  constructor(options: CommitterOptions) {
    this.#o = options;
    this.#version = options.version;
    this.#document = options.document;
  }

  /** The last checkpoint that is in the store. */
  get last(): Checkpoint | undefined {
    return this.#document.checkpoint.soft ?? this.#document.checkpoint.hard;
  }

  /**
   * Throws OxiError INPUT_REWRITTEN: where the input was rewritten under the reader, nothing is saved that a later attempt would go
   * on from. A crash before the write leaves the checkpoint before, whose marks every sink still can go back to; a
   * crash behind it, this one.
   */
  async commit(barrier: Barrier): Promise<Checkpoint> {
    const { lease } = this.#o;
    const { position } = barrier;
    await this.#recheck(position.split);
    const checkpoint: Checkpoint = {
      n: barrier.n,
      grade: barrier.grade,
      boot_id: lease.holder.bootId,
      host: lease.holder.host,
      at: this.#o.now().toISOString(),
      position: {
        split: position.split,
        offset: position.offset,
        ...(position.text === undefined ? {} : { text: position.text }),
        ordinal: position.records,
        framer: position.framer,
        fingerprint: await this.#fingerprint(position.split, position.offset),
        finished: await this.#finished(position.split),
      },
      snapshots: barrier.snapshots,
      marks: barrier.marks,
      encoders: barrier.encoders,
      counters: Object.fromEntries(barrier.counters) as Record<string, StepCounters>,
      records: this.#o.earlier.records + position.records,
      bytes: this.#o.earlier.bytes + bytesBefore(this.#o.splits, position.split, position.offset),
      elapsed_ms: Math.round(this.#o.elapsedMs()),
    };
    const hard = barrier.grade === 'hard' ? checkpoint : this.#document.checkpoint.hard;
    this.#document = {
      ...this.#owner,
      checkpoint: {
        ...(hard === undefined ? {} : { hard }),
        ...(barrier.grade === 'soft' ? { soft: checkpoint } : {}),
      },
      ...(barrier.last === 'finished' ? { finishing: true } : {}),
    };
    crashpoint('commit');
    await this.#write(barrier.grade);
    crashpoint('committed');
    return checkpoint;
  }

  /** The last checkpoint once more: who only has to publish may hold copies, which are other files than those it speaks of. */
  async restate(marks: Checkpoint['marks']): Promise<void> {
    const { last } = this;
    if (last === undefined || JSON.stringify(last.marks) === JSON.stringify(marks)) return;
    this.#document = { ...this.#document, checkpoint: { hard: { ...last, grade: 'hard', marks } } };
    await this.#write('hard');
  }

  /**
   * Forgets every checkpoint: the run, or this segment of it, starts from zero. `soft` is enough where they belong to another run
   * all the same, should the machine forget this.
   */
  async reset(grade: Grade = 'soft'): Promise<void> {
    this.#document = { ...this.#owner, checkpoint: {} };
    await this.#write(grade);
  }

  get #owner(): Pick<SplitDocument, 'run_id' | 'segment'> {
    const { runId, segment } = this.#o;
    return { run_id: runId, ...(segment === 0 ? {} : { segment }) };
  }

  /** Version of the document in the store. */
  get version(): number {
    return this.#version;
  }

  async #write(grade: 'soft' | 'hard'): Promise<void> {
    const { store, lease } = this.#o;
    const result = await store.write(lease.runKey, lease.part, {
      expected: this.#version,
      token: lease.token,
      body: splitBody(this.#document),
      grade,
    });
    if (!result.written) throw lost(lease.runKey);
    this.#version = result.version;
  }

  /** Hash over the ends of the splits before `split`; each is looked at once. */
  async #finished(split: number): Promise<string> {
    const { source, splits } = this.#o;
    this.#chain = { split, hash: await chainOf(source, splits, this.#chain.split, split, this.#chain.hash) };
    return this.#chain.hash;
  }

  async #recheck(split: number): Promise<void> {
    const at = this.#o.splits[split];
    if (at !== undefined) await this.#o.source.recheck?.(at);
  }

  async #fingerprint(split: number, offset: number): Promise<string> {
    const at = this.#o.splits[split];
    if (at === undefined || offset === 0 || this.#o.source.fingerprint === undefined) return '';
    return this.#o.source.fingerprint(at, offset);
  }
}

/** Goes on with a chain of hashes over the ends of the splits from `from` to before `to`; `hash` is the chain before them. */
export async function chainOf(
  source: Source,
  splits: readonly Split[],
  from: number,
  to: number,
  hash: string,
): Promise<string> {
  let chain = hash;
  for (const split of splits.slice(from, to)) {
    if (source.fingerprint === undefined) return '';
    chain = hashOf([chain, await source.fingerprint(split, endOf(split))]);
  }
  return chain;
}

/** One whose range does not begin where it did when the file was cut: records begin elsewhere. */
export async function changedRange(source: Source, splits: readonly Split[]): Promise<Split | undefined> {
  if (source.fingerprint === undefined) return undefined;
  for (const split of splits) {
    const { range } = split;
    if (range !== undefined && range.from > 0 && (await source.fingerprint(split, range.from)) !== range.fingerprint)
      return split;
  }
  return undefined;
}

export function lost(runKey: string): OxiError {
  return new OxiError(
    'LEASE_LOST',
    `run "${runKey}": another worker took it over; this one stops and changes nothing more`,
  );
}

/** Bytes of the input before a position. */
export function bytesBefore(splits: readonly Split[], split: number, offset: number): number {
  const from = splits[split]?.range?.from ?? 0;
  return splits.slice(0, split).reduce((sum, s) => sum + bytesOf(s), Math.max(0, offset - from));
}

/** Those of its range alone. */
function bytesOf({ size = 0, range }: Split): number {
  return range === undefined ? size : range.to - range.from;
}

/** Where reading ends, in bytes from the start of the file. */
function endOf({ size = 0, range }: Split): number {
  return range?.to ?? size;
}
