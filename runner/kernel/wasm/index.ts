// The byte kernel: lines of JSON in, what a program makes of them out. Its caller is kernel/bytes/kernel.ts, which says where
// everything stands; bounds of what it writes are those that it is given here.
import { DEFERRED, FILTERED, lap, runProgram, setProgram } from './program';
import { BLANK, SOUND, hasTwins, lineKind, lineStart, nextLine, sameLine, setPaths, startWalk, walk } from './walk';
import { isSpace } from './tokens';
import { scan } from './scan';
import { setChanged, startEdits, startSpaces, valueNow, writeRecord } from './edits';
import { rowEnd, scanRows } from './row-scan';
import { setColumns, writeRow } from './cells';
import { MAX_SLOTS, RECORD, ROW, ROW_END, SLOTS, SLOT_BYTES } from './memory';

/** For scripts, which read what steps have changed. */
export { valueNow };
/** For those who lay out rows, with an instance of their own. */
export { isFull, laidEnd, layOut, layoutColumns, layoutFormat, startLayout } from './row-layout';

let index: usize = 0;
let suspects: usize = 0;
let escapes: usize = 0;
let spaces: usize = 0;
let out: usize = 0;
let outMost: usize = 0;
let table: usize = 0;
let offsets: usize = 0;
let tableMost: u32 = 0;
let deferrals: usize = 0;
let deferredMost: u32 = 0;

let ix: usize = 0;
let ixEnd: usize = 0;
let input: usize = 0;
let base: f64 = 0;
let stays: bool = false;
/** The program does nothing to records. */
let isIdle: bool = false;
/** It does nothing but filter them. */
let isPlain: bool = false;

/** Of rows: the one at hand, and behind the last; the blocks that have something the cells of the next one may have. */
let row: usize = 0;
let rowsEnd: usize = 0;
let suspect: usize = 0;
let special: usize = 0;
let delimiter: u32 = 0;
let columns: u32 = 0;
/** Bytes of a record beside its cells, at most. */
let keysSize: usize = 0;
/** The steps that walks and writes count as, where each piece of work is timed. */
let isTimed: bool = false;
let parser: u32 = 0;
let writer: u32 = 0;

/** What came of the lines since `start`; of those since the last `work` the first three. */
export let outEnd: usize = 0;
export let kept: u32 = 0;
export let deferred: u32 = 0;
export let records: u32 = 0;
export let recordBytes: u32 = 0;

/** The program, its paths with so many slots, and the slots that it changes. */
export function setup(code: usize, root: usize, slots: u32, changed: usize, changedCount: u32): void {
  setProgram(code);
  setPaths(root, slots);
  setChanged(changed, changedCount);
  isIdle = load<u32>(code) == 0;
  isPlain = !changedCount;
}

/** What rows are: `count` columns at COLUMNS, with keys of so many bytes in all. */
export function rows(delimiter_: u32, count: u32, keysSize_: u32, emptyIsNull: bool): void {
  delimiter = delimiter_;
  columns = count;
  keysSize = <usize>keysSize_ + 8 * count + 64;
  setColumns(delimiter_, count, emptyIsNull);
}

/** From now on each piece of work is timed, or none: walks as the work of step `parser_`, and writes as that of `writer_`. */
export function time(isTimed_: bool, parser_: u32, writer_: u32): void {
  isTimed = isTimed_;
  parser = parser_;
  writer = writer_;
}

/** Where the lists of the scan stand, and what it makes: its bytes, spans and offsets of records, and records that are deferred. */
export function place(
  index_: usize,
  suspects_: usize,
  escapes_: usize,
  spaces_: usize,
  out_: usize,
  outMost_: usize,
  table_: usize,
  offsets_: usize,
  tableMost_: u32,
  deferrals_: usize,
  deferredMost_: u32,
): void {
  index = index_;
  suspects = suspects_;
  escapes = escapes_;
  spaces = spaces_;
  out = out_;
  outMost = outMost_;
  table = table_;
  offsets = offsets_;
  tableMost = tableMost_;
  deferrals = deferrals_;
  deferredMost = deferredMost_;
}

/**
 * Takes the lines at `p`: `size` bytes, a multiple of 64, of which the last is a line feed. `offset`: that of the first byte in its
 * split. Returns whether records are left where they are: then spans count from `p`, and nothing is written.
 */
export function start(p: usize, size: usize, offset: f64): bool {
  input = p;
  base = offset;
  ix = index;
  ixEnd = scan(p, size, index, suspects, escapes, spaces);
  startWalk(p, suspects, escapes, spaces);
  startSpaces(spaces);
  stays = isIdle && load<u32>(spaces) >= 0xffffff00;
  records = 0;
  recordBytes = 0;
  return stays;
}

/** Works on records until there is no room for what comes of the next one; false where all are done. */
export function work(): bool {
  outEnd = out;
  kept = 0;
  deferred = 0;
  while (ix < ixEnd) {
    if (kept == tableMost || deferred == deferredMost) return true;
    const next = walk(ix);
    const end = <usize>load<u32>(next - 4);
    if (isTimed) lap(parser);
    if (lineKind == SOUND) {
      const verdict = hasTwins ? DEFERRED : judge();
      if (verdict == DEFERRED) defer(end);
      else if (verdict != FILTERED) {
        if (!keep()) {
          // A record too large for all the room there is would never get out.
          if (kept || deferred) {
            sameLine();
            return true;
          }
          defer(end);
          ix = next;
          nextLine(end);
          return true;
        }
        if (isTimed) lap(writer);
        count();
      } else count();
    } else if (lineKind != BLANK) defer(end);
    ix = next;
    nextLine(end);
  }
  return false;
}

// @ts-ignore: decorator
@inline
function judge(): u32 {
  if (isIdle) return 0;
  startEdits();
  return runProgram();
}

// @ts-ignore: decorator
@inline
function count(): void {
  records++;
  recordBytes += load<u32>(RECORD, 4) - load<u32>(RECORD);
}

// @ts-ignore: decorator
@inline
function keep(): bool {
  const start = <usize>load<u32>(RECORD);
  const span = table + (<usize>kept << 3);
  if (stays) {
    store<u32>(span, <u32>(start - input));
    store<u32>(span, load<u32>(RECORD, 4) - <u32>input, 4);
  } else {
    const end = writeRecord(outEnd, outMost);
    if (!end) return false;
    store<u32>(span, <u32>(outEnd - out));
    store<u32>(span, <u32>(end - out), 4);
    store<u8>(end, 10);
    outEnd = end + 1;
  }
  store<f64>(offsets + (<usize>kept << 3), base + <f64>(start - input));
  kept++;
  return true;
}

/** The line at hand, up to `end`, is for the value tier: where its record stands, and how many were kept before it. */
function defer(end: usize): void {
  let s = lineStart;
  while (s < end && isSpace(load<u8>(s))) s++;
  let e = end;
  while (e > s && isSpace(load<u8>(e - 1))) e--;
  records++;
  recordBytes += <u32>(e - s);
  const at = deferrals + <usize>deferred * 12;
  store<u32>(at, <u32>(s - input));
  store<u32>(at, <u32>(e - input), 4);
  store<u32>(at, kept, 8);
  deferred++;
}

/**
 * Takes `size` bytes at `p`, whole rows of CSV; behind them stand line feeds, to the next multiple of 64 and 64 more. What comes of
 * them is written, and spans count in that.
 */
export function startRows(p: usize, size: usize, offset: f64): void {
  input = p;
  base = offset;
  row = p;
  rowsEnd = p + size;
  stays = false;
  records = 0;
  recordBytes = 0;
  for (let slot = SLOTS; slot < SLOTS + MAX_SLOTS * SLOT_BYTES; slot += 16) v128.store(slot, i8x16.splat(0));
  scanOn();
  // What is made of rows has no white space.
  store<u32>(spaces, 0xffffff00);
  startSpaces(spaces);
}

/** Scans from the row at hand on. */
function scanOn(): void {
  ix = index;
  // The line feed behind the last row ends that.
  ixEnd = scanRows(row, rowsEnd + 1, delimiter, index, suspects, escapes);
  suspect = suspects;
  special = escapes;
}

/** As `work`, with rows. */
export function workRows(): bool {
  outEnd = out;
  kept = 0;
  deferred = 0;
  const ends = <usize>(columns - 1) << 2;
  while (row < rowsEnd) {
    if (kept == tableMost || deferred == deferredMost) return true;
    if (ix + ends >= ixEnd || (<usize>load<u32>(ix) == row && <u32>load<u8>(row) != delimiter)) {
      // Nothing at all, fewer cells than columns in what is left, or a quote at which the scan stopped.
      deferOdd();
      continue;
    }
    const end = <usize>load<u32>(ix + ends);
    const c = <u32>load<u8>(end);
    while (<usize>load<u32>(suspect) + 63 < row) suspect += 4;
    while (<usize>load<u32>(special) + 63 < row) special += 4;
    if ((c != 10 && c != 13) || <usize>load<u32>(suspect) <= end) {
      deferOdd();
      continue;
    }
    const isSpecial = <usize>load<u32>(special) < end;
    const size = (end - row) * (isSpecial ? 6 : 1) + keysSize;
    const at = isPlain ? outEnd : ROW;
    if (at + size > (isPlain ? outMost : ROW_END)) {
      if (isPlain && (kept || deferred)) return true;
      deferOdd();
      continue;
    }
    const made = writeRow(row, ix, at, isSpecial);
    if (isTimed) lap(parser);
    if (!made) {
      deferOdd();
      continue;
    }
    store<u32>(RECORD, <u32>at);
    store<u32>(RECORD, <u32>made, 4);
    store<u32>(RECORD, <u32>row, 8);
    const verdict = judge();
    if (verdict == DEFERRED) {
      deferOdd();
      continue;
    }
    if (verdict != FILTERED) {
      const written = isPlain ? made : writeRecord(outEnd, outMost);
      if (!written) {
        // A record too large for all the room there is would never get out.
        if (kept || deferred) return true;
        deferOdd();
        continue;
      }
      const span = table + (<usize>kept << 3);
      store<u32>(span, <u32>(outEnd - out));
      store<u32>(span, <u32>(written - out), 4);
      store<f64>(offsets + (<usize>kept << 3), base + <f64>(row - input));
      store<u8>(written, 10);
      outEnd = written + 1;
      kept++;
      if (isTimed) lap(writer);
    }
    records++;
    recordBytes += <u32>(end - row);
    ix += ends;
    nextRow(end);
  }
  return false;
}

/** The next row begins behind the line end at `end`, which the index is at. */
// @ts-ignore: decorator
@inline
function nextRow(end: usize): void {
  ix += 4;
  row = end + 1;
  if (load<u8>(end) == 13 && load<u8>(row) == 10) {
    if (ix < ixEnd && <usize>load<u32>(ix) == row) ix += 4;
    row++;
  }
}

/** The row at hand is for the value tier, unless there is nothing in it. */
function deferOdd(): void {
  while (ix < ixEnd && <u32>load<u8>(load<u32>(ix)) == delimiter) ix += 4;
  const isFound = ix < ixEnd;
  let end = isFound ? <usize>load<u32>(ix) : rowEnd(row, rowsEnd, delimiter);
  const behind = end;
  if (end == rowsEnd) {
    // Line ends at the very end are none of the row, even in quotes that nobody closed.
    if (end > row && load<u8>(end - 1) == 10) end--;
    if (end > row && load<u8>(end - 1) == 13) end--;
  }
  if (end > row) {
    records++;
    recordBytes += <u32>(end - row);
    const at = deferrals + <usize>deferred * 12;
    store<u32>(at, <u32>(row - input));
    store<u32>(at, <u32>(end - input), 4);
    store<u32>(at, kept, 8);
    deferred++;
  }
  nextRow(behind);
  if (!isFound) scanOn();
}
