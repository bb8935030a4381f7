/**
 * One record under work, as a table of its members: where each key and value stands in the source bytes, or the text that a
 * step put in its place. Reading decodes a span, writing edits the table, `emit` splices: what nobody touched is copied.
 * Invariant: the source span is valid compact JSON before any member is looked at.
 */
import type { FieldPath, RecordView } from '../engine/contracts.ts';
import { RecordError } from '../engine/contracts.ts';
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

/** The members of one object. Entry i is source text, or text of a step (`texts[i]`), or an object with a table of its own. */
class Table {
  node: PathNode | undefined;
  count = 0;
  keyStart: number[] = [];
  keyEnd: number[] = [];
  valueStart: number[] = [];
  valueEnd: number[] = [];
  /** JSON text of the key, quotes included, where a step gave it. */
  keyTexts: (string | undefined)[] = [];
  /** JSON text of the value, where a step gave it. */
  texts: (string | undefined)[] = [];
  /** The table of a touched object inside. */
  tables: (Table | undefined)[] = [];
  gone: boolean[] = [];
  /** Entry of each touched child, by the child's id; -1 where there is none. */
  entry: number[] = [];
  dirty = false;

  reset(node: PathNode | undefined): void {
    this.node = node;
    this.count = 0;
    this.dirty = false;
    const children = node === undefined ? 0 : node.children.length;
    for (let i = 0; i < children; i++) this.entry[i] = -1;
  }

  add(keyStart: number, keyEnd: number, valueStart: number, valueEnd: number, table: Table | undefined): number {
    const i = this.count++;
    this.keyStart[i] = keyStart;
    this.keyEnd[i] = keyEnd;
    this.valueStart[i] = valueStart;
    this.valueEnd[i] = valueEnd;
    this.keyTexts[i] = undefined;
    this.texts[i] = undefined;
    this.tables[i] = table;
    this.gone[i] = false;
    return i;
  }

  /** A new member with text of a step; its key is `name`. */
  addText(name: string, text: string | undefined, table: Table | undefined): number {
    const i = this.add(0, 0, 0, 0, table);
    this.keyTexts[i] = JSON.stringify(name);
    this.texts[i] = text;
    return i;
  }
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

  #table(node: PathNode | undefined): Table {
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
    for (;;) {
      if (p >= end || b[p] !== QUOTE) return fail(p, 'a key in quotes is missing');
      const keyStart = p;
      const keyEnd = skipString(b, p + 1, end);
      if (keyEnd < 0) return -1;
      p = skipColon(b, keyEnd, end);
      if (p < 0) return -1;
      const child = childNamed(node, b, keyStart, keyEnd);
      const valueStart = p;
      let inner: Table | undefined;
      if (child !== undefined && child.children.length > 0 && b[p] === 0x7b) {
        inner = this.#table(child);
        p = this.#object(b, p, end, child, inner, depth + 1);
      } else p = skipValue(b, p, end, depth + 1);
      if (p < 0) return -1;
      this.#member(table, child, keyStart, keyEnd, valueStart, p, inner);
      p = skipSpace(b, p, end);
      if (p >= end) return fail(end, 'an object is not closed');
      const c = b[p];
      if (c === 0x7d) return p + 1;
      if (c !== 0x2c) return fail(p, 'a comma or a closing bracket is missing');
      p = skipSpace(b, p + 1, end);
    }
  }

  /** Adds a member; of a touched key only the last one stays, at the place of the first. */
  #member(
    table: Table,
    child: PathNode | undefined,
    ks: number,
    ke: number,
    vs: number,
    ve: number,
    inner: Table | undefined,
  ): void {
    const before = child === undefined ? -1 : (table.entry[child.id] as number);
    if (before < 0) {
      const i = table.add(ks, ke, vs, ve, inner);
      if (child !== undefined) table.entry[child.id] = i;
      return;
    }
    table.keyStart[before] = ks;
    table.keyEnd[before] = ke;
    table.valueStart[before] = vs;
    table.valueEnd[before] = ve;
    table.tables[before] = inner;
    table.dirty = true;
    this.#edited = true;
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

  /** The source text of a number that no step set; undefined for anything else. */
  numberText(path: FieldPath): string | undefined {
    if (path.length === 0) return undefined;
    const node = this.#tree.node(path);
    const table = this.#tableOf(node.parent as PathNode);
    const i = table?.entry[node.id] ?? -1;
    if (table === undefined || i < 0 || table.texts[i] !== undefined || !hasSource(table, i)) return undefined;
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
    const text = table.texts[i];
    if (text !== undefined) return decodeText(text);
    const inner = table.tables[i];
    if (inner !== undefined && isDirty(inner)) return decodeText(this.#textOf(inner));
    return decodeValue(this.#bytes, table.valueStart[i] as number, table.valueEnd[i] as number);
  }

  /** The table of a touched object, where the record has that object and it is still in the table. */
  #tableOf(node: PathNode): Table | undefined {
    if (node.parent === undefined) return this.#root;
    const outer = this.#tableOf(node.parent);
    if (outer === undefined) return undefined;
    const i = outer.entry[node.id] as number;
    return i < 0 ? undefined : outer.tables[i];
  }

  // ---------------------------------------------------------------- editing

  set(path: FieldPath, json: string): void {
    const node = this.#tree.node(path);
    const table = this.#madeTable(node.parent as PathNode);
    const i = table.entry[node.id] as number;
    table.dirty = true;
    this.#edited = true;
    if (i < 0) table.entry[node.id] = table.addText(node.name, json, undefined);
    else {
      table.texts[i] = json;
      table.tables[i] = undefined;
    }
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
      i = outer.addText(node.name, undefined, this.#table(node));
      outer.entry[node.id] = i;
      outer.dirty = true;
    }
    const inner = outer.tables[i];
    if (inner === undefined) throw new RecordError(`"${node.name}" is not an object: no field can be set inside it`);
    return inner;
  }

  drop(path: FieldPath): void {
    const node = this.#tree.node(path);
    const table = this.#tableOf(node.parent as PathNode);
    if (table === undefined) return;
    const i = table.entry[node.id] as number;
    if (i < 0) return;
    table.gone[i] = true;
    table.entry[node.id] = -1;
    table.dirty = true;
    this.#edited = true;
  }

  rename(renames: readonly { from: FieldPath; to: FieldPath }[]): void {
    const moves: {
      table: Table;
      i: number;
      source: PathNode;
      target: PathNode;
      to: FieldPath;
      text: string | undefined;
    }[] = [];
    for (const { from, to } of renames) {
      const source = this.#tree.node(from);
      const target = this.#tree.node(to);
      const table = this.#tableOf(source.parent as PathNode);
      const i = table?.entry[source.id] ?? -1;
      if (table === undefined || i < 0 || source === target) continue;
      // Into another object the value goes with its text; it is read before anything moves.
      moves.push({
        table,
        i,
        source,
        target,
        to,
        text: source.parent === target.parent ? undefined : this.#entryText(table, i),
      });
    }
    for (const { table, source, i, text } of moves) {
      table.entry[source.id] = -1;
      if (text !== undefined) table.gone[i] = true;
      table.dirty = true;
      this.#edited = true;
    }
    for (const { table, i, target, to, text } of moves) {
      if (text !== undefined) {
        this.set(to, text);
        continue;
      }
      const old = table.entry[target.id] as number;
      if (old >= 0) table.gone[old] = true;
      table.keyTexts[i] = JSON.stringify(target.name);
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
      const inner = table.tables[i];
      if (below?.some((path) => path.length === depth + 1)) continue;
      if (below !== undefined && inner?.node !== undefined) this.#keep(inner, inner.node, below, depth + 1);
      else {
        table.gone[i] = true;
        table.dirty = true;
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
    let i = 0;
    while (i < table.count) {
      if (table.gone[i]) {
        i++;
        continue;
      }
      if (!first) out.byte(0x2c);
      first = false;
      if (isPlain(table, i)) {
        // Neighbours that stand side by side in the source are copied as one piece.
        let last = i;
        while (
          last + 1 < table.count &&
          isPlain(table, last + 1) &&
          table.keyStart[last + 1] === (table.valueEnd[last] as number) + 1
        )
          last++;
        out.copy(this.#bytes, table.keyStart[i] as number, table.valueEnd[last] as number);
        i = last + 1;
        continue;
      }
      const key = table.keyTexts[i];
      if (key === undefined) out.copy(this.#bytes, table.keyStart[i] as number, table.keyEnd[i] as number);
      else out.text(key);
      out.byte(0x3a);
      this.#emitValue(table, i, out);
      i++;
    }
    out.byte(0x7d);
  }

  #emitValue(table: Table, i: number, out: ByteWriter): void {
    const text = table.texts[i];
    const inner = table.tables[i];
    if (text !== undefined) out.text(text);
    else if (inner !== undefined && (isDirty(inner) || !hasSource(table, i))) this.#emitTable(inner, out);
    else out.copy(this.#bytes, table.valueStart[i] as number, table.valueEnd[i] as number);
  }

  /** The text of a table: the slow road, for reading back what was edited. */
  #textOf(table: Table): string {
    const parts: string[] = [];
    for (let i = 0; i < table.count; i++) {
      if (table.gone[i]) continue;
      const key = table.keyTexts[i] ?? this.#bytes.toString('utf8', table.keyStart[i], table.keyEnd[i]);
      parts.push(`${key}:${this.#entryText(table, i)}`);
    }
    return `{${parts.join(',')}}`;
  }

  #entryText(table: Table, i: number): string {
    const inner = table.tables[i];
    if (table.texts[i] !== undefined) return table.texts[i] as string;
    if (inner !== undefined && (isDirty(inner) || !hasSource(table, i))) return this.#textOf(inner);
    return this.#bytes.toString('utf8', table.valueStart[i], table.valueEnd[i]);
  }
}

function isDirty(table: Table): boolean {
  if (table.dirty) return true;
  for (let i = 0; i < table.count; i++) {
    const inner = table.tables[i];
    if (inner !== undefined && !table.gone[i] && isDirty(inner)) return true;
  }
  return false;
}

/** The value stands in the source; without it a step made the object. */
function hasSource(table: Table, i: number): boolean {
  return table.valueEnd[i] !== 0;
}

/** The entry stands in the source as it is. */
function isPlain(table: Table, i: number): boolean {
  if (table.gone[i] || table.keyTexts[i] !== undefined || table.texts[i] !== undefined) return false;
  const inner = table.tables[i];
  return inner === undefined || !isDirty(inner);
}

/** The touched child whose key stands at `b[keyStart, keyEnd)`, quotes included. */
function childNamed(node: PathNode, b: Buffer, keyStart: number, keyEnd: number): PathNode | undefined {
  const length = keyEnd - keyStart - 2;
  const children = node.children;
  for (let k = 0; k < children.length; k++) {
    const child = children[k] as PathNode;
    const name = child.bytes;
    if (name.length !== length) continue;
    let i = 0;
    while (i < length && name[i] === b[keyStart + 1 + i]) i++;
    if (i === length && (length === 0 || !hasBackslash(b, keyStart, keyEnd))) return child;
  }
  if (!hasBackslash(b, keyStart, keyEnd)) return undefined;
  const text = decodeString(b, keyStart, keyEnd);
  return children.find((child) => child.name === text);
}

function hasBackslash(b: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (b[i] === 0x5c) return true;
  return false;
}
