// What steps do to the members of a record, noted beside its slots, and the record written with all of that done. Its rules are those
// of kernel/record.ts: a member that is set stands where the old one did, or last; a renamed one keeps its place.
import { APPENDED, CURRENT, EDITS, ENTRIES, ENTRY_SHIFT, RECORD, SLOTS, SLOT_BYTES } from './memory';
import { copy } from './bits';

// What is known of an entry.
const GONE: u32 = 1;
const KEY: u32 = 2;
const VALUE: u32 = 4;
/** It is in no selection. */
const LEFT_OUT: u32 = 8;

// Kinds of edits.
const REMOVE: u32 = 0;
const REPLACE: u32 = 1;
const APPEND: u32 = 2;

export const ROOT: u32 = 0xffffffff;

/** The slots that steps change: so many words. */
let changed: usize = 0;
let changedEnd: usize = 0;
let appended: usize = APPENDED;
let isEdited: bool = false;
let isSelected: bool = false;
/** The block with white space at or before what is written next. */
let space: usize = 0;
let edits: usize = EDITS;
let added: usize = 0;

export function setChanged(list: usize, count: u32): void {
  changed = list;
  changedEnd = list + (<usize>count << 2);
}

export function startSpaces(spaces: usize): void {
  space = spaces;
}

// @ts-ignore: decorator
@inline
function entryOf(number: u32): usize {
  return ENTRIES + (<usize>number << ENTRY_SHIFT);
}

// @ts-ignore: decorator
@inline
export function slotOf(slot: u32): usize {
  return SLOTS + <usize>slot * SLOT_BYTES;
}

// @ts-ignore: decorator
@inline
function currentOf(slot: u32): usize {
  return CURRENT + (<usize>slot << 2);
}

/** Forgets the last record. */
// @ts-ignore: decorator
@inline
export function startEdits(): void {
  isEdited = false;
  isSelected = false;
  appended = APPENDED;
  for (let i = changed; i < changedEnd; i += 4) {
    const slot = load<u32>(i);
    store<u32>(currentOf(slot), load<u32>(slotOf(slot), 8) ? slot + 1 : 0);
    store<u32>(entryOf(slot), 0);
  }
}

/** Where the two ends of the text stand that a changed slot's member has now; 0 where there is none. */
export function valueNow(slot: u32): usize {
  const current = load<u32>(currentOf(slot));
  if (!current) return 0;
  const entry = entryOf(current - 1);
  return load<u32>(entry) & VALUE ? entry + 12 : slotOf(current - 1) + 4;
}

export function dropMember(slot: u32): void {
  const current = load<u32>(currentOf(slot));
  if (!current) return;
  const entry = entryOf(current - 1);
  store<u32>(entry, load<u32>(entry) | GONE);
  store<u32>(currentOf(slot), 0);
  isEdited = true;
}

/** `list`: from, to, new key, its end, for each of `count`; all old names mean the record as it is before the first of them. */
export function renameMembers(list: usize, count: u32): void {
  const end = list + (<usize>count << 4);
  let moved = EDITS;
  for (let i = list; i < end; i += 16, moved += 4) {
    const from = currentOf(load<u32>(i));
    store<u32>(moved, load<u32>(from));
    if (load<u32>(from)) isEdited = true;
  }
  for (let i = list; i < end; i += 16) store<u32>(currentOf(load<u32>(i)), 0);
  moved = EDITS;
  for (let i = list; i < end; i += 16, moved += 4) {
    const current = load<u32>(moved);
    if (!current) continue;
    const to = currentOf(load<u32>(i, 4));
    const old = load<u32>(to);
    if (old) {
      const other = entryOf(old - 1);
      store<u32>(other, load<u32>(other) | GONE);
    }
    const entry = entryOf(current - 1);
    store<u32>(entry, load<u32>(entry) | KEY);
    store<u32>(entry, load<u32>(i, 8), 4);
    store<u32>(entry, load<u32>(i, 12), 8);
    store<u32>(to, current);
  }
}

/**
 * `at`: the slot, that of its parent, the number of the entry for a new member, its key and the key's end; `text`: the slot of its
 * new value. False where the parent is no object.
 */
export function setMember(at: usize, text: usize): bool {
  const slot = load<u32>(at);
  const current = load<u32>(currentOf(slot));
  isEdited = true;
  let entry: usize = 0;
  if (current) {
    entry = entryOf(current - 1);
    store<u32>(entry, load<u32>(entry) | VALUE);
  } else {
    const parent = load<u32>(at, 4);
    if (parent != ROOT) {
      const outer = slotOf(parent);
      if (!load<u32>(outer, 8) || load<u8>(load<u32>(outer, 4)) != 123) return false;
    }
    const number = load<u32>(at, 8);
    entry = entryOf(number);
    store<u32>(entry, KEY | VALUE);
    store<u32>(entry, load<u32>(at, 12), 4);
    store<u32>(entry, load<u32>(at, 16), 8);
    store<u32>(entry, parent, 20);
    store<u32>(currentOf(slot), number + 1);
    store<u32>(appended, number);
    appended += 4;
  }
  store<u32>(entry, load<u32>(text, 4), 12);
  store<u32>(entry, load<u32>(text, 8), 16);
  return true;
}

/** `list`: of each of the `count` changed slots, whether the member of that name stays; all others go. */
export function selectMembers(list: usize, count: u32): void {
  isSelected = true;
  const end = list + (<usize>count << 3);
  for (let i = list; i < end; i += 8) {
    const entry = entryOf(load<u32>(i));
    store<u32>(entry, load<u32>(entry) | LEFT_OUT);
  }
  for (let i = APPENDED; i < appended; i += 4) {
    const entry = entryOf(load<u32>(i));
    store<u32>(entry, load<u32>(entry) | LEFT_OUT);
  }
  for (let i = list; i < end; i += 8) {
    const at = currentOf(load<u32>(i));
    const current = load<u32>(at);
    if (!current) continue;
    const entry = entryOf(current - 1);
    if (load<u32>(i, 4)) store<u32>(entry, load<u32>(entry) & ~LEFT_OUT);
    else store<u32>(at, 0);
  }
}

/** Edits stand in the order of their places, those at one place in the order in which they came. */
function addEdit(from: usize, to: usize, kind: u32, entry: usize): void {
  let i = edits;
  edits += 32;
  while (i > EDITS && <usize>load<u32>(i - 32) > from) {
    v128.store(i, v128.load(i - 32));
    i -= 32;
  }
  store<u32>(i, <u32>from);
  store<u32>(i, <u32>to, 4);
  store<u32>(i, kind, 8);
  store<u32>(i, <u32>entry, 12);
}

function keyEnd(start: usize): usize {
  let t = start + 1;
  while (load<u8>(t) != 34) t += load<u8>(t) == 92 ? 2 : 1;
  return t + 1;
}

/** What is to be done to the text of the record, and the bytes that it may gain. */
function collectEdits(): void {
  edits = EDITS;
  added = 0;
  for (let i = changed; i < changedEnd; i += 4) {
    const slot = load<u32>(i);
    const entry = entryOf(slot);
    const flags = load<u32>(entry);
    if (!flags) continue;
    const at = slotOf(slot);
    if (flags & GONE) {
      addEdit(load<u32>(at), load<u32>(at, 8), REMOVE, entry);
      continue;
    }
    if (flags & KEY) {
      addEdit(load<u32>(at), keyEnd(load<u32>(at)), REPLACE, entry + 4);
      added += load<u32>(entry, 8) - load<u32>(entry, 4);
    }
    if (flags & VALUE) {
      addEdit(load<u32>(at, 4), load<u32>(at, 8), REPLACE, entry + 12);
      added += load<u32>(entry, 16) - load<u32>(entry, 12);
    }
  }
  for (let i = APPENDED; i < appended; i += 4) {
    const entry = entryOf(load<u32>(i));
    if (load<u32>(entry) & (GONE | LEFT_OUT)) continue;
    const parent = load<u32>(entry, 20);
    const end = <usize>(parent == ROOT ? load<u32>(RECORD, 4) : load<u32>(slotOf(parent), 8)) - 1;
    addEdit(end, end, APPEND, entry);
    added += load<u32>(entry, 8) - load<u32>(entry, 4) + load<u32>(entry, 16) - load<u32>(entry, 12) + 2;
  }
}

/** Copies [a, b) without the white space between its tokens; ranges come in order. */
function copyCompact(o: usize, a: usize, b: usize): usize {
  for (;;) {
    const block = <usize>load<u32>(space);
    if (block >= b) break;
    let mask = load<u64>(space, 8);
    if (a > block) mask = a - block >= 64 ? 0 : (mask >> <u64>(a - block)) << <u64>(a - block);
    while (mask) {
      const first = <u64>ctz(mask);
      const at = block + <usize>first;
      if (at >= b) break;
      copy(o, a, at - a);
      o += at - a;
      const run = <u64>ctz(~(mask >> first));
      a = at + <usize>run;
      mask = first + run >= 64 ? 0 : (mask >> (first + run)) << (first + run);
    }
    if (block + 64 >= b) break;
    space += 16;
  }
  if (b <= a) return o;
  copy(o, a, b - a);
  return o + (b - a);
}

/** Copies the text between the two addresses at `range`. */
// @ts-ignore: decorator
@inline
function copyText(o: usize, range: usize): usize {
  const from = <usize>load<u32>(range);
  const size = <usize>load<u32>(range, 4) - from;
  copy(o, from, size);
  return o + size;
}

/** The member of an entry with the key and the value that it has now; `slot`: where it stands in the record. */
function writeMember(o: usize, entry: usize, slot: usize): usize {
  if (load<u8>(o - 1) != 123) store<u8>(o++, 44);
  const flags = load<u32>(entry);
  if (flags & KEY) o = copyText(o, entry + 4);
  else o = copyCompact(o, load<u32>(slot), keyEnd(load<u32>(slot)));
  store<u8>(o++, 58);
  return flags & VALUE ? copyText(o, entry + 12) : copyCompact(o, load<u32>(slot, 4), load<u32>(slot, 8));
}

/** The record as it is where members were selected: those that stay, in its order, and what was appended. None of them is nested. */
function writeSelected(o: usize, most: usize): usize {
  const start = <usize>load<u32>(RECORD);
  edits = EDITS;
  added = 0;
  for (let i = changed; i < changedEnd; i += 4) {
    const slot = load<u32>(i);
    const entry = entryOf(slot);
    const at = slotOf(slot);
    const flags = load<u32>(entry);
    if (!load<u32>(at, 8) || flags & (GONE | LEFT_OUT)) continue;
    addEdit(load<u32>(at), at, APPEND, entry);
    if (flags & KEY) added += load<u32>(entry, 8) - load<u32>(entry, 4);
    if (flags & VALUE) added += load<u32>(entry, 16) - load<u32>(entry, 12);
  }
  const sourceEnd = edits;
  for (let i = APPENDED; i < appended; i += 4) {
    const entry = entryOf(load<u32>(i));
    if (load<u32>(entry) & (GONE | LEFT_OUT)) continue;
    store<u32>(edits, <u32>entry, 12);
    edits += 32;
    added += load<u32>(entry, 8) - load<u32>(entry, 4) + load<u32>(entry, 16) - load<u32>(entry, 12) + 2;
  }
  if (o + (load<u32>(RECORD, 4) - start) + added + 32 > most) return 0;
  while (<usize>load<u32>(space) + 64 <= start) space += 16;
  store<u8>(o++, 123);
  for (let i = EDITS; i < sourceEnd; i += 32) o = writeMember(o, load<u32>(i, 12), load<u32>(i, 4));
  for (let i = sourceEnd; i < edits; i += 32) o = writeMember(o, load<u32>(i, 12), 0);
  store<u8>(o, 125);
  return o + 1;
}

/** Writes the record as it is now to `o`; returns the end, or 0 where `most` leaves no room for it. */
export function writeRecord(o: usize, most: usize): usize {
  if (isSelected) return writeSelected(o, most);
  let a = <usize>load<u32>(RECORD);
  const end = <usize>load<u32>(RECORD, 4);
  if (isEdited) collectEdits();
  else {
    edits = EDITS;
    added = 0;
  }
  if (o + (end - a) + added + 32 > most) return 0;
  while (<usize>load<u32>(space) + 64 <= a) space += 16;
  for (let i = EDITS; i < edits; i += 32) {
    const from = <usize>load<u32>(i);
    // Within what goes, or is replaced, as a whole.
    if (from < a) continue;
    o = copyCompact(o, a, from);
    a = load<u32>(i, 4);
    const kind = load<u32>(i, 8);
    const entry = <usize>load<u32>(i, 12);
    if (kind == REPLACE) o = copyText(o, entry);
    else if (kind == APPEND) {
      if (load<u8>(o - 1) != 123) store<u8>(o++, 44);
      o = copyText(o, entry + 4);
      store<u8>(o++, 58);
      o = copyText(o, entry + 12);
    } else {
      while (load<u8>(a) <= 32) a++;
      if (load<u8>(a) == 44) a++;
      else if (load<u8>(o - 1) == 44) o--;
    }
  }
  return copyCompact(o, a, end);
}
