/**
 * One record under work, as a table of its members: where each key and value stands in the source bytes, or the text that a
 * step put in its place. Reading decodes a span, writing edits the table, `emit` splices: what nobody touched is copied.
 * Invariant: the source span is valid compact JSON before any member is looked at.
 */
import type { FieldPath, RecordView } from '../engine/contracts.ts';
import { RecordError } from '../engine/contracts.ts';
import { toJson } from '../expressions/stringify.ts';
import type { Value } from '../expressions/values.ts';
import { decodeString, decodeText, decodeValue } from './decode.ts';
import {
  compact,
  fail,
  lastFailure,
  resetSpaces,
  sawSpaces,
  skipColon,
  skipSpace,
  skipString,
  skipValue,
} from './grammar.ts';
import type { PathNode, PathTree } from './paths.ts';
import type { ByteWriter } from './writer.ts';

const QUOTE = 0x22;
const OPEN_BRACE = 0x7b;
const MAX_SURPRISES = 1000;

/** What an entry of a table is, as bits; none of them: it stands in the source as it is. */
const GONE = 1;
/** Its key is `keys[i]`, given by a step. */
const KEY = 2;
/** Its value is `texts[i]`, given by a step. */
const TEXT = 4;
/** Its value is the touched object `tables[i]`. */
const TABLE = 8;
/** No value of it stands in the source. */
const MADE = 16;

/** The members of one object, in order. An entry is a touched member, or a run of others between two of them. */
class Table {
  node: PathNode | undefined;
  count = 0;
  kind: number[] = [];
  keyStart: number[] = [];
  keyEnd: number[] = [];
  valueStart: number[] = [];
  valueEnd: number[] = [];
  /** JSON text of the key. */
  keys: Buffer[] = [];
  /** JSON text of the value. */
  texts: string[] = [];
  tables: Table[] = [];
  /** Entry of each touched child, by the child's id; -1 where there is none. */
  entry: number[] = [];
  dirty = false;

  reset(node: PathNode): void {
    this.node = node;
    this.count = 0;
    this.dirty = false;
    for (let i = 0; i < node.children.length; i++) this.entry[i] = -1;
  }

  add(kind: number, keyStart: number, keyEnd: number, valueStart: number, valueEnd: number): number {
    const i = this.count++;
    this.kind[i] = kind;
    this.keyStart[i] = keyStart;
    this.keyEnd[i] = keyEnd;
    this.valueStart[i] = valueStart;
    this.valueEnd[i] = valueEnd;
    return i;
  }

  /** A new member, last; its value is still to be given. */
  make(node: PathNode): number {
    const i = this.add(KEY | MADE, 0, 0, 0, 0);
    this.keys[i] = node.json;
    this.entry[node.id] = i;
    this.dirty = true;
    return i;
  }

  /** Takes an entry out. */
  remove(i: number): void {
    this.kind[i] = (this.kind[i] as number) | GONE;
    this.dirty = true;
  }

  is(i: number, bits: number): boolean {
    return ((this.kind[i] as number) & bits) !== 0;
  }
}

/** A member on its way to another name. */
interface Move {
  table: Table;
  i: number;
  source: PathNode;
  target: PathNode;
  to: FieldPath;
  /** Of a value that goes into another object. */
  text: string | undefined;
}

export class JsonRecord implements RecordView {
  readonly #tree: PathTree;
  readonly #pool: Table[] = [];
  #used = 0;
  #bytes: Buffer = Buffer.alloc(0);
  #start = 0;
  #end = 0;
  #scratch: Buffer = Buffer.alloc(4096);
  #root: Table | undefined;
  /** Some table is dirty: the record is no longer its source bytes. */
  #edited = false;
  /** Of the rename at hand; used again, since a million records would make as many of them. */
  readonly #moving: Move[] = [];

  constructor(tree: PathTree) {
    this.#tree = tree;
  }

  /**
   * Takes the record `bytes[start, end)`: validates the whole of it and finds the touched members. Returns undefined, or why it
   * is broken and where (`at`: bytes from the start of the record).
   */
  load(bytes: Buffer, start: number, end: number): { at: number; reason: string } | undefined {
    resetSpaces();
    this.#bytes = bytes;
    this.#start = start;
    this.#end = end;
    this.#used = 0;
    this.#root = undefined;
    this.#edited = false;
    let p = skipSpace(bytes, start, end);
    const root = this.#tree.root.children.length > 0 && bytes[p] === 0x7b ? this.#table(this.#tree.root) : undefined;
    p = root === undefined ? skipValue(bytes, p, end, 0) : this.#object(bytes, p, end, this.#tree.root, root, 0);
    if (p >= 0) {
      p = skipSpace(bytes, p, end);
      if (p < end) p = fail(p, 'text behind the end of the value');
    }
    if (p < 0) {
      const failure = lastFailure();
      return { at: failure.at - start, reason: failure.reason };
    }
    this.#root = root;
    if (sawSpaces()) this.#compact();
    return undefined;
  }

  /** The record had white space: the same again on a copy without it. */
  #compact(): void {
    const size = this.#end - this.#start;
    if (this.#scratch.length < size) this.#scratch = Buffer.allocUnsafeSlow(size * 2);
    this.#end = compact(this.#bytes, this.#start, this.#end, this.#scratch, 0);
    this.#start = 0;
    this.#bytes = this.#scratch;
    if (this.#root === undefined) return;
    this.#used = 0;
    this.#root = this.#table(this.#tree.root);
    this.#object(this.#bytes, 0, this.#end, this.#tree.root, this.#root, 0);
  }

  #table(node: PathNode): Table {
    let table = this.#pool[this.#used];
    if (table === undefined) {
      table = new Table();
      this.#pool.push(table);
    }
    this.#used++;
    table.reset(node);
    return table;
  }

  /** `p` is at `{`; fills `table` with the members of `node`; returns the offset behind `}`, or -1. */
  #object(b: Buffer, p: number, end: number, node: PathNode, table: Table, depth: number): number {
    p = skipSpace(b, p + 1, end);
    if (p < end && b[p] === 0x7d) return p + 1;
    let run = -1;
    for (let place = 0; ; place++) {
      const keyStart = p;
      let keyEnd: number;
      let child: PathNode | undefined;
      const habit = node.habits[place];
      if (habit !== undefined && startsWith(b, p, end, habit.key)) {
        p += habit.key.length;
        keyEnd = p - 1;
        child = habit.child;
        if ((b[p] as number) <= 0x20) p = skipSpace(b, p, end);
      } else {
        if (p >= end || b[p] !== QUOTE) return fail(p, 'a key in quotes is missing');
        keyEnd = skipString(b, p + 1, end);
        if (keyEnd < 0) return -1;
        p = skipColon(b, keyEnd, end);
        if (p < 0) return -1;
        child = childNamed(node, b, keyStart, keyEnd);
        if (node.surprises < MAX_SURPRISES && b[keyEnd] === 0x3a) learn(node, place, b, keyStart, keyEnd, child);
      }
      const valueStart = p;
      if (child === undefined) {
        // Most values are strings, and a call costs as much as ten bytes of one.
        p = b[p] === QUOTE && p < end ? skipString(b, p + 1, end) : skipValue(b, p, end, depth + 1);
        if (p < 0) return -1;
        if (run < 0) run = table.add(0, keyStart, keyEnd, valueStart, p);
        else table.valueEnd[run] = p;
      } else {
        run = -1;
        let inner: Table | undefined;
        if (child.children.length > 0 && b[p] === 0x7b) {
          inner = this.#table(child);
          p = this.#object(b, p, end, child, inner, depth + 1);
        } else p = skipValue(b, p, end, depth + 1);
        if (p < 0) return -1;
        this.#member(table, child, keyStart, keyEnd, valueStart, p, inner);
      }
      if (p < end && b[p] === 0x2c && b[p + 1] === QUOTE) {
        p++;
        continue;
      }
      p = skipSpace(b, p, end);
      if (p >= end) return fail(end, 'an object is not closed');
      const c = b[p];
      if (c === 0x7d) return p + 1;
      if (c !== 0x2c) return fail(p, 'a comma or a closing bracket is missing');
      p = skipSpace(b, p + 1, end);
    }
  }

  /** Adds a touched member; of a key only the last one stays, at the place of the first. */
  #member(
    table: Table,
    child: PathNode,
    ks: number,
    ke: number,
    vs: number,
    ve: number,
    inner: Table | undefined,
  ): void {
    let i = table.entry[child.id] as number;
    if (i < 0) {
      i = table.add(0, ks, ke, vs, ve);
      table.entry[child.id] = i;
    } else {
      table.keyStart[i] = ks;
      table.keyEnd[i] = ke;
      table.valueStart[i] = vs;
      table.valueEnd[i] = ve;
      table.kind[i] = 0;
      table.dirty = true;
      this.#edited = true;
    }
    if (inner === undefined) return;
    table.kind[i] = TABLE;
    table.tables[i] = inner;
  }

  // ---------------------------------------------------------------- reading

  /** The whole record, or the value of a field; undefined where there is none. */
  get(path: FieldPath): Value | undefined {
    if (path.length === 0) return this.#whole();
    return this.#read(this.#tree.node(path));
  }

  has(path: FieldPath): boolean {
    return this.get(path) !== undefined;
  }

  kind(path: FieldPath): number {
    if (path.length === 0) return this.#bytes[this.#start] ?? -1;
    const node = this.#tree.node(path);
    const table = this.#tableOf(node.parent as PathNode);
    // Around it lies what a step has put there.
    if (table === undefined) return kindOf(this.#read(node));
    const i = table.entry[node.id] as number;
    if (i < 0) return -1;
    if (table.is(i, TEXT)) return (table.texts[i] as string).charCodeAt(0);
    return table.is(i, TABLE) ? OPEN_BRACE : (this.#bytes[table.valueStart[i] as number] as number);
  }

  /** The source text of a number that no step set; undefined for anything else. */
  numberText(path: FieldPath): string | undefined {
    if (path.length === 0) return undefined;
    const node = this.#tree.node(path);
    const table = this.#tableOf(node.parent as PathNode);
    const i = table?.entry[node.id] ?? -1;
    if (table === undefined || i < 0 || table.is(i, TEXT | MADE)) return undefined;
    const c = this.#bytes[table.valueStart[i] as number] as number;
    if (c !== 0x2d && (c < 0x30 || c > 0x39)) return undefined;
    return this.#bytes.toString('latin1', table.valueStart[i], table.valueEnd[i]);
  }

  #whole(): Value {
    if (this.#root === undefined || !this.#edited) return decodeValue(this.#bytes, this.#start, this.#end);
    return decodeText(this.#textOf(this.#root));
  }

  #read(node: PathNode): Value | undefined {
    if (node.parent === undefined) return this.#whole();
    const table = this.#tableOf(node.parent);
    if (table === undefined) {
      if (node.parent.parent === undefined) return undefined;
      const outer = this.#read(node.parent);
      return outer instanceof Map ? (outer.get(node.name) as Value | undefined) : undefined;
    }
    const i = table.entry[node.id] as number;
    return i < 0 ? undefined : this.#entryValue(table, i);
  }

  #entryValue(table: Table, i: number): Value {
    const kind = table.kind[i] as number;
    if ((kind & TEXT) !== 0) return decodeText(table.texts[i] as string);
    if ((kind & TABLE) !== 0 && isEdited(table, i)) return decodeText(this.#textOf(table.tables[i] as Table));
    return decodeValue(this.#bytes, table.valueStart[i] as number, table.valueEnd[i] as number);
  }

  /** The table of a touched object, where the record has that object and it is still in the table. */
  #tableOf(node: PathNode): Table | undefined {
    if (node.parent === undefined) return this.#root;
    const outer = this.#tableOf(node.parent);
    if (outer === undefined) return undefined;
    const i = outer.entry[node.id] as number;
    return i < 0 || !outer.is(i, TABLE) ? undefined : outer.tables[i];
  }

  // ---------------------------------------------------------------- editing

  set(path: FieldPath, json: string): void {
    const node = this.#tree.node(path);
    const table = this.#madeTable(node.parent as PathNode);
    let i = table.entry[node.id] as number;
    if (i < 0) i = table.make(node);
    table.texts[i] = json;
    table.kind[i] = ((table.kind[i] as number) & ~TABLE) | TEXT;
    table.dirty = true;
    this.#edited = true;
  }

  /** The table of `node`, made with its parents where the record has no such object. */
  #madeTable(node: PathNode): Table {
    if (node.parent === undefined) {
      if (this.#root === undefined)
        throw new RecordError('the record is not an object: it has no fields that could be set');
      return this.#root;
    }
    const outer = this.#madeTable(node.parent);
    let i = outer.entry[node.id] as number;
    if (i < 0) {
      i = outer.make(node);
      outer.kind[i] = KEY | MADE | TABLE;
      outer.tables[i] = this.#table(node);
    }
    if (!outer.is(i, TABLE)) throw new RecordError(`"${node.name}" is not an object: no field can be set inside it`);
    return outer.tables[i] as Table;
  }

  drop(path: FieldPath): void {
    const node = this.#tree.node(path);
    const table = this.#tableOf(node.parent as PathNode);
    if (table === undefined) return;
    const i = table.entry[node.id] as number;
    if (i < 0) return;
    table.remove(i);
    table.entry[node.id] = -1;
    this.#edited = true;
  }

  /** All old names mean the record as it is before the first of them. */
  rename(renames: readonly { from: FieldPath; to: FieldPath }[]): void {
    const moving = this.#moving;
    let count = 0;
    for (let k = 0; k < renames.length; k++) {
      const { from, to } = renames[k] as (typeof renames)[number];
      const source = this.#tree.node(from);
      const target = this.#tree.node(to);
      const table = this.#tableOf(source.parent as PathNode);
      const i = table?.entry[source.id] ?? -1;
      if (table === undefined || i < 0 || source === target) continue;
      // Into another object the value goes with its text; it is read before anything moves.
      const text = source.parent === target.parent ? undefined : this.#entryText(table, i);
      const used = moving[count++];
      if (used === undefined) moving.push({ table, i, source, target, to, text });
      else {
        used.table = table;
        used.i = i;
        used.source = source;
        used.target = target;
        used.to = to;
        used.text = text;
      }
    }
    for (let k = 0; k < count; k++) {
      const { table, source, i, text } = moving[k] as Move;
      table.entry[source.id] = -1;
      if (text !== undefined) table.remove(i);
      table.dirty = true;
      this.#edited = true;
    }
    for (let k = 0; k < count; k++) {
      const { table, i, target, to, text } = moving[k] as Move;
      if (text !== undefined) {
        this.set(to, text);
        continue;
      }
      const old = table.entry[target.id] as number;
      if (old >= 0) table.remove(old);
      table.keys[i] = target.json;
      table.kind[i] = (table.kind[i] as number) | KEY;
      table.entry[target.id] = i;
    }
  }

  select(paths: readonly FieldPath[]): void {
    if (this.#root === undefined) return;
    this.#keep(this.#root, this.#tree.root, paths, 0);
  }

  #keep(table: Table, node: PathNode, paths: readonly FieldPath[], depth: number): void {
    const kept = new Map<number, readonly FieldPath[]>();
    for (const child of node.children) {
      const below = paths.filter((path) => path[depth] === child.name);
      const i = table.entry[child.id] as number;
      if (below.length === 0) table.entry[child.id] = -1;
      else if (i >= 0) kept.set(i, below);
    }
    for (let i = 0; i < table.count; i++) {
      const below = kept.get(i);
      if (below?.some((path) => path.length === depth + 1)) continue;
      const inner = below !== undefined && table.is(i, TABLE) ? table.tables[i] : undefined;
      if (below !== undefined && inner?.node !== undefined) this.#keep(inner, inner.node, below, depth + 1);
      else {
        table.remove(i);
        this.#edited = true;
      }
    }
  }

  // ---------------------------------------------------------------- emission

  /** Writes the record as it now is. */
  emit(out: ByteWriter): void {
    const root = this.#root;
    if (root === undefined || !this.#edited) out.copy(this.#bytes, this.#start, this.#end);
    else this.#emitTable(root, out);
  }

  /** The source bytes that stand for the record unchanged, when nothing was edited and no white space removed. */
  untouchedIn(bytes: Buffer): boolean {
    return this.#bytes === bytes && !this.#edited;
  }

  #emitTable(table: Table, out: ByteWriter): void {
    out.byte(0x7b);
    let first = true;
    for (let i = 0; i < table.count; i++) {
      if (table.is(i, GONE)) continue;
      if (!first) out.byte(0x2c);
      first = false;
      if (isPlain(table, i)) {
        // Neighbours that stand side by side in the source are copied as one piece.
        const start = table.keyStart[i] as number;
        while (
          i + 1 < table.count &&
          isPlain(table, i + 1) &&
          table.keyStart[i + 1] === (table.valueEnd[i] as number) + 1
        )
          i++;
        out.copy(this.#bytes, start, table.valueEnd[i] as number);
        continue;
      }
      if (table.is(i, KEY)) {
        const key = table.keys[i] as Buffer;
        out.copy(key, 0, key.length);
      } else out.copy(this.#bytes, table.keyStart[i] as number, table.keyEnd[i] as number);
      out.byte(0x3a);
      if (table.is(i, TEXT)) out.text(table.texts[i] as string);
      else if (isEdited(table, i)) this.#emitTable(table.tables[i] as Table, out);
      else out.copy(this.#bytes, table.valueStart[i] as number, table.valueEnd[i] as number);
    }
    out.byte(0x7d);
  }

  /** The text of a table: the slow road, for reading back what was edited. */
  #textOf(table: Table): string {
    const parts: string[] = [];
    for (let i = 0; i < table.count; i++) {
      if (table.is(i, GONE)) continue;
      const key = table.is(i, KEY)
        ? String(table.keys[i])
        : this.#bytes.toString('utf8', table.keyStart[i], table.keyEnd[i]);
      parts.push(`${key}:${this.#entryText(table, i)}`);
    }
    return `{${parts.join(',')}}`;
  }

  /** The text of an entry's value; of a run, with all that follows in it. */
  #entryText(table: Table, i: number): string {
    if (table.is(i, TEXT)) return table.texts[i] as string;
    if (isEdited(table, i)) return this.#textOf(table.tables[i] as Table);
    return this.#bytes.toString('utf8', table.valueStart[i], table.valueEnd[i]);
  }
}

function kindOf(value: Value | undefined): number {
  return value === undefined ? -1 : toJson(value).charCodeAt(0);
}

function isDirty(table: Table): boolean {
  if (table.dirty) return true;
  for (let i = 0; i < table.count; i++) if (!table.is(i, GONE) && isEdited(table, i)) return true;
  return false;
}

/** The value is a touched object that is not, or no longer, what stands in the source. */
function isEdited(table: Table, i: number): boolean {
  return table.is(i, TABLE) && (table.is(i, MADE) || isDirty(table.tables[i] as Table));
}

/** The entry stands in the source as it is. */
function isPlain(table: Table, i: number): boolean {
  return !table.is(i, GONE | KEY | TEXT) && !isEdited(table, i);
}

/** The touched child whose key stands at `b[keyStart, keyEnd)`, quotes included. */
function childNamed(node: PathNode, b: Buffer, keyStart: number, keyEnd: number): PathNode | undefined {
  const length = keyEnd - keyStart;
  const last = keyEnd - 2;
  const children = node.children;
  for (let k = 0; k < children.length; k++) {
    const child = children[k] as PathNode;
    const quoted = child.quoted;
    if (quoted.length !== length || quoted[length - 2] !== b[last]) continue;
    let i = 1;
    while (quoted[i] === b[keyStart + i] && i < length - 2) i++;
    if (i >= length - 2 && !hasBackslash(b, keyStart, keyEnd)) return child;
  }
  if (!hasBackslash(b, keyStart, keyEnd)) return undefined;
  const text = decodeString(b, keyStart, keyEnd);
  return children.find((child) => child.name === text);
}

function startsWith(b: Buffer, p: number, end: number, key: Buffer): boolean {
  const length = key.length;
  if (p + length > end) return false;
  for (let i = 0; i < length; i++) if (b[p + i] !== key[i]) return false;
  return true;
}

/** Records that differ much have no habits: after some surprises nothing more is learnt of them. */
function learn(
  node: PathNode,
  place: number,
  b: Buffer,
  start: number,
  end: number,
  child: PathNode | undefined,
): void {
  node.surprises++;
  if (place <= node.habits.length) node.habits[place] = { key: Buffer.from(b.subarray(start, end + 1)), child };
}

function hasBackslash(b: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (b[i] === 0x5c) return true;
  return false;
}
