/** The documents of runs: how one is read, and how a version follows another. */
import type * as store from '../store.ts';
import type { Keys } from './keys.ts';
import type { Memory, Ours } from './memory.ts';
import { makeNonce } from './nonce.ts';
import type { Place } from './place.ts';
import { type Body, documentOf, sealDocument } from './rows.ts';
import { BEAT, READ, WRITE } from './scripts.ts';

/**
 * A commit renews the lease of its writer. That takes a script more, and so only the first one does in each of this many parts of the
 * lease's time.
 */
const RENEWALS = 10;

export class Documents {
  readonly #place: Place;
  readonly #keys: Keys;
  readonly #memory: Memory;
  readonly #location: string;
  readonly #now: () => number;

  constructor(place: Place, keys: Keys, memory: Memory, location: string, now: () => number) {
    this.#place = place;
    this.#keys = keys;
    this.#memory = memory;
    this.#location = location;
    this.#now = now;
  }

  async read(runKey: string, part: store.Part): Promise<store.StoredDocument | undefined> {
    const found = await this.#open(runKey, part);
    if (found === undefined) return undefined;
    const { document, wrote } = found;
    const known = this.#memory.known(runKey, part);
    const ours = known?.wrote === wrote ? known.ours : undefined;
    this.#memory.know(runKey, part, { version: document.version, wrote, ours });
    return document;
  }

  /** By which entry the scripts know the document, once it was found to be whole; empty where there is none. Throws as `read`. */
  async entryOf(runKey: string, part: store.Part): Promise<string> {
    return (await this.#open(runKey, part))?.entry ?? '';
  }

  /**
   * `must`: what the scripts have to know of the run (see "lost" there). Undefined where the run is lost.
   *
   * The next version by who wrote the one before is one command. Nothing is compared but the id of the last entry, in which are
   * token and version; and where that one is lower than it was, the server went back: see `WRITE`.
   */
  async replace(
    runKey: string,
    part: store.Part,
    { expected, token, body }: { expected: number; token: number; body: Body },
    must: string,
  ): Promise<store.WriteResult | undefined> {
    const version = expected + 1;
    const nonce = makeNonce();
    const text = sealDocument(runKey, part, version, body);
    const known = this.#memory.known(runKey, part);
    const same = known?.version === expected ? known : undefined;
    const ours = same?.ours?.token === token ? same.ours : undefined;
    const began = this.#now();
    if (ours !== undefined && ours.until > 0 && began >= ours.until) await this.#beat(runKey, part, ours, must);
    if (same !== undefined && ours !== undefined && began < ours.until) {
      const field = `${nonce} ${Math.round(began + ours.ahead)}`;
      const key = this.#keys.documents(runKey, part);
      if ((await this.#place.append(key, `${token}-${version}`, field, text)) !== null) {
        same.version = version;
        same.wrote = nonce;
        return { written: true, version };
      }
    }
    await this.#place.begin();
    const args = [part, expected, token, nonce, same?.wrote ?? '', ours === undefined ? '0' : '1', must, text];
    const answer = (await this.#place.call(runKey, WRITE, [this.#keys.run(runKey)], args, [part])) as string[];
    const [outcome, itsVersion, itsToken, at, lease, ttl] = answer;
    if (outcome === 'lost') return undefined;
    const stored = { version: Number(itsVersion), token: Number(itsToken) };
    if (outcome === 'fenced' || outcome === 'conflict') {
      // What is damaged is told as that.
      await this.#open(runKey, part);
      return { written: false, reason: outcome, ...stored };
    }
    const until = lease === '1' ? began + Number(ttl) / RENEWALS : 0;
    this.#memory.know(runKey, part, {
      version: stored.version,
      wrote: nonce,
      ours: { token, until, ahead: Number(at) - this.#now() },
    });
    return { written: true, version: stored.version };
  }

  /** Renews the lease by which a document was written; where it is not held any more, the script of the next commit says why. */
  async #beat(runKey: string, part: store.Part, ours: Ours, must: string): Promise<void> {
    const began = this.#now();
    const answer = (await this.#place.call(
      runKey,
      BEAT,
      [this.#keys.run(runKey)],
      [part, ours.token, must],
    )) as string[];
    const [at, ttl] = answer;
    if (ttl === undefined) return;
    ours.until = began + Number(ttl) / RENEWALS;
    ours.ahead = Number(at) - this.#now();
  }

  async #open(runKey: string, part: store.Part): Promise<ReturnType<typeof documentOf>> {
    const answer = (await this.#place.call(runKey, READ, [this.#keys.run(runKey)], [part], [part])) as string[];
    return documentOf(answer, runKey, part, this.#location);
  }
}
