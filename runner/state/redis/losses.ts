/**
 * How a run that the store has lost is told from one that it never had. Whoever holds a lease knows the identity of the run; a project
 * has a note of each of its own unfinished runs; and for those who come from elsewhere the store has an entry for each, apart from the
 * runs, made behind the first document and gone when the run is finished or removed. Where there is an entry and no run, the run was
 * evicted, or lost with one server of a cluster. A store that was emptied has no entries, either: who was at work in it puts that of
 * his run back, so that nobody else begins it from zero.
 */
import { OxiError } from '../../engine/errors.ts';
import { type RunNotes, TRUSTED_MS } from '../notes.ts';
import type { Keys } from './keys.ts';
import type { Memory } from './memory.ts';
import type { Place } from './place.ts';
import { script } from './prelude.ts';
import { IS_THERE } from './scripts.ts';

/** key: the unfinished runs; run key */
const KEEP = script(`return redis.call('HSET', K, ARGV[1], int(now()))`);
const FORGET = script(`return redis.call('HDEL', K, ARGV[1])`);
const HAS = script(`return redis.call('HEXISTS', K, ARGV[1])`);

/** key: the unfinished runs; age in milliseconds of an entry that says nothing any more */
const PRUNE = script(`
local cutoff, gone = now() - tonumber(ARGV[1]), 0
for _, runKey in ipairs(redis.call('HKEYS', K)) do
  if (tonumber(redis.call('HGET', K, runKey)) or 0) <= cutoff then gone = gone + redis.call('HDEL', K, runKey) end
end
return gone
`);

interface Scene {
  place: Place;
  keys: Keys;
  memory: Memory;
  notes: RunNotes | undefined;
  location: string;
  warn: (text: string) => void;
  /** The clock of the store. */
  now: () => number;
}

export class Losses {
  readonly #o: Scene;
  readonly #kept = new Set<string>();
  /** Runs that nobody would miss. */
  readonly #over = new Set<string>();

  constructor(scene: Scene) {
    this.#o = scene;
  }

  /** What has to be there of the run, as the scripts take it (see "lost" there). Throws as `Place.begin`. */
  async mustBeThere(runKey: string, fresh: boolean): Promise<string> {
    const { place, keys, memory, notes } = this.#o;
    await place.begin();
    if (fresh) return '-';
    if (memory.isHeld(runKey)) return memory.born(runKey);
    if ((await notes?.find(runKey)) !== undefined) return '~';
    return Number(await place.call(runKey, HAS, [keys.unfinished], [runKey])) === 1 ? '~' : '';
  }

  /** The run is unfinished, and its document is there. */
  async keep(runKey: string): Promise<void> {
    const { place, notes, location, warn } = this.#o;
    if (this.#kept.has(runKey)) return;
    await this.#mark(runKey);
    this.#kept.add(runKey);
    this.#over.delete(runKey);
    const trouble = await notes?.keep(runKey, await place.begin());
    if (trouble !== undefined)
      warn(`the run can't be noted in the project (${trouble}): should ${location} lose its data, nobody will know`);
  }

  /** Nobody would miss it. */
  async forget(runKey: string): Promise<void> {
    await this.forgetInStore(runKey);
    await this.#o.notes?.forget(runKey);
  }

  async forgetInStore(runKey: string): Promise<void> {
    const { place, keys } = this.#o;
    this.#kept.delete(runKey);
    this.#over.add(runKey);
    await place.call(runKey, FORGET, [keys.unfinished], [runKey]);
  }

  async prune(): Promise<void> {
    await this.#o.place.call(undefined, PRUNE, [this.#o.keys.unfinished], [TRUSTED_MS]);
  }

  /** The error of whoever was told that the run is lost. */
  async error(runKey: string): Promise<OxiError> {
    const { place, keys, memory, notes, location, now } = this.#o;
    // A run of which nothing was saved is nobody's loss.
    const wasThere = (memory.known(runKey, 'run')?.version ?? 0) > 0 && !this.#over.has(runKey);
    if (wasThere && memory.isSurelyHeld(runKey, now())) {
      // What others have begun since then is theirs.
      const isThere = Number(await place.call(runKey, IS_THERE, [keys.run(runKey)])) === 1;
      if (!isThere) await this.#mark(runKey);
    }
    const note = await notes?.find(runKey);
    const isOther = note !== undefined && note.store !== '' && note.store !== (await place.begin());
    const how = isOther
      ? 'it is another store than then, or one that began anew without its data'
      : 'it has lost its data, or was emptied';
    return new OxiError(
      'STATE_LOST',
      `run "${runKey}" was in ${location} and is not there any more: ${how}. Give the server its data back, or start over with --fresh`,
    );
  }

  async #mark(runKey: string): Promise<void> {
    await this.#o.place.call(runKey, KEEP, [this.#o.keys.unfinished], [runKey]);
  }
}
