// Where things stand in the memory of the kernel, and how much of each fits. The TypeScript side reads this file too, with numbers
// for both types. Everything is static, since AssemblyScript has no pointers to locals: one instance a thread, and none of it is
// re-entered.

/** Containers inside one another, at most; the value tier has the same limit. */
export const MAX_DEPTH: u32 = 1024;

/** 32 B for each open container of the record at hand. */
export const STACK: usize = 0x10000;
/** The text of a key that is written with escapes. */
export const KEY_TEXT: usize = 0x19000;
export const KEY_TEXT_MOST: usize = 0xff00;
/** start, end, the row that it was made of or 0, 0, then a slot for each node of the paths: key start, value start, value end; 0 where it is not there. */
export const RECORD: usize = 0x29000;
export const SLOTS: usize = 0x29010;
export const SLOT_BYTES: usize = 12;
export const MAX_SLOTS: u32 = 256;
/** 32 B for each member that steps may change: flags, key, its end, text, its end, parent. The first are those of the slots. */
export const ENTRIES: usize = 0x2a000;
export const ENTRY_SHIFT: usize = 5;
/** For each slot the entry that has its name now, + 1; 0 where none has. */
export const CURRENT: usize = 0x2e000;
/** Entries that were made for the record at hand. */
export const APPENDED: usize = 0x2e400;
/** 32 B for each change of the text: from, to, kind, and what takes its place. */
export const EDITS: usize = 0x2e800;
/** The stack of values of an expression, 16 B each: kind, length, and a number or an address. */
export const VALUES: usize = 0x37000;
export const MAX_VALUES: u32 = 256;
/** Texts that expressions made, in slots like those of a record. */
export const TEXTS: usize = 0x38000;
export const MAX_TEXTS: u32 = 256;
export const DIGITS: usize = 0x38c40;
/** Records that went, by the place of their step. */
export const COUNTS: usize = 0x39000;
export const MAX_OWNERS: u32 = 1024;
/** The program, its paths and its constants, as the TypeScript side writes them. */
export const PROGRAM: usize = 0x3a000;
export const PROGRAM_END: usize = 0x4a000;
/** Where texts that expressions make are put together. */
export const SCRATCH: usize = 0x4a000;
export const SCRATCH_END: usize = 0x8a000;
/** Longest text that an expression works on here. */
export const TEXT_MOST: u32 = 0x10000;
/** Of rows of CSV: 16 B for each column, its key and the key's length, what its cells are, its slot or 0; and the keys behind them. */
export const COLUMNS: usize = 0x90000;
export const COLUMN_BYTES: usize = 16;
export const COLUMNS_END: usize = 0xb0000;
/** A row as a record that steps will change. */
export const ROW: usize = 0xb0000;
export const ROW_END: usize = 0xf0000;
/** Of an instance that lays out rows, and does nothing else: what each byte is to a cell, and 12 B for each of the first members. */
export const LAYOUT_MEANING: usize = 0x10000;
export const LAYOUT_HABITS: usize = 0x10100;
export const LAYOUT_HABITS_MOST: u32 = 1024;
/** From here on it is laid out anew for larger pieces. */
export const DYNAMIC: usize = 0xf0000;
