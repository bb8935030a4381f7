/**
 * Cuts an input into split groups, which workers claim: runs of neighbouring splits in order, of about as many bytes each. Small
 * files go together; a large one is cut in ranges, where records begin. The same input and wish give the same groups.
 */

import type { CutWish, ParserOxi, SelectPath, Source, Split, SplitRange, StreamInfo } from '../engine/contracts.ts';
import { hasByteOrderMark } from '../engine/first-look.ts';
import type { RecordedInput } from '../engine/resume.ts';
import { SourceText } from '../engine/source-text.ts';
import { giveBuffer } from '../kernel/buffers.ts';
import type { Json } from '../state/store.ts';

/** What is to be cut: the input of a segment, as it was opened, and what makes records of it. */
export interface CutInput extends Pick<RecordedInput, 'source' | 'splits' | 'stream'> {
  parser: { oxi: ParserOxi; step: { config: unknown } } | undefined;
  select: SelectPath | undefined;
}

/** A place in a file where a record begins. */
interface Cut {
  at: number;
  framer: Json;
}

/** A place that a cut is wanted at; `near`: an edge of a file that is so near to it is taken instead. */
interface Wanted {
  at: number;
  near: number;
}

/** The input as one line of bytes, a file behind the other. */
interface Laid {
  split: Split;
  start: number;
  end: number;
}

const LF = 0x0a;
/** What is near to a cut, as a part of the smaller group beside it: at an edge of a file nothing has to be looked for. */
const NEAR = 1 / 16;
/** Values that end by themselves: `}`, `]`, `"`. Behind a number the next byte tells whether it goes on. */
const ENDS: ReadonlySet<number | undefined> = new Set([0x7d, 0x5d, 0x22]);

/** Throws what reading may throw, and OxiError DOCUMENT_BROKEN where a file tells no columns. */
export async function cutInput(
  input: CutInput,
  wish: CutWish,
  signal = new AbortController().signal,
): Promise<Split[][]> {
  const { source, splits } = input;
  const cutter = source.source.cut?.bind(source.source);
  const groups = await (cutter?.(splits, wish) ?? cutFiles(input, wish, signal));
  while (wish.exactly === true && groups.length < wish.groups) groups.push([]);
  return groups.map((group) => group.map((split, index) => ({ ...split, index, place: split.index })));
}

async function cutFiles(input: CutInput, wish: CutWish, signal: AbortSignal): Promise<Split[][]> {
  const line = laidOut(input.splits);
  const total = line.at(-1)?.end ?? 0;
  const wanted = wantedCuts(total, wish);
  const groups: Split[][] = [[]];
  for (const laid of line) {
    // One that is wanted at the end of a file is the matter of the next one's beginning.
    const own = wanted.filter(({ at }) => at >= laid.start && at < laid.end);
    const cuts = await cutsIn(input, laid, own, signal);
    if (cuts.atStart) begin(groups);
    const ranges = await rangesOf(input.source.source, laid.split, cuts.inside);
    for (const [i, range] of ranges.entries()) {
      if (i > 0) begin(groups);
      groups.at(-1)?.push(range === undefined ? laid.split : { ...laid.split, range });
    }
    if (cuts.atEnd) begin(groups);
  }
  if (groups.length > 1 && groups.at(-1)?.length === 0) groups.pop();
  return groups;
}

/** Between groups of these sizes, else of one size. */
function wantedCuts(total: number, { groups, exactly, minBytes, sizes }: CutWish): Wanted[] {
  const most = exactly === true ? groups : Math.floor(total / Math.max(1, minBytes));
  const count = Math.max(1, Math.min(groups, most));
  const each = sizes ?? Array.from({ length: count }, () => total / count);
  const wanted = new Map<number, Wanted>();
  let end = 0;
  for (const [i, size] of each.slice(0, -1).entries()) {
    end += size;
    const at = Math.round(end);
    if (at < total && !wanted.has(at)) wanted.set(at, { at, near: NEAR * Math.min(size, each[i + 1] ?? size) });
  }
  return [...wanted.values()];
}

function begin(groups: Split[][]): void {
  if (groups.at(-1)?.length !== 0) groups.push([]);
}

function laidOut(splits: readonly Split[]): Laid[] {
  let start = 0;
  return splits.map((split) => {
    // An empty one, or one of unknown size, is some work all the same.
    const laid = { split, start, end: start + Math.max(1, split.size ?? 0) };
    start = laid.end;
    return laid;
  });
}

/** Where a file is cut, for the cuts that are wanted in it. */
async function cutsIn(
  { source: { source }, stream, parser, select }: CutInput,
  { split, start, end }: Laid,
  wanted: readonly Wanted[],
  signal: AbortSignal,
): Promise<{ atStart: boolean; atEnd: boolean; inside: Cut[] }> {
  if (wanted.length === 0) return { atStart: false, atEnd: false, inside: [] };
  const config = parser?.step.config as never;
  const isOpen = source.kind === 'offset' && new SourceText(source, split, true).isOpenAnywhere;
  const how = isOpen ? parser?.oxi.cutting?.(config, stream, select) : undefined;
  const half = (end - start) / 2;
  const edgeOf = ({ near }: Wanted): number => (how === undefined ? half : Math.min(near, half));
  const isAtStart = (want: Wanted): boolean => want.at - start < edgeOf(want);
  const isAtEnd = (want: Wanted): boolean => end - want.at <= edgeOf(want);
  const atStart = wanted.some(isAtStart);
  const atEnd = wanted.some(isAtEnd);
  const offsets = wanted.filter((want) => !isAtStart(want) && !isAtEnd(want)).map(({ at }) => at - start);
  if (how === undefined || parser === undefined || offsets.length === 0) return { atStart, atEnd, inside: [] };
  const inside =
    how === 'lines'
      ? await cutLines(source, split, offsets, signal)
      : await cutScanning(source, split, { oxi: parser.oxi, config, stream, select }, offsets, signal);
  return { atStart, atEnd, inside };
}

async function rangesOf(source: Source, split: Split, cuts: readonly Cut[]): Promise<(SplitRange | undefined)[]> {
  const { size = 0 } = split;
  if (cuts.length === 0) return [undefined];
  const ranges: SplitRange[] = [];
  const starts: Cut[] = [{ at: 0, framer: null }, ...cuts];
  for (const [i, { at: from, framer }] of starts.entries()) {
    const fingerprint = from === 0 ? '' : ((await source.fingerprint?.(split, from)) ?? '');
    ranges.push({ from, to: starts[i + 1]?.at ?? size, framer, fingerprint });
  }
  return ranges;
}

/** Behind the first line feed from each wanted place on; the rest of the file is not looked at. */
async function cutLines(source: Source, split: Split, wanted: readonly number[], signal: AbortSignal): Promise<Cut[]> {
  const { size = 0 } = split;
  const cuts: Cut[] = [];
  for (const want of wanted) {
    if (want <= (cuts.at(-1)?.at ?? 0)) continue;
    const at = await behindLine(source, split, want - 1, signal);
    if (at === undefined || at >= size) break;
    cuts.push({ at, framer: null });
  }
  return cuts;
}

async function behindLine(
  source: Source,
  split: Split,
  from: number,
  signal: AbortSignal,
): Promise<number | undefined> {
  for await (const { bytes, after } of source.open(split, from, signal)) {
    const found = bytes.indexOf(LF);
    const at = after - bytes.length + found + 1;
    giveBuffer(bytes);
    if (found >= 0) return at;
  }
  signal.throwIfAborted();
  return undefined;
}

interface Reading {
  oxi: ParserOxi;
  config: never;
  stream: StreamInfo;
  select: SelectPath | undefined;
}

/** Behind the last whole record before each wanted place: all in front of the last one is read once, by what will frame it. */
async function cutScanning(
  source: Source,
  split: Split,
  reading: Reading,
  wanted: readonly number[],
  signal: AbortSignal,
): Promise<Cut[]> {
  const cuts: Cut[] = [];
  const left = [...wanted];
  const begins = hasByteOrderMark(await source.peek(split, 3)) ? 3 : 0;
  const look = lookOut(split, reading, begins);
  for await (const { bytes, after } of source.open(split, begins, signal)) {
    const before = after - bytes.length;
    for (const end of [...left.filter((want) => want > before && want < after), after]) {
      const piece = bytes.subarray(Math.max(0, look.at - before), end - before);
      // Who takes bytes may give their memory back.
      look.push(piece.length === bytes.length ? bytes : new Uint8Array(piece));
      if (left[0] !== end) continue;
      left.shift();
      const { last } = look;
      if (last !== undefined && last.at > (cuts.at(-1)?.at ?? begins)) cuts.push(last);
    }
    if (left.length === 0) break;
  }
  signal.throwIfAborted();
  return cuts;
}

/** Takes the bytes of a file, and knows where its last whole record ended. */
interface LookOut {
  /** Behind what it was given. */
  readonly at: number;
  readonly last: Cut | undefined;
  push(bytes: Uint8Array): void;
}

function lookOut(split: Split, { oxi, config, stream, select }: Reading, begins: number): LookOut {
  const at = { offset: begins, state: null, name: split.name };
  const chunker = oxi.chunk?.(config, stream, at);
  const framer = chunker === undefined ? oxi.frame(config, stream, select, at) : undefined;
  const look = {
    at: begins,
    last: undefined as Cut | undefined,
    push(bytes: Uint8Array) {
      look.at += bytes.length;
      if (chunker !== undefined) {
        chunker.push(bytes);
        look.last = { at: look.at - chunker.pending, framer: chunker.snapshot() };
        return;
      }
      if (framer === undefined) return;
      const { bytes: framed, spans, count } = framer.push(bytes);
      if (count > 0 && ENDS.has(framed[(spans[2 * count - 1] as number) - 1]))
        look.last = { at: look.at - framer.pending, framer: framer.snapshot() };
    },
  };
  return look;
}
