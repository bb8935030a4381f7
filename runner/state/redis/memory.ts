/** What one store remembers of the runs that it works on: by that it knows a server that went back, or forgot, from one that never knew. */

/** The newest version of a document that this store has read or written. */
export interface Known {
  version: number;
  /** Nonce of its write: a version is only the same one with it. */
  wrote: string;
  /** Where it was written here and acknowledged. */
  ours: Ours | undefined;
}

export interface Ours {
  token: number;
  /** The next versions need no script until then, by the clock of this store; 0 where no lease is held with that token. */
  until: number;
  /** What the clock of the server is ahead of that of this store, in milliseconds. */
  ahead: number;
}

const MOST_KNOWN = 10_000;
/** Whoever looks at more runs than these, one after the other, looks at each of them once. */
const MOST_LOOKED_AT = 16;

export class Memory {
  readonly #known = new Map<string, Known>();
  /** Tokens that are held through this store, by run: while there is one, the run has to be there, and the same one. */
  readonly #held = new Map<string, Set<number>>();
  /** Identities of these runs. */
  readonly #born = new Map<string, string>();
  /** Until when nobody can have taken what is held of a run, by the clock of this store. */
  readonly #surelyHeld = new Map<string, number>();

  /** Parts that had a document at the last look at the parts of a run, by run and prefix of their names. */
  readonly #documents = new Map<string, string[]>();

  documentsOf(runKey: string, prefix: string): readonly string[] {
    return this.#documents.get(`${prefix} ${runKey}`) ?? [];
  }

  sawDocuments(runKey: string, prefix: string, parts: string[]): void {
    if (this.#documents.size >= MOST_LOOKED_AT) this.#documents.clear();
    this.#documents.set(`${prefix} ${runKey}`, parts);
  }

  known(runKey: string, part: string): Known | undefined {
    return this.#known.get(`${part} ${runKey}`);
  }

  know(runKey: string, part: string, known: Known): void {
    const key = `${part} ${runKey}`;
    // The oldest goes first.
    this.#known.delete(key);
    this.#known.set(key, known);
    if (this.#known.size <= MOST_KNOWN) return;
    const [first] = this.#known.keys();
    if (first !== undefined) this.#known.delete(first);
  }

  forgetPart(runKey: string, part: string): void {
    this.#known.delete(`${part} ${runKey}`);
  }

  forgetDocuments(runKey: string): void {
    for (const key of this.#known.keys()) if (key.endsWith(` ${runKey}`)) this.#known.delete(key);
  }

  isHeld(runKey: string): boolean {
    return this.#held.has(runKey);
  }

  hold(runKey: string, token: number, born: string, until: number): void {
    const held = this.#held.get(runKey) ?? new Set();
    this.#held.set(runKey, held.add(token));
    this.bear(runKey, born, until);
  }

  /** Who slept for longer can't tell a run that was lost from one that others have ended and removed. */
  isSurelyHeld(runKey: string, now: number): boolean {
    return now < (this.#surelyHeld.get(runKey) ?? 0);
  }

  letGo(runKey: string, token: number): void {
    const held = this.#held.get(runKey);
    held?.delete(token);
    if (held?.size !== 0) return;
    this.#held.delete(runKey);
    this.#born.delete(runKey);
    this.#surelyHeld.delete(runKey);
  }

  /** The identity of a run of which a lease is held or was renewed; empty where none is known. */
  born(runKey: string): string {
    return this.#born.get(runKey) ?? '';
  }

  bear(runKey: string, born: string, until: number): void {
    this.#born.set(runKey, born);
    this.#surelyHeld.set(runKey, until);
  }

  /** Nothing of the run is left. */
  bury(runKey: string): void {
    this.forgetDocuments(runKey);
    this.#born.delete(runKey);
    this.#surelyHeld.delete(runKey);
  }
}
