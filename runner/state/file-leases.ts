/**
 * The leases of the backend `file`. Who holds one stands in the document; a renewal is a small file of its own that only the
 * holder writes, or a write of the document, whichever came later.
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import * as chain from './chain.ts';
import type { FileDocuments } from './file-documents.ts';
import { type LeaseRecord, LeaseWatch, type Standing } from './lease.ts';
import { beatName, type Glance, holds } from './payload.ts';
import { seal, unseal } from './seal.ts';
import { ServerClock } from './server-clock.ts';
import type { Holder, Lease, LeaseStanding, Part, StoreOptions } from './store.ts';

/** The newest version of a part, as far as its lease is concerned. */
type Leased = Pick<Glance, 'part' | 'number' | 'token' | 'lease'>;

export class FileLeases {
  readonly #documents: FileDocuments;
  readonly #watch: LeaseWatch;

  /** Of a folder that many hosts share: the clock of its server. */
  readonly #clock: ServerClock | undefined;

  constructor(documents: FileDocuments, options: StoreOptions, isShared: boolean) {
    this.#documents = documents;
    this.#watch = new LeaseWatch(options);
    this.#clock = isShared ? new ServerClock(documents.basePath, this.#watch.now) : undefined;
  }

  /** A new lease, as it is stored. */
  begin(holder: Holder, ttlMs: number): LeaseRecord {
    return { holder, ttlMs, renewedMs: this.#watch.now(), beat: 0, released: false };
  }

  /** The same lease, renewed by the version that it is written with. */
  renewed(lease: LeaseRecord): LeaseRecord {
    return { ...lease, renewedMs: this.#watch.now(), beat: newBeat() };
  }

  /** Undefined where there is no lease. `others`: the names in the folder, where somebody has just looked. */
  async judge(
    runKey: string,
    head: Leased | undefined,
    how: { force?: boolean; others?: readonly string[] } = {},
  ): Promise<Standing | undefined> {
    if (!head?.lease) return undefined;
    const { lease, ageMs } = await this.#lastRenewal(runKey, head, head.lease, how.others);
    return this.#watch.judge(`${head.part} ${runKey}`, head.token, lease, { force: how.force, ageMs });
  }

  /** As a person who looks sees it; undefined where there is none, or it was given back. */
  async show(runKey: string, head: Leased | undefined, others?: readonly string[]): Promise<LeaseStanding | undefined> {
    if (!head?.lease || head.lease.released) return undefined;
    const { lease, ageMs } = await this.#lastRenewal(runKey, head, head.lease, others);
    return this.#watch.show(`${head.part} ${runKey}`, head.token, lease, ageMs);
  }

  async renew(lease: Lease): Promise<boolean> {
    const { runKey, part, token } = lease;
    const before = await this.#documents.head(runKey, part);
    if (before === undefined || !holds(before, lease)) return false;
    const beat = { renewed_ms: this.#watch.now(), beat: newBeat() };
    await chain.replaceFile(this.#documents.folder(runKey), beatName(part, token), seal(beat));
    const after = await this.#documents.head(runKey, part);
    return after !== undefined && holds(after, lease);
  }

  /** How long ago a file was written, by the clock of the server; undefined where that can't be told. */
  async ageOf(path: string): Promise<number | undefined> {
    const modified = await chain.modifiedMs(path);
    return modified === undefined ? undefined : this.#clock?.ageOf(modified);
  }

  dropBeat(runKey: string, part: Part, token: number): Promise<void> {
    return chain.remove(join(this.#documents.folder(runKey), beatName(part, token)));
  }

  /** The lease as it was last renewed, and how long ago that was by the clock of the server, where there is one. */
  async #lastRenewal(
    runKey: string,
    head: Leased,
    lease: LeaseRecord,
    others: readonly string[] | undefined,
  ): Promise<{ lease: LeaseRecord; ageMs?: number | undefined }> {
    const name = beatName(head.part, head.token);
    const folder = this.#documents.folder(runKey);
    if (lease.released) return { lease };
    const hasBeat = others === undefined || others.includes(name);
    const text = hasBeat ? await chain.readOrNothing(join(folder, name)) : undefined;
    const last = text === undefined ? lease : withBeat(lease, text);
    if (this.#clock === undefined || this.#watch.isOurs(last)) return { lease: last };
    // Either file was last written when the lease was renewed or taken: the later one tells. What can't be told is no age.
    const files = [
      chain.versionFile(folder, head.part, head.number),
      ...(text === undefined ? [] : [join(folder, name)]),
    ];
    const times = await Promise.all(files.map((path) => chain.modifiedMs(path)));
    if (times.includes(undefined)) return { lease: last };
    return { lease: last, ageMs: await this.#clock.ageOf(Math.max(...times.filter((ms) => ms !== undefined))) };
  }
}

/** A renewal that can't be read counts as one just seen, not as none. */
function withBeat(lease: LeaseRecord, text: string): LeaseRecord {
  const found = unseal(text);
  const { renewed_ms: renewedMs, beat } = found.kind === 'good' ? found.payload : {};
  if (typeof renewedMs !== 'number' || typeof beat !== 'number') {
    return { ...lease, renewedMs: Number.MAX_SAFE_INTEGER };
  }
  // Both are times on the clock of the holder's boot, and either of them changes the beat.
  return { ...lease, renewedMs: Math.max(renewedMs, lease.renewedMs), beat: lease.beat + beat };
}

function newBeat(): number {
  return randomBytes(6).readUIntBE(0, 6);
}
