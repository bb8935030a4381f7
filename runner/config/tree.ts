/**
 * A YAML file as a tree of plain nodes with places. Everything that YAML can do beyond data is refused here: custom tags,
 * merge keys, duplicate keys, several documents, other keys than text, prototype names, alias bombs, absurd size or depth.
 */
import {
  Composer,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  type ParsedNode,
  Parser,
} from 'yaml';
import { OxiError } from '../engine/errors.ts';
import type { Json } from '../state/store.ts';
import { type Problems, problem, type Where } from './problems.ts';
import { yamlSentence } from './yaml-sentences.ts';

export interface ScalarNode {
  readonly kind: 'scalar';
  readonly value: null | boolean | number | string;
  /** As it stands in the file (without quotes); `007` stays `007`. */
  readonly text: string;
  /** False for values in which `${...}` is plain text: they came from the command line. */
  readonly references: boolean;
  readonly where: Where;
}

export interface ListNode {
  readonly kind: 'list';
  readonly items: readonly Node[];
  readonly where: Where;
}

interface Entry {
  readonly key: Where;
  readonly value: Node;
}

export interface MapNode {
  readonly kind: 'map';
  readonly entries: ReadonlyMap<string, Entry>;
  readonly where: Where;
}

export type Node = ScalarNode | ListNode | MapNode;

/** Bounds of a configuration file; far above every honest one, and low enough that reading it takes well under a second. */
const LIMITS = { bytes: 2 ** 20, lines: 20_000, lexemes: 200_000, depth: 64, nodes: 100_000 } as const;

/** Names that would reach into the prototypes of JavaScript objects. */
export const FORBIDDEN_KEYS: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);

const CORE_TAG = /^tag:yaml\.org,2002:(str|int|float|bool|null|map|seq)$/;

/** `text` of the file that messages call `file`. Throws ConfigErrors where it is no YAML that we take. */
export function parseTree(text: string, file: string, problems: Problems): Node | undefined {
  const place = (line: number, column: number): Where => ({ file, line, column });
  if (text.length > LIMITS.bytes) {
    throw problem(place(0, 0), `is larger than 1 MB (${text.length} characters); a configuration file is not data`);
  }
  const lines = new LineCounter();
  const at = (offset: number): Where => {
    const { line, col } = lines.linePos(offset);
    return place(Math.max(line, 1), Math.max(col, 1));
  };
  const document = compose(text, lines, at);
  // What stands behind a tab is misread: only the tab is wrong.
  const tab = document.errors.find(({ code }) => code === 'TAB_AS_INDENT');
  for (const error of tab === undefined ? document.errors : [tab]) {
    const [start] = error.pos;
    problems.add(at(start + (/^ */.exec(text.slice(start, start + 1000))?.[0].length ?? 0)), yamlSentence(error, text));
  }
  if (document.errors.length > 0) return undefined;
  if (document.directives?.yaml.explicit === true && document.directives.yaml.version !== '1.2') {
    problems.add(place(1, 1), 'is written for another version of YAML; remove the %YAML line (this is YAML 1.2)');
    return undefined;
  }
  if (document.contents === null || (isScalar(document.contents) && document.contents.value === null)) {
    problems.add(place(1, 1), 'the file is empty');
    return undefined;
  }
  return new Reader(at, problems).node(document.contents, 0);
}

function compose(text: string, lines: LineCounter, at: (offset: number) => Where): Document.Parsed<ParsedNode> {
  const parser = new Parser(lines.addNewLine);
  const tokens = [];
  let lexemes = 0;
  lines.addNewLine(0);
  for (const lexeme of new Lexer().lex(text)) {
    for (const token of parser.next(lexeme)) tokens.push(token);
    lexemes += 1;
    if (parser.stack.length > 2 * LIMITS.depth) {
      throw problem(at(parser.offset), `is nested deeper than ${LIMITS.depth} levels`);
    }
    if (lexemes > LIMITS.lexemes || lines.lineStarts.length > LIMITS.lines) {
      throw problem(
        at(parser.offset),
        `is too long: more than ${LIMITS.lines} lines or ${LIMITS.lexemes} words and signs`,
      );
    }
  }
  for (const token of parser.end()) tokens.push(token);
  // Keys are checked for uniqueness by our own reader: the library compares every pair.
  const composer = new Composer({ uniqueKeys: false, merge: false, prettyErrors: false, logLevel: 'silent' });
  let first: Document.Parsed<ParsedNode> | undefined;
  try {
    for (const document of composer.compose(tokens, true, text.length)) {
      if (first !== undefined) {
        throw problem(at(document.range[0]), 'holds more than one YAML document; keep one and remove "---"');
      }
      first = document as Document.Parsed<ParsedNode>;
    }
  } catch (error) {
    if (error instanceof OxiError) throw error;
    throw new OxiError('CONFIG_INVALID', `${at(0).file}: is not valid YAML`, {
      place: { file: at(0).file },
      cause: error,
    });
  }
  if (first === undefined) throw problem(at(0), 'the file is empty');
  return first;
}

/** Turns the library's nodes into ours, aliases expanded within the budget. */
class Reader {
  readonly #at: (offset: number) => Where;
  readonly #problems: Problems;
  /** Anchored nodes, and how many nodes each stands for; undefined while it is being read. */
  readonly #anchors = new Map<string, { node: Node; weight: number } | undefined>();
  #weight = 0;

  constructor(at: (offset: number) => Where, problems: Problems) {
    this.#at = at;
    this.#problems = problems;
  }

  node(source: unknown, depth: number): Node {
    const where = this.#at(rangeOf(source));
    this.#spend(1, where);
    if (depth > LIMITS.depth) throw problem(where, `is nested deeper than ${LIMITS.depth} levels`);
    if (isAlias(source)) return this.#alias(source.source, where);
    const before = this.#weight;
    const anchor = isMap(source) || isSeq(source) || isScalar(source) ? source.anchor : undefined;
    if (anchor !== undefined) this.#anchors.set(anchor, undefined);
    const node = this.#plain(source, where, depth);
    if (anchor !== undefined) this.#anchors.set(anchor, { node, weight: this.#weight - before + 1 });
    return node;
  }

  #plain(source: unknown, where: Where, depth: number): Node {
    const tag = isMap(source) || isSeq(source) || isScalar(source) ? source.tag : undefined;
    if (tag !== undefined && !CORE_TAG.test(tag))
      this.#problems.add(where, `the tag ${shortTag(tag)} is not allowed; write plain data`);
    if (isMap(source)) return this.#map(source.items, where, depth);
    if (isSeq(source)) return { kind: 'list', items: source.items.map((item) => this.node(item, depth + 1)), where };
    if (!isScalar(source)) return { kind: 'scalar', value: null, text: '', references: true, where };
    const { value } = source;
    const text = typeof value === 'string' ? value : (source.source ?? String(value));
    if (value === null || typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') {
      return { kind: 'scalar', value, text, references: true, where };
    }
    return { kind: 'scalar', value: text, text, references: true, where };
  }

  #map(items: readonly { key: unknown; value: unknown }[], where: Where, depth: number): MapNode {
    const entries = new Map<string, Entry>();
    for (const item of items) {
      const key = this.#at(rangeOf(item.key));
      const name = this.#key(item.key, key);
      const value =
        item.value === null
          ? { kind: 'scalar' as const, value: null, text: '', references: true, where: key }
          : this.node(item.value, depth + 1);
      if (name === undefined) continue;
      const first = entries.get(name);
      if (first === undefined) entries.set(name, { key, value });
      else this.#problems.add(key, `"${name}" is given twice; the first one is in line ${first.key.line}`);
    }
    return { kind: 'map', entries, where };
  }

  #key(source: unknown, where: Where): string | undefined {
    this.#spend(1, where);
    if (!isScalar(source) || typeof source.value !== 'string') {
      const shown = isScalar(source) && source.value !== null ? (source.source ?? String(source.value)) : undefined;
      this.#problems.add(
        where,
        shown === undefined ? 'a key must be text' : `a key must be text; write "${shown}" in quotes`,
      );
      return undefined;
    }
    if (source.tag !== undefined && !CORE_TAG.test(source.tag))
      this.#problems.add(where, `the tag ${shortTag(source.tag)} is not allowed; write plain data`);
    if (source.value === '<<' && source.type === 'PLAIN') {
      this.#problems.add(where, 'merge keys (<<) are not supported; write the fields out');
      return undefined;
    }
    if (FORBIDDEN_KEYS.has(source.value)) {
      this.#problems.add(where, `the key "${source.value}" is not allowed`);
      return undefined;
    }
    return source.value;
  }

  #alias(name: string, where: Where): Node {
    const target = this.#anchors.get(name);
    if (target !== undefined) {
      this.#spend(target.weight, where);
      return target.node;
    }
    const text = this.#anchors.has(name)
      ? `the alias *${name} stands inside its own anchor`
      : `the alias *${name} has no anchor &${name} above it`;
    this.#problems.add(where, text);
    return { kind: 'scalar', value: null, text: '', references: true, where };
  }

  #spend(weight: number, where: Where): void {
    this.#weight += weight;
    if (this.#weight > LIMITS.nodes) {
      throw problem(where, `its aliases grow to more than ${LIMITS.nodes} values; write them out or use fewer`);
    }
  }
}

function rangeOf(source: unknown): number {
  if (isMap(source) || isSeq(source) || isScalar(source) || isAlias(source)) return source.range?.[0] ?? 0;
  return 0;
}

function shortTag(tag: string): string {
  return tag.startsWith('tag:yaml.org,2002:') ? `!!${tag.slice(18)}` : tag;
}

/** The data of a node as plain JSON, references left as they stand. */
export function toJson(node: Node): Json {
  if (node.kind === 'scalar') return node.value;
  if (node.kind === 'list') return node.items.map(toJson);
  return Object.fromEntries([...node.entries].map(([name, { value }]) => [name, toJson(value)]));
}
