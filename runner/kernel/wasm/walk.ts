// The walk over the structural characters of one record: brackets pair, values and colons stand where they are due, every number and
// name is one, and the values of wanted paths are noted. What it is not sure of, or finds under suspicion, it calls unsure.
import { MAX_DEPTH, RECORD, SLOTS, SLOT_BYTES, STACK } from './memory';
import { wantAt, wantEscaped, wantOf } from './keys';
import { isScalar, isSpace } from './tokens';

/** What a line is. */
export const BLANK: u32 = 0;
export const SOUND: u32 = 1;
/** Broken, or something that only the value tier can judge. */
export const UNSURE: u32 = 2;

/** Levels that the lean way through an unwanted container can tell. */
const LEAN_DEPTH: u32 = 60;

let rootNode: usize = 0;
let slotsEnd: usize = 0;
let suspect: usize = 0;
let escape: usize = 0;
let escapeAtLine: usize = 0;
let hasSpaces: bool = false;

/** Where the line at hand begins, and what the last one was. */
export let lineStart: usize = 0;
export let lineKind: u32 = 0;
/** A wanted key stands in the record more than once. */
export let hasTwins: bool = false;

/** `root`: the node of the paths, with so many slots in all. */
export function setPaths(root: usize, slots: u32): void {
  rootNode = root;
  slotsEnd = SLOTS + <usize>slots * SLOT_BYTES;
}

/** The next walk begins at the line at `p`; the lists are those of the scan. */
export function startWalk(p: usize, suspects: usize, escapes: usize, spaces: usize): void {
  lineStart = p;
  suspect = suspects;
  escape = escapes;
  hasSpaces = load<u32>(spaces) < 0xffffff00;
}

/** The line at hand will be walked over again. */
export function sameLine(): void {
  escape = escapeAtLine;
}

/** The next line begins behind the line feed at `end`. */
// @ts-ignore: decorator
@inline
export function nextLine(end: usize): void {
  lineStart = end + 1;
}

/** Walks over the line whose first structural character is at `ix` of the index; returns the place behind its line feed there. */
// @ts-ignore: decorator
@inline
export function walk(ix: usize): usize {
  return hasSpaces ? walkRecord<u8>(ix, false) : walkRecord<u16>(ix, false);
}

// @ts-ignore: decorator
@inline
function note(want: usize, keyStart: usize, start: usize, end: usize): void {
  const slot = SLOTS + <usize>load<u32>(want, 16) * SLOT_BYTES;
  if (load<u32>(slot, 8)) hasTwins = true;
  store<u32>(slot, <u32>keyStart);
  store<u32>(slot, <u32>start, 4);
  store<u32>(slot, <u32>end, 8);
}

function unsure(ix: usize): usize {
  while (load<u8>(load<u32>(ix)) != 10) ix += 4;
  return over(ix, UNSURE);
}

// @ts-ignore: decorator
@inline
function over(ix: usize, kind: u32): usize {
  lineKind = kind;
  return ix + 4;
}

/** The line ends at the line feed `end`, and the walk found nothing: so did the scan? */
// @ts-ignore: decorator
@inline
function isSuspect(end: usize): bool {
  while (<usize>load<u32>(suspect) + 63 < lineStart) suspect += 4;
  return <usize>load<u32>(suspect) <= end;
}

/** Where the container at `ix` of the index, whose content nobody wants, closes; 0: it is broken, 1: it is too deep for this way. */
// `T` is of one byte where there may be white space, of two where there is none.
function skip<T>(ix: usize): usize {
  let at = <usize>load<u32>(ix);
  let c = <u32>load<u8>(at);
  let before = at;
  // The kinds of the open containers, the innermost last: 1 for an object.
  let kinds: u64 = <u64>(c == 123);
  let depth: u32 = 0;
  for (;;) {
    before = at;
    ix += 4;
    at = load<u32>(ix);
    c = load<u8>(at);
    let isValue = true;
    if (c == 125 || c == 93) {
      let t = before + 1;
      if (sizeof<T>() == 1) while (load<u8>(t) <= 32) t++;
      if (t == at) {
        if (c != (kinds & 1 ? 125 : 93)) return 0;
        isValue = false;
      } else if (kinds & 1) return 0;
    }
    if (isValue && (kinds & 1)) {
      if (c != 58) return 0;
      before = at;
      ix += 4;
      at = load<u32>(ix);
      c = load<u8>(at);
    }
    let isNested = false;
    for (;;) {
      if (isValue) {
        if ((c | 32) == 123) {
          if (++depth > LEAN_DEPTH) return 1;
          kinds = (kinds << 1) | <u64>(c == 123);
          isNested = true;
          break;
        }
        if (c == 58 || c == 10) return 0;
        let t = before + 1;
        let first = <u32>load<u8>(t);
        if (sizeof<T>() == 1) while (first <= 32) first = load<u8>(++t);
        if (first != 34) {
          let e = at;
          if (sizeof<T>() == 1) while (load<u8>(e - 1) <= 32) e--;
          if (!isScalar(t, e)) return 0;
        }
      }
      if (c == 44) {
        before = at;
        ix += 4;
        at = load<u32>(ix);
        c = load<u8>(at);
        if (kinds & 1) {
          if (c != 58) return 0;
          before = at;
          ix += 4;
          at = load<u32>(ix);
          c = load<u8>(at);
        }
        isValue = true;
        continue;
      }
      if (c != (kinds & 1 ? 125 : 93)) return 0;
      if (!depth) return ix;
      depth--;
      kinds >>= 1;
      ix += 4;
      at = load<u32>(ix);
      c = load<u8>(at);
      isValue = false;
    }
    if (!isNested) break;
  }
  return 0;
}

/** A line without a bracket, comma or colon: blank, or one scalar. */
function walkScalar(ix: usize, end: usize): usize {
  let s = lineStart;
  while (s < end && load<u8>(s) <= 32) s++;
  let e = end;
  while (e > s && load<u8>(e - 1) <= 32) e--;
  store<u32>(RECORD, <u32>s);
  store<u32>(RECORD, <u32>e, 4);
  if (s == e) {
    for (let i = lineStart; i < end; i++) if (!isSpace(load<u8>(i))) return over(ix, UNSURE);
    return over(ix, BLANK);
  }
  if (load<u8>(s) != 34 && !isScalar(s, e)) return over(ix, UNSURE);
  return over(ix, isSuspect(end) ? UNSURE : SOUND);
}

/** `isDeep`: unwanted containers are walked through like others. */
function walkRecord<T>(ix: usize, isDeep: bool): usize {
  const first = ix;
  const zero = i8x16.splat(0);
  for (let slot = RECORD; slot < slotsEnd; slot += 16) v128.store(slot, zero);
  hasTwins = false;
  let at = <usize>load<u32>(ix);
  let c = <u32>load<u8>(at);
  if (c == 10) return walkScalar(ix, at);
  if ((c | 32) != 123) return unsure(ix);
  store<u32>(RECORD, <u32>at);
  let escaped = <usize>load<u32>(escape);
  while (escaped + 64 <= lineStart) {
    escape += 4;
    escaped = load<u32>(escape);
  }
  escapeAtLine = escape;
  let before: usize = lineStart;
  let want: usize = 0;
  let keyStart: usize = 0;
  let depth: u32 = 0;
  let top: usize = STACK;
  let node: usize = 0;
  let isObject: u32 = 0;
  let place: u32 = 0;
  let isFresh = false;
  // A value is due behind `before`; `at` and `c` are the next structural character, `want` is who wants it.
  for (;;) {
    if ((c | 32) == 123) {
      const child = depth ? (want ? <usize>load<u32>(want, 20) : 0) : rootNode;
      if (want && !isObject) keyStart = at;
      if (!child && !isDeep && depth < MAX_DEPTH - LEAN_DEPTH) {
        const start = at;
        const end = skip<T>(ix);
        if (end <= 1) {
          if (!end) return unsure(ix);
          escape = escapeAtLine;
          return walkRecord<T>(first, true);
        }
        ix = end;
        at = load<u32>(ix);
        if (want) note(want, keyStart, start, at + 1);
        if (!depth) {
          // The record itself, of which nobody wants anything.
          ix += 4;
          store<u32>(RECORD, <u32>at + 1, 4);
          at = load<u32>(ix);
          if (load<u8>(at) != 10) return unsure(ix);
          break;
        }
        ix += 4;
        at = load<u32>(ix);
        c = load<u8>(at);
      } else {
        if (depth >= MAX_DEPTH) return unsure(ix);
        store<u32>(top, <u32>node);
        store<u32>(top, isObject, 4);
        store<u32>(top, <u32>want, 8);
        store<u32>(top, <u32>keyStart, 12);
        store<u32>(top, <u32>at, 16);
        store<u32>(top, place, 20);
        top += 32;
        node = child;
        depth++;
        isObject = <u32>(c == 123);
        before = at;
        ix += 4;
        at = load<u32>(ix);
        c = load<u8>(at);
        place = 0;
        want = 0;
        isFresh = true;
        if (c == 125 || c == 93) {
          let t = before + 1;
          if (sizeof<T>() == 1) while (load<u8>(t) <= 32) t++;
          if (t == at) {
            isFresh = false;
            if (c != (isObject ? 125 : 93)) return unsure(ix);
          }
        }
        if (isFresh && !isObject) {
          isFresh = false;
          if (node) want = wantAt(node, 0);
          continue;
        }
      }
    } else {
      if (c == 58 || c == 10) return unsure(ix);
      let t = before + 1;
      if (sizeof<T>() == 1) while (load<u8>(t) <= 32) t++;
      const isString = load<u8>(t) == 34;
      if (want || !isString) {
        let e = at;
        if (sizeof<T>() == 1) while (load<u8>(e - 1) <= 32) e--;
        if (!isString && !isScalar(t, e)) return unsure(ix);
        if (want) note(want, isObject ? keyStart : t, t, e);
      }
    }
    if (!isFresh) {
      let isDone = false;
      while (c == (isObject ? 125 : 93)) {
        depth--;
        top -= 32;
        const outer = <usize>load<u32>(top, 8);
        if (outer) note(outer, load<u32>(top, 12), load<u32>(top, 16), at + 1);
        const end = at + 1;
        node = load<u32>(top);
        isObject = load<u32>(top, 4);
        place = load<u32>(top, 20);
        ix += 4;
        at = load<u32>(ix);
        c = load<u8>(at);
        if (!depth) {
          if (c != 10) return unsure(ix);
          store<u32>(RECORD, <u32>end, 4);
          isDone = true;
          break;
        }
      }
      if (isDone) break;
      if (c != 44) return unsure(ix);
      before = at;
      ix += 4;
      at = load<u32>(ix);
      c = load<u8>(at);
      if (!isObject) {
        place++;
        want = node ? wantAt(node, place) : 0;
        continue;
      }
    }
    isFresh = false;
    if (c != 58) return unsure(ix);
    want = 0;
    if (node) {
      let a = before + 1;
      let e = at;
      if (sizeof<T>() == 1) {
        while (load<u8>(a) <= 32) a++;
        while (load<u8>(e - 1) <= 32) e--;
      }
      if (escaped < e) {
        while (escaped + 64 <= a) {
          escape += 4;
          escaped = load<u32>(escape);
        }
        want = escaped < e ? wantEscaped(node, a, e) : wantOf(node, a, <u32>(e - a));
      } else want = wantOf(node, a, <u32>(e - a));
      keyStart = a;
    }
    before = at;
    ix += 4;
    at = load<u32>(ix);
    c = load<u8>(at);
  }
  return over(ix, isSuspect(at) ? UNSURE : SOUND);
}
