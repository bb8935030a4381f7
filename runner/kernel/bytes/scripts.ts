/** Scripts of a program: JavaScript that reads the fields of the record at hand where the kernel has found them. */
import { toJson } from '../../expressions/stringify.ts';
import type { Value } from '../../expressions/values.ts';
import { decodeValue } from '../decode.ts';
import { ENTRIES, MAX_SLOTS, RECORD, SCRATCH_END, SLOT_BYTES, SLOTS } from '../wasm/memory.ts';
import type { Place } from './code.ts';
import type { Fields, Script } from './forms.ts';

export interface PlacedScript {
  /** A path is found by what it is, not by what it says. */
  paths: Script['paths'];
  /** Of each of them. */
  places: readonly Place[];
  run: Script['run'];
}

/** Bytes of UTF-8 that one unit of UTF-16 takes, at most. */
const UNIT_BYTES = 3;
/** Bytes that the kernel writes, or reads, beyond a text. */
const SLACK = 64;
const ZERO = 0x30;
const NINE = 0x39;
const MINUS = 0x2d;
const SPACE = 0x20;
const TILDE = 0x7e;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
/** Up to so many characters a look at each is cheaper than a call into the runtime. */
const SHORT = 96;

export class Scripts implements Fields {
  readonly #valueNow: (slot: number) => number;
  #memory: Buffer = Buffer.alloc(0);
  #words: Uint32Array = new Uint32Array();
  #scripts: readonly PlacedScript[] = [];
  #script: PlacedScript | undefined;
  #context: unknown;
  /** Values that were read of source text, by slot, with where it begins: no other text of a piece, or of a row, does. */
  readonly #known: Value[] = [];
  readonly #knownAt = new Int32Array(MAX_SLOTS).fill(-1);
  /** The row that they are of; 0 where records are lines. */
  #row = 0;

  /** `valueNow`: that of the kernel. */
  constructor(valueNow: (slot: number) => number) {
    this.#valueNow = valueNow;
  }

  load(scripts: readonly PlacedScript[]): void {
    this.#scripts = scripts;
  }

  /** A piece begins, in this memory. */
  start(memory: Buffer, context: unknown): void {
    this.#memory = memory;
    this.#words = new Uint32Array(memory.buffer);
    this.#context = context;
    this.#knownAt.fill(-1);
    this.#row = 0;
  }

  /** Writes the JSON text of what the script makes of the record; returns its size, 0 where the value tier has to decide. */
  run(number: number, at: number): number {
    const script = this.#scripts[number];
    if (script === undefined) return 0;
    this.#script = script;
    // Records that are made of rows stand where the last one did.
    const row = this.#words[(RECORD >> 2) + 2] as number;
    if (row !== this.#row) {
      this.#row = row;
      this.#knownAt.fill(-1);
    }
    let text: string;
    try {
      const value = script.run(this, this.#context);
      const size = typeof value === 'string' ? this.#putText(value, at) : 0;
      if (size > 0) return size;
      text = toJson(value);
    } catch {
      // Whatever it is: on the value tier it comes again, and is told with the step and the place.
      return 0;
    }
    if (at + UNIT_BYTES * text.length + SLACK > SCRATCH_END) return 0;
    return this.#memory.write(text, at);
  }

  /** As JSON, where every character of it stands for itself; else 0, whatever is written there by then. */
  #putText(text: string, at: number): number {
    const { length } = text;
    if (length > SHORT || at + length + SLACK > SCRATCH_END) return 0;
    const memory = this.#memory;
    for (let i = 0; i < length; i++) {
      const c = text.charCodeAt(i);
      if (c < SPACE || c > TILDE || c === QUOTE || c === BACKSLASH) return 0;
      memory[at + 1 + i] = c;
    }
    memory[at] = QUOTE;
    memory[at + 1 + length] = QUOTE;
    return length + 2;
  }

  /** They are few. */
  #place(path: readonly string[]): Place | undefined {
    const script = this.#script;
    return script?.places[script.paths.indexOf(path)];
  }

  get(path: readonly string[]): Value | undefined {
    const place = this.#place(path);
    if (place === undefined) return undefined;
    const { slot, now } = place;
    const range = now ? this.#valueNow(slot) : SLOTS + slot * SLOT_BYTES + 4;
    const words = this.#words;
    const start = words[range >> 2] as number;
    const end = words[(range >> 2) + 1] as number;
    if (range === 0 || end === 0) return undefined;
    if (now) return decodeValue(this.#memory, start, end);
    if (this.#knownAt[slot] === start) return this.#known[slot];
    const value = decodeValue(this.#memory, start, end);
    this.#knownAt[slot] = start;
    this.#known[slot] = value;
    return value;
  }

  has(path: readonly string[]): boolean {
    return this.get(path) !== undefined;
  }

  numberText(path: readonly string[]): string | undefined {
    const place = this.#place(path);
    if (place === undefined) return undefined;
    const range = place.now ? this.#valueNow(place.slot) : SLOTS + place.slot * SLOT_BYTES + 4;
    // A text that a step has put there stands in its entry.
    if (range === 0 || range >= ENTRIES) return undefined;
    const start = this.#words[range >> 2] as number;
    const end = this.#words[(range >> 2) + 1] as number;
    const c = this.#memory[start] as number;
    if (end === 0 || (c !== MINUS && (c < ZERO || c > NINE))) return undefined;
    return this.#memory.toString('latin1', start, end);
  }
}
