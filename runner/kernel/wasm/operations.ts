// The numbers of all operations: what a program is made of. The TypeScript side, which writes programs, reads this file too.

// Of a program; operands are words of 32 bits behind the operation.
export const END: u32 = 0;
export const FILTER: u32 = 1;
export const DROP: u32 = 2;
export const RENAME: u32 = 3;
export const SET: u32 = 4;
export const TAKE: u32 = 5;
export const PUSH_FIELD: u32 = 6;
export const PUSH_OR: u32 = 7;
export const PUSH_HAS: u32 = 8;
export const PUSH_NULL: u32 = 9;
export const PUSH_BOOLEAN: u32 = 10;
export const PUSH_NUMBER: u32 = 11;
export const PUSH_TEXT: u32 = 12;
export const COMBINE: u32 = 13;
export const CHANGE: u32 = 14;
export const ROUND_TO: u32 = 15;
export const ONE_OF: u32 = 16;
export const DECIDED: u32 = 17;
export const IS_BOOLEAN: u32 = 18;
export const CHOOSE: u32 = 19;
export const JUMP: u32 = 20;
export const SELECT: u32 = 21;
export const PUSH_STRING: u32 = 22;
export const PUSH_IS: u32 = 23;
export const PUSH_NOW: u32 = 24;
export const PUSH_NOW_OR: u32 = 25;
export const PUSH_HAS_NOW: u32 = 26;
export const CAST: u32 = 27;
export const LAP: u32 = 28;
export const SCRIPT: u32 = 29;
export const TAKE_SCRIPT: u32 = 30;

// On two values.
export const EQUAL: u32 = 0;
export const UNEQUAL: u32 = 1;
export const BELOW: u32 = 2;
export const AT_MOST: u32 = 3;
export const ABOVE: u32 = 4;
export const AT_LEAST: u32 = 5;
export const PLUS: u32 = 6;
export const MINUS: u32 = 7;
export const TIMES: u32 = 8;
export const OVER: u32 = 9;
export const REST: u32 = 10;
export const CONTAINS: u32 = 11;
export const STARTS_WITH: u32 = 12;
export const ENDS_WITH: u32 = 13;

// On one value.
export const NEGATE: u32 = 0;
export const NOT: u32 = 1;
export const ROUND: u32 = 2;
export const FLOOR: u32 = 3;
export const CEIL: u32 = 4;
export const ABSOLUTE: u32 = 5;
export const TRUNCATE: u32 = 6;
export const STRING: u32 = 7;
export const SIZE: u32 = 8;

// Types of casts.
export const TO_INT: u32 = 0;
export const TO_FLOAT: u32 = 1;
export const TO_STRING: u32 = 2;
export const TO_BOOLEAN: u32 = 3;

// What the cells of a column of CSV are.
export const CELL_TEXT: u32 = 0;
/** An empty one is null. */
export const CELL_TEXT_OR_NULL: u32 = 1;
/** Each by its looks. */
export const CELL_INFERRED: u32 = 2;
export const CELL_WHOLE: u32 = 3;
export const CELL_NUMBER: u32 = 4;
export const CELL_BOOLEAN: u32 = 5;
