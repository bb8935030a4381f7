/**
 * The parts of a file that several workers made, `.NAME.OWNER-00003-of-00008.oxiflow-merge` beside it, become that file. What is
 * put together is staged as any output; then a note beside it says so, and carries the token of who wrote it; then the parts go,
 * and the output is published.
 * Invariants: the parts are whole as long as no note speaks of what was staged; a note goes last, so with neither parts nor a note
 * all of it is done.
 */
import { createHash } from 'node:crypto';
import { open, readdir, readFile, rename, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import * as z from 'zod/mini';
import type { MergeOptions, Output, PartOutput, PartText, RawBlock, Share, SinkRun } from '../../engine/contracts.ts';
import { crashpoint } from '../../engine/crashpoint.ts';
import { errnoOf, ioError, OxiError } from '../../engine/errors.ts';
import { partName, partNumber } from '../../engine/part-name.ts';
import type { Json } from '../../state/store.ts';
import { behindLinks } from './place.ts';
import { readBlocks } from './staged-file.ts';
import { readText, StagedText, type TextMark, type TextOptions } from './staged-text.ts';
import { remove, stemOf, syncFolder } from './staging.ts';

export const MERGE_SUFFIX = '.oxiflow-merge';

/** Where a worker leaves its part of the output `path`: a name that nobody takes for an output. */
export function hiddenPart(path: string, run: SinkRun, share: Share): string {
  const target = behindLinks(path);
  return join(dirname(target), `${stemOf(basename(target), run)}${partNumber(share)}${MERGE_SUFFIX}`);
}

/** How often a merge that takes long looks whether it is still to be done here. */
const LOOK_MS = 1000;

interface Part extends PartOutput {
  path: string;
  share: Share;
}

/** Throws OxiError IO_FAILED where a part is gone, or another one than was made. */
export async function mergeFiles(
  options: TextOptions,
  run: SinkRun,
  outputs: readonly PartOutput[],
  { join: joining, mustHold }: MergeOptions,
): Promise<Output> {
  const parts = outputs.map((output, index): Part => {
    const share = { index, of: outputs.length };
    return { ...output, share, path: hiddenPart(options.path, run, share) };
  });
  const rows = sum(parts, (part) => part.rows);
  // A mark in front of each text has to go: they are decoded.
  const isCopied = joining === undefined && options.encoding !== 'utf-16';
  const own = { ...run, step: mergeStep(run), finishing: false };
  const text = new StagedText(
    isCopied ? { ...options, encoding: 'utf-8', codec: undefined, level: undefined } : options,
  );
  const notes = new Notes(options.path, own);
  try {
    const noted = await notes.read();
    const held = noted && (await text.open({ ...own, finishing: true }, noted));
    let mark: TextMark;
    if (noted !== undefined && held?.at === 'mark') {
      // It may be a copy, which is another file than the note speaks of.
      mark = await text.prepare(1, true);
    } else {
      if (await areAllGone(parts)) {
        if (held?.at === 'lost') throw failed(options, held.reason);
        return await doneOutput(options, parts);
      }
      for (const part of parts) await mustBeWhole(options, part);
      await text.open(own, undefined);
      const join = isCopied ? undefined : (joining ?? behindEachOther);
      mark = await put(text, () => whileHeld(pieces(options, parts, join), mustHold));
    }
    await mustHold();
    await notes.write(mark);
    crashpoint('noted');
    await mustHold();
    await text.finish(mark);
    // Not before: one that slept while another merged anew has no file to finish any more, and the other still reads the parts.
    for (const { path } of parts) await remove(path);
    crashpoint('parted');
    await mustHold();
    await notes.clear();
    await sweep(options.path, run);
    return { path: options.path, rows, bytes: mark.bytes };
  } catch (error) {
    throw ioError(error, `step "${options.step}": ${options.name}`, { step: options.step, file: options.name });
  } finally {
    await text.close();
  }
}

/** Whoever was overtaken, or is to end, puts no more together than it does between two looks. */
async function* whileHeld(
  pieces: AsyncIterable<Uint8Array>,
  mustHold: MergeOptions['mustHold'],
): AsyncGenerator<Uint8Array> {
  let looked = performance.now();
  for await (const piece of pieces) {
    yield piece;
    if (performance.now() - looked < LOOK_MS) continue;
    await mustHold();
    looked = performance.now();
  }
}

/** Nothing of it stays where it fails. */
async function put(text: StagedText, make: () => AsyncIterable<Uint8Array>): Promise<TextMark> {
  try {
    for await (const piece of make()) await text.write(piece);
    return await text.prepare(1, true);
  } catch (error) {
    await text.discard();
    throw error;
  }
}

async function* pieces(
  options: TextOptions,
  parts: readonly Part[],
  joining: MergeOptions['join'],
): AsyncGenerator<Uint8Array> {
  const full = parts.filter(({ rows }) => rows > 0);
  if (joining !== undefined) {
    yield* joining(
      full.map((part): PartText => {
        const read = (): AsyncGenerator<RawBlock> => blocksOf(part.path);
        return { ...part, name: partName(options.name, part.share), text: () => readText(options, read) };
      }),
    );
    return;
  }
  // What is packed says that it holds nothing, too.
  const [first] = parts;
  const isEmpty = full.length === 0 && !options.append;
  for (const { path } of isEmpty && first !== undefined ? [first] : full)
    for await (const { bytes } of blocksOf(path)) yield bytes;
}

async function* behindEachOther(parts: readonly PartText[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield* part.text();
}

async function* blocksOf(path: string): AsyncGenerator<RawBlock> {
  const file = await open(path, 'r');
  crashpoint('merging');
  try {
    yield* readBlocks(file, (await file.stat()).size, new Uint8Array());
  } finally {
    await file.close();
  }
}

/** What was merged before, for whoever asks again. */
async function doneOutput(options: TextOptions, parts: readonly Part[]): Promise<Output> {
  const there = await stat(options.path).catch(() => undefined);
  if (there === undefined) throw failed(options, 'its parts are gone, and it was not put together');
  const bytes = options.append ? sum(parts, (part) => part.bytes) : there.size;
  return { path: options.path, rows: sum(parts, (part) => part.rows), bytes };
}

async function areAllGone(parts: readonly Part[]): Promise<boolean> {
  for (const { path } of parts) if ((await sizeAt(path)) !== undefined) return false;
  return true;
}

async function mustBeWhole(options: TextOptions, { path, bytes, share }: Part): Promise<void> {
  const size = await sizeAt(path);
  if (size === bytes) return;
  const what = size === undefined ? 'is gone' : `has ${size} bytes, and ${bytes} were written`;
  throw failed(options, `part ${share.index} of ${share.of} (${path}) ${what}`);
}

async function sizeAt(path: string): Promise<number | undefined> {
  return stat(path).then(
    ({ size }) => size,
    (error) => {
      if (errnoOf(error) === 'ENOENT') return undefined;
      throw error;
    },
  );
}

/** What earlier runs of the same key left, that were cut otherwise or given up. */
async function sweep(path: string, run: SinkRun): Promise<void> {
  const target = behindLinks(path);
  const folder = dirname(target);
  const stems = [run, { ...run, step: mergeStep(run) }].map((one) => stemOf(basename(target), one));
  for (const name of await readdir(folder))
    if (name.endsWith(MERGE_SUFFIX) && stems.some((stem) => name.startsWith(stem))) await remove(join(folder, name));
}

function mergeStep({ step }: SinkRun): string {
  return `${step}.merge`;
}

function failed({ step, name }: TextOptions, what: string): OxiError {
  return new OxiError('IO_FAILED', `step "${step}": ${name}: ${what}; start over with --fresh`, {
    place: { step, file: name },
  });
}

function sum<T>(list: readonly T[], of: (one: T) => number): number {
  return list.reduce((all, one) => all + of(one), 0);
}

/** What was staged is whole, and at this mark: a file for each token, the youngest of which counts. Those of other runs do not. */
class Notes {
  readonly #folder: string;
  readonly #stem: string;
  readonly #token: number;

  constructor(path: string, run: SinkRun) {
    const target = behindLinks(path);
    const id = createHash('sha256').update(run.runId).digest('hex').slice(0, 12);
    this.#folder = dirname(target);
    this.#stem = `${stemOf(basename(target), run)}.${id}.`;
    this.#token = run.token;
  }

  async read(): Promise<TextMark | undefined> {
    const [last] = (await this.#all()).sort((a, b) => b - a);
    if (last === undefined) return undefined;
    const text = await readFile(this.#pathOf(last), 'utf8');
    const shape = z.strictObject({ bytes: z.number(), data: z.record(z.string(), z.custom<Json>()) });
    return z.parse(shape, JSON.parse(text));
  }

  async write(mark: TextMark): Promise<void> {
    const path = this.#pathOf(this.#token);
    const copy = `${path}.copy`;
    const file = await open(copy, 'w', 0o666);
    try {
      await file.writeFile(JSON.stringify({ bytes: mark.bytes, data: mark.data }));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(copy, path);
    await syncFolder(this.#folder);
  }

  async clear(): Promise<void> {
    for (const token of await this.#all()) await remove(this.#pathOf(token));
  }

  /** Tokens of those that are there, up to our own. */
  async #all(): Promise<number[]> {
    const names = (await readdir(this.#folder)).filter(
      (name) => name.startsWith(this.#stem) && name.endsWith(MERGE_SUFFIX),
    );
    const tokens = names.map((name) => Number(name.slice(this.#stem.length, -MERGE_SUFFIX.length)));
    return tokens.filter((token) => token <= this.#token);
  }

  #pathOf(token: number): string {
    return join(this.#folder, `${this.#stem}${token}${MERGE_SUFFIX}`);
  }
}
