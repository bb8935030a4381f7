/**
 * Reads a part of the tree by its zod schema: aliases to canonical names, references to text, text to the field's type,
 * secrets to Secret; whatever is wrong becomes a problem with its place. The schema is the only description of a field.
 */
import { type $ZodIssue, type $ZodType, safeParse } from 'zod/v4/core';
import { coerceScalar } from './coerce.ts';
import { didYouMean, listNames, nearest } from './nearest.ts';
import type { About, Problems, Where } from './problems.ts';
import { hasUserInfo, isGuardedName, type SecretRegistry } from './redact.ts';
import { expand, type Scope, type StepReference } from './references.ts';
import { core, describeSchema, type Marks, marks, UNMARKED } from './schema-kinds.ts';
import { alternative, fieldSchema, sealed } from './schema-walk.ts';
import { issueSentence, NO_MESSAGE } from './sentences.ts';
import type { ListNode, MapNode, Node, ScalarNode } from './tree.ts';

export interface DecodeContext {
  readonly problems: Problems;
  readonly about: About;
  readonly scope: Scope;
  readonly secrets: SecretRegistry;
  /** Keys that begin with `x-` are free in the project's and pipeline's own maps, not in the config of an oxi. */
  readonly freeKeys: boolean;
  /** Other spellings of the fields at the top. */
  readonly aliases?: Readonly<Record<string, string>> | undefined;
  /** Fields that stand at a wrong place, reported there: they are not missing, too. */
  readonly elsewhere?: ReadonlySet<string>;
  /** Something to add to the message on an unknown field at the top. */
  readonly hint?: (name: string) => string | undefined;
  /** Fields at the top that are read elsewhere: they are allowed, too. */
  readonly others?: readonly string[];
}

export interface Decoded<T> {
  /** Undefined where there was a problem, or where a reference has no value before the run. */
  readonly value: T | undefined;
  /** References to steps, in the order of the fields. */
  readonly steps: readonly { readonly reference: StepReference; readonly where: Where; readonly field: string }[];
  readonly deferred: boolean;
  /** The place of a field (canonical names, dots between), else of the nearest part around it. */
  locate(field: string): Where;
}

interface Seen {
  readonly where: Where;
  readonly schema: $ZodType | undefined;
  /** As read, for messages; undefined where it may not be shown or is no scalar. */
  readonly shown: string | undefined;
  readonly value: unknown;
  readonly deferred: boolean;
}

/** Reads `node` as `schema` says. Problems go to the context. */
export function decode<T>(schema: $ZodType<T>, node: Node, context: DecodeContext): Decoded<T> {
  const reader = new FieldReader(context);
  const before = context.problems.count;
  const input = reader.value(schema, node, []);
  const result = safeParse(schema, input, { error: () => NO_MESSAGE });
  if (!result.success) for (const issue of result.error.issues) reader.report(issue, schema);
  const failed = context.problems.count > before;
  const value =
    result.success && !failed && !reader.deferred ? (sealed(schema, result.data, context.secrets) as T) : undefined;
  return {
    value,
    steps: reader.steps,
    deferred: reader.deferred,
    locate: (field) => reader.locate(field.split('.')).where,
  };
}

/** Numbers, truth values, times and sizes of fields that take no other text. */
const STAND_INS = ['1', '1000', '0.5', 'true', '1s', '1MB'];

function wordsOf(schema: $ZodType): string[] {
  const { def } = core(schema)._zod;
  return def.type === 'literal' ? def.values.map(String) : [];
}

class FieldReader {
  readonly #context: DecodeContext;
  readonly #seen = new Map<string, Seen>();
  readonly steps: { reference: StepReference; where: Where; field: string }[] = [];
  deferred = false;
  readonly #failed = new Set<string>();
  /** Maps with keys that nobody knows. */
  readonly #strange = new Set<string>();
  /** Fields that a mistyped key was meant for. */
  readonly #meant = new Set<string>();

  constructor(context: DecodeContext) {
    this.#context = context;
  }

  /** The plain value of a node, on its way to zod. */
  value(schema: $ZodType | undefined, node: Node, path: readonly string[], around = UNMARKED): unknown {
    const own = marks(schema, around);
    const chosen = schema === undefined ? undefined : alternative(schema, node);
    if (node.kind === 'scalar') return this.#scalar(chosen, node, path, own);
    this.#see(path, { where: node.where, schema, shown: undefined, value: node, deferred: false });
    return node.kind === 'list' ? this.#list(chosen, node, path, own) : this.#map(chosen, node, path, own);
  }

  #scalar(
    schema: $ZodType | undefined,
    node: ScalarNode,
    path: readonly string[],
    { secret, expression }: Marks,
  ): unknown {
    const { problems, scope, secrets, about } = this.#context;
    const kind = schema === undefined ? undefined : core(schema)._zod.def.type;
    let { value, text } = node;
    let hidden = secret;
    let deferred = false;
    let standsIn = false;
    if (typeof value === 'string' && node.references) {
      const expanded = expand(value, scope, expression);
      if ('error' in expanded) {
        problems.add(node.where, expanded.error, this.#about(path));
        this.#fail(path);
        deferred = true;
      } else {
        for (const name of expanded.variables) secrets.addVariable(name, scope.variable(name) ?? '');
        for (const reference of expanded.steps)
          this.steps.push({ reference, where: node.where, field: path.join('.') });
        hidden ||= expanded.variables.some(isGuardedName);
        standsIn = expanded.standsIn === true;
        deferred = expanded.deferred;
        this.deferred ||= deferred;
        if (expanded.text !== value) text = expanded.text;
        value = expanded.text;
      }
    }
    if (secret && typeof value === 'string' && !deferred) secrets.add(text);
    else if (typeof value === 'string') secrets.addPasswords(text);
    if (typeof value === 'string' && node.where.option === undefined && !node.text.includes('${'))
      this.#noteClear(node, path, secret);
    if (value === null && (kind === 'object' || kind === 'record' || kind === 'map')) {
      this.#see(path, { where: node.where, schema, shown: undefined, value: {}, deferred });
      return {};
    }
    if (value === null && schema !== undefined && !safeParse(schema, null).success && about !== undefined) {
      problems.add(node.where, `has no value; it must be ${describeSchema(schema)}`, this.#about(path));
      this.#fail(path);
      deferred = true;
    }
    const read = schema === undefined ? value : coerceScalar(schema, { value, text });
    const coerced = schema !== undefined && standsIn ? this.#fitting(schema, node, read) : read;
    const shown = hidden || hasUserInfo(text) ? undefined : show(coerced);
    this.#see(path, { where: node.where, schema, shown, value: coerced, deferred });
    return coerced;
  }

  /** What stands in for a variable is text: where that is none of the field's values, one that is. */
  #fitting(schema: $ZodType, { value }: ScalarNode, read: unknown): unknown {
    if (typeof value !== 'string' || safeParse(schema, read).success) return read;
    for (const one of [...STAND_INS, ...wordsOf(schema)]) {
      const expanded = expand(value, { ...this.#context.scope, standIn: () => one });
      if ('error' in expanded) continue;
      const { text } = expanded;
      const fitting = coerceScalar(schema, { value: text, text });
      if (safeParse(schema, fitting).success) return fitting;
    }
    return read;
  }

  /** A secret that everybody who may read the file knows. */
  #noteClear({ text, where }: ScalarNode, path: readonly string[], secret: boolean): void {
    const { about, secrets } = this.#context;
    const isDefault = about.field === 'environment';
    if (secret || isDefault || hasUserInfo(text))
      secrets.addInClear(
        `${where.file}:${where.line}:${where.column}`,
        path.at(-1) ?? about.field ?? '',
        text,
        isDefault,
      );
  }

  #list(schema: $ZodType | undefined, node: ListNode, path: readonly string[], own: Marks): unknown[] {
    const def = schema === undefined ? undefined : core(schema)._zod.def;
    const element = def?.type === 'array' ? def.element : undefined;
    return node.items.map((item, index) => this.value(element, item, [...path, String(index)], own));
  }

  #map(
    schema: $ZodType | undefined,
    node: MapNode,
    path: readonly string[],
    own: Marks,
  ): Record<string, unknown> | Map<string, unknown> {
    const def = schema === undefined ? undefined : core(schema)._zod.def;
    if (def?.type === 'map') {
      const inside = (key: string, value: Node): unknown => this.value(def.valueType, value, [...path, key], own);
      return new Map([...node.entries].map(([key, { value }]) => [key, inside(key, value)]));
    }
    const out: Record<string, unknown> = {};
    const spelled = new Map<string, string>();
    for (const [key, entry] of node.entries) {
      if (def?.type !== 'object') {
        out[key] = this.value(def?.type === 'record' ? def.valueType : undefined, entry.value, [...path, key], own);
        continue;
      }
      const { aliases = {} } = this.#context;
      const name = path.length === 0 && Object.hasOwn(aliases, key) ? (aliases[key] ?? key) : key;
      const field = Object.hasOwn(def.shape, name) ? def.shape[name] : undefined;
      if (field === undefined && def.catchall !== undefined && core(def.catchall)._zod.def.type !== 'never') {
        out[key] = this.value(def.catchall, entry.value, [...path, key], own);
        continue;
      }
      if (field === undefined) {
        if (!(this.#context.freeKeys && key.startsWith('x-')))
          this.#unknown(key, Object.keys(def.shape), entry.key, path);
        continue;
      }
      const other = spelled.get(name);
      if (other !== undefined) {
        this.#context.problems.add(
          entry.key,
          `is given twice, as "${other}" and as "${key}"; keep one`,
          this.#about([...path, name]),
        );
        continue;
      }
      spelled.set(name, key);
      out[name] = this.value(field, entry.value, [...path, name], own);
    }
    return out;
  }

  #unknown(key: string, known: readonly string[], where: Where, path: readonly string[]): void {
    const { aliases = {}, others = [], hint, problems } = this.#context;
    const all = path.length === 0 ? [...known, ...others] : known;
    const names = path.length === 0 ? [...all, ...Object.keys(aliases)] : known;
    this.#strange.add(JSON.stringify(path));
    const near = nearest(key, names);
    if (near !== undefined)
      this.#meant.add(JSON.stringify([...path, Object.hasOwn(aliases, near) ? aliases[near] : near]));
    const advice = (path.length === 0 ? hint?.(key) : undefined) ?? didYouMean(key, names);
    const inside = path.length === 0 ? '' : ` in "${path.join('.')}"`;
    const allowed = all.length === 0 ? 'no fields are allowed here' : `allowed: ${listNames(all)}`;
    problems.add(
      where,
      `unknown field "${key}"${inside}${advice === '' ? '' : advice}${advice.endsWith('?') ? ' ' : '; '}${allowed}`,
      this.#context.about,
    );
  }

  /** Turns an issue of zod into a problem, unless its value is not known yet or is a problem already. */
  report(issue: $ZodIssue, schema: $ZodType): void {
    const path = issue.path.map(String);
    const exact = this.#seen.get(JSON.stringify(path));
    const seen = exact ?? this.locate(path);
    const around = path.map((_, length) => JSON.stringify(path.slice(0, length)));
    if (exact?.deferred === true || [JSON.stringify(path), ...around].some((key) => this.#failed.has(key))) return;
    const inner = issue.code === 'invalid_union' ? innerIssues(issue, fieldSchema(schema, path), exact?.value) : [];
    if (inner.length > 0) {
      for (const one of inner) this.report({ ...one, path: [...issue.path, ...one.path] }, schema);
      return;
    }
    // What a map needs may be what an unknown key was meant for.
    const isRule = issue.code === 'custom' || issue.code === 'invalid_union';
    if (isRule && this.#strange.has(JSON.stringify(path))) return;
    if (issue.code === 'custom' && this.deferred && exact?.shown === undefined) return;
    const field = fieldSchema(schema, path);
    const missing = exact === undefined;
    if (missing && (this.#meant.has(JSON.stringify(path)) || this.#context.elsewhere?.has(path.join('.')) === true))
      return;
    const sentence = issueSentence(issue, field, missing ? undefined : exact.value);
    const got = missing || !isScalarValue(exact.value) ? kindOf(exact?.value) : exact.shown;
    const tail =
      missing ||
      got === undefined ||
      issue.code === 'invalid_key' ||
      (isRule && got.startsWith('a ') && !sentence.startsWith('must be')) ||
      sentence.endsWith('must not be empty') ||
      issue.message.includes(', got ')
        ? ''
        : `, got ${got}`;
    this.#context.problems.add(seen.where, insertGot(sentence, tail), this.#about(path));
  }

  locate(path: readonly string[]): Seen {
    for (let length = path.length; length >= 0; length -= 1) {
      const seen = this.#seen.get(JSON.stringify(path.slice(0, length)));
      if (seen !== undefined) return seen;
    }
    return {
      where: { file: '', line: 0, column: 0 },
      schema: undefined,
      shown: undefined,
      value: undefined,
      deferred: false,
    };
  }

  #see(path: readonly string[], seen: Seen): void {
    this.#seen.set(JSON.stringify(path), seen);
  }

  #fail(path: readonly string[]): void {
    this.#failed.add(JSON.stringify(path));
  }

  #about(path: readonly string[]): About {
    return {
      ...this.#context.about,
      field: [this.#context.about.field, ...path].filter((part) => part !== undefined).join('.'),
    };
  }
}

/** What is wrong inside of the alternative that has the shape of the value; empty where it is the shape that is wrong. */
function innerIssues(
  issue: Extract<$ZodIssue, { code: 'invalid_union' }>,
  field: $ZodType | undefined,
  value: unknown,
): readonly $ZodIssue[] {
  const def = field === undefined ? undefined : core(field)._zod.def;
  if (field === undefined || def?.type !== 'union' || isScalarValue(value)) return [];
  const issues = issue.errors[def.options.indexOf(alternative(field, value as Node))] ?? [];
  return issues.every(({ path }) => path.length > 0) ? issues : [];
}

function isScalarValue(value: unknown): boolean {
  return value === null || typeof value !== 'object';
}

function kindOf(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null || !('kind' in value)) return undefined;
  return value.kind === 'list' ? 'a list' : 'a map';
}

function show(value: unknown): string {
  if (typeof value !== 'string') return String(value);
  return JSON.stringify(value.length > 60 ? `${value.slice(0, 57)}...` : value);
}

/** `, got "x"` stands before a "did you mean". */
function insertGot(sentence: string, tail: string): string {
  const at = sentence.indexOf('; did you mean');
  return at < 0 ? sentence + tail : sentence.slice(0, at) + tail + sentence.slice(at);
}
