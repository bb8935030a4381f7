// The byte kernel: lines of JSON in, what a program makes of them out. Its caller is kernel/bytes/kernel.ts, which says where
// everything stands; bounds of what it writes are those that it is given here.
import { DEFERRED, FILTERED, lap, runProgram, setProgram } from './program';
import { BLANK, SOUND, hasTwins, lineKind, lineStart, nextLine, sameLine, setPaths, startWalk, walk } from './walk';
import { isSpace } from './tokens';
import { scan } from './scan';
import { setChanged, startEdits, startSpaces, valueNow, writeRecord } from './edits';
import { RECORD } from './memory';

/** For scripts, which read what steps have changed. */
export { valueNow };

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
