/**
 * The documents of the backend `file`: a folder a run key, in it a chain of versions a document (`chain.ts`). A version that is
 * there never changes, so what was read of it once is known for good.
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import * as chain from './chain.ts';
import { checkRunKey, corrupt } from './faults.ts';
import { thisMachine } from './host.ts';
import { checkPart } from './parts.ts';
import { folderName, type Glance, type Head, isFolderName, type Payload, parsePayload } from './payload.ts';
import { seal, unseal } from './seal.ts';
import type { Grade, Part } from './store.ts';

/** What to do with the newest version: put another in its place, or give up with an answer. */
export type Decision<T> = { next: Payload } | { answer: T };

/** The newest versions of all parts of a run, and the names of the other files in its folder. */
export interface Overview {
  glances: ReadonlyMap<Part, Glance>;
  others: readonly string[];
}

/** Runs whose newest versions are remembered, at most. */
const REMEMBERED = 64;

export class FileDocuments {
  readonly basePath: string;
  /** Folder of all runs. */
  readonly runs: string;
  readonly #shared: boolean;
  readonly #tidied = new Set<string>();
  readonly #known = new Map<string, { made: string; glances: ReadonlyMap<Part, Glance> }>();

  /** `shared`: many hosts write there, and a file server keeps what they have closed. */
  constructor(basePath: string, shared = false) {
    this.basePath = basePath;
    this.#shared = shared;
    this.runs = join(basePath, 'runs');
  }

  folder(runKey: string): string {
    checkRunKey(runKey);
    return join(this.runs, folderName(runKey));
  }

  /** The names of the folders of all runs. */
  async folders(): Promise<string[]> {
    return (await chain.listFolder(this.runs)).filter(isFolderName);
  }

  async makeFolder(runKey: string): Promise<string> {
    const folder = this.folder(runKey);
    await chain.makeFolder(folder);
    if (!this.#tidied.has(folder)) {
      this.#tidied.add(folder);
      await chain.dropLeftovers(folder);
    }
    if ((await noteIn(folder)).made === undefined) await writeNote(folder, runKey);
    return folder;
  }

  /** The run key of a folder; where its note is damaged, the folder's own name, which at least a person can read. */
  async keyOf(name: string): Promise<string> {
    const { runKey } = await noteIn(join(this.runs, name));
    return runKey !== undefined && folderName(runKey) === name ? runKey : name;
  }

  /** Puts a version behind the newest one; looks and decides again whenever somebody else was faster. */
  async advance<T>(
    runKey: string,
    part: Part,
    grade: Grade,
    decide: (head: Head | undefined) => Promise<Decision<T>>,
  ): Promise<Decision<T>> {
    for (;;) {
      const head = await this.head(runKey, part);
      const decision = await decide(head);
      if ('answer' in decision) return decision;
      const folder = await this.makeFolder(runKey);
      if (await chain.extend(folder, part, head?.number ?? 0, seal(decision.next), grade)) return decision;
    }
  }

  next(runKey: string, part: Part, head: Head | undefined, token: number): Payload {
    return {
      run_key: runKey,
      part,
      version: head?.version ?? 0,
      token,
      written_at: new Date().toISOString(),
      boot_id: thisMachine().bootId,
      body: head?.body ?? null,
      lease: head?.lease ?? null,
      removed: head?.removed ?? false,
    };
  }

  /** The newest version that counts; throws where it is damaged. */
  async head(runKey: string, part: Part): Promise<Head | undefined> {
    checkPart(part);
    const folder = this.folder(runKey);
    for (;;) {
      const found = (await chain.scan(folder)).chains.get(part);
      if (found === undefined) return undefined;
      const head = await this.#newest(runKey, part, found);
      // Gone since we looked: there are newer ones.
      if (head !== undefined) return head;
    }
  }

  /** One version, or undefined where it is damaged. */
  async version(runKey: string, part: Part, number: number): Promise<Head | undefined> {
    const path = chain.versionFile(this.folder(runKey), part, number);
    const found = parsePayload((await chain.readOrNothing(path)) ?? '', path, runKey, part);
    return 'payload' in found ? { ...found.payload, number } : undefined;
  }

  /** Looks into the folder once, and reads only what is new since it was looked at before. */
  async overview(runKey: string): Promise<Overview> {
    const folder = this.folder(runKey);
    for (;;) {
      const { made } = await noteIn(folder);
      const known = this.#known.get(folder);
      const { chains, others } = await chain.scan(folder);
      const glances = new Map<Part, Glance>();
      for (const [part, found] of chains) {
        let glance = made !== undefined && known?.made === made ? known.glances.get(part) : undefined;
        if (glance === undefined || glance.number !== found.numbers.at(-1)) {
          const head = (await this.#newest(runKey, part, found)) ?? (await this.head(runKey, part));
          if (head === undefined) continue;
          const { body, ...rest } = head;
          glance = { ...rest, present: body !== null };
        }
        glances.set(part, glance);
      }
      // Another folder has taken its place meanwhile, in which versions count anew.
      if ((await noteIn(folder)).made !== made) continue;
      if (made !== undefined) this.#remember(folder, { made, glances });
      return { glances, others };
    }
  }

  /** Tokens are compared across the documents of a run, so each new one is above all of them. */
  async highestToken(runKey: string): Promise<number> {
    const { glances } = await this.overview(runKey);
    return Math.max(0, ...[...glances.values()].map(({ token }) => token));
  }

  /** Tokens of a damaged run, as far as they can be told from what is readable. */
  async knownTokens(runKey: string): Promise<number[]> {
    const { chains, others } = await chain.scan(this.folder(runKey));
    const tokens = others.map((name) => Number(/^lease-.*-(\d+)\.json$/.exec(name)?.[1] ?? 0));
    for (const [part, { numbers }] of chains) {
      for (const number of numbers) tokens.push((await this.version(runKey, part, number))?.token ?? 0);
    }
    return tokens;
  }

  /**
   * Undefined where it is gone. A damaged one is an error, but for one case: it was not synced and the last synced one comes from
   * another boot, so the power failed before it reached the disk; then the synced one counts. In a shared folder another boot is
   * another host, and proves nothing.
   */
  async #newest(runKey: string, part: Part, { numbers, hard }: chain.Chain): Promise<Head | undefined> {
    const newest = numbers.at(-1) ?? 0;
    const path = chain.versionFile(this.folder(runKey), part, newest);
    const text = await chain.readOrNothing(path);
    if (text === undefined) return undefined;
    const head = parsePayload(text, path, runKey, part);
    if ('payload' in head) return { ...head.payload, number: newest };
    const synced = numbers.findLast((number) => hard.has(number));
    if (!this.#shared && synced !== undefined && synced !== newest) {
      const last = await this.version(runKey, part, synced);
      if (last !== undefined && last.boot_id !== thisMachine().bootId) return { ...last, number: newest };
    }
    throw corrupt(path, head.reason, runKey);
  }

  #remember(folder: string, known: { made: string; glances: ReadonlyMap<Part, Glance> }): void {
    this.#known.delete(folder);
    this.#known.set(folder, known);
    const [oldest] = this.#known.keys();
    if (this.#known.size > REMEMBERED && oldest !== undefined) this.#known.delete(oldest);
  }
}

/** The note in a run's folder: its key, and a mark that tells it from a folder that had its place before. */
async function noteIn(folder: string): Promise<{ runKey?: string | undefined; made?: string | undefined }> {
  const found = unseal((await chain.readOrNothing(join(folder, 'key'))) ?? '');
  const { run_key: runKey, made } = found.kind === 'good' ? found.payload : {};
  return {
    runKey: typeof runKey === 'string' ? runKey : undefined,
    made: typeof made === 'string' ? made : undefined,
  };
}

export function writeNote(folder: string, runKey: string): Promise<void> {
  return chain.replaceFile(folder, 'key', seal({ run_key: runKey, made: randomBytes(8).toString('hex') }));
}
