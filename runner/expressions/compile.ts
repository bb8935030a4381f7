/**
 * Turns the text of an expression into closures. Names, functions and arity are checked here, so that what remains for a
 * record are missing fields and wrong types. Nothing of the text ever becomes code: only closures of this house run.
 */

import { didYouMean } from '../config/nearest.ts';
import type { FieldPath } from '../engine/contracts.ts';
import { RecordError } from '../engine/contracts.ts';
import type { Call } from './calls.ts';
import { binary, negate } from './compile-operators.ts';
import { ExpressionError, MissingError } from './errors.ts';
import { type Compiling, Frame, type Run, type Scope, sourceOf } from './frame.ts';
import { FUNCTIONS } from './functions.ts';
import { isAbsorbable, MACROS, TAKEN } from './macros.ts';
import { isList, isObject, typeName } from './operators.ts';
import { type Ast, parse } from './parse.ts';
import { PatternError } from './regex-parse.ts';
import { partOfSplit, pattern } from './texts.ts';
import type { Value } from './values.ts';

export type { RecordReader, Scope } from './frame.ts';

export interface CompiledExpression {
  readonly text: string;
  /** The fields that it reads; 'all' where it uses the record as a whole. */
  readonly touches: readonly FieldPath[] | 'all';
  /** Every path that it asks the record for; the empty path is the record itself. */
  readonly paths: readonly FieldPath[];
  /** Throws RecordError. */
  evaluate(scope: Scope): Value;
}

const META: ReadonlySet<string> = new Set(['file', 'offset', 'partition', 'timestamp']);

/** `start`: evaluated once before any record (`condition`), over env, params and steps only. Throws ExpressionError. */
export function compileExpression(text: string, options: { allowed: 'record' | 'start' }): CompiledExpression {
  const compiler = new Compiler(text, options.allowed);
  const run = compiler.compile(parse(text));
  const { frame } = compiler;
  const paths = [...compiler.paths.values()];
  return {
    text,
    touches: paths.some((path) => path.length === 0) ? 'all' : paths,
    paths,
    evaluate(scope) {
      frame.scope = scope;
      frame.budget.reset();
      return run();
    },
  };
}

class Compiler implements Compiling {
  readonly text: string;
  readonly frame = new Frame();
  readonly paths = new Map<string, FieldPath>();
  readonly #allowed: 'record' | 'start';
  readonly #locals: string[] = [];

  constructor(text: string, allowed: 'record' | 'start') {
    this.text = text;
    this.#allowed = allowed;
  }

  label(ast: Ast): string {
    const path = this.#path(ast);
    return path === undefined || path.length === 0 ? sourceOf(this.text, ast) : JSON.stringify(path.join('.'));
  }

  field(ast: Ast): FieldPath | undefined {
    const path = this.#path(ast);
    if (path === undefined) return undefined;
    if (this.#allowed === 'start') {
      throw new ExpressionError(
        `${this.label(ast)} is a field of a record, and this condition is evaluated at start, before any record; env, params and steps are there`,
        this.text,
        ast.at,
      );
    }
    // One array for each path: readers may remember where it leads.
    const key = JSON.stringify(path);
    const known = this.paths.get(key) ?? path;
    this.paths.set(key, known);
    return known;
  }

  withLocal<T>(name: string, body: (slot: number) => T): T {
    const slot = this.#locals.push(name) - 1;
    const result = body(slot);
    this.#locals.pop();
    return result;
  }

  compile(ast: Ast): Run {
    const { frame } = this;
    switch (ast.kind) {
      case 'literal': {
        const { value } = ast;
        return () => value;
      }
      case 'name':
        return this.#name(ast);
      case 'member':
        return this.#member(ast);
      case 'index':
        return this.#index(ast);
      case 'call':
        return this.#call(ast);
      case 'list': {
        const items = ast.items.map((item) => this.compile(item));
        return () => items.map((item) => item());
      }
      case 'map':
        return this.#map(ast);
      case 'unary': {
        const operand = this.compile(ast.operand);
        const label = this.label(ast.operand);
        if (ast.op === '-') return negate(operand, label);
        return () => {
          const value = operand();
          if (typeof value === 'boolean') return !value;
          throw new RecordError(`${label} is ${typeName(value)}, "!" needs true or false`);
        };
      }
      case 'binary': {
        const sides = { op: ast.op, left: this.label(ast.left), right: this.label(ast.right) };
        const constant = ast.right.kind === 'literal' ? ast.right.value : undefined;
        return binary(sides, this.compile(ast.left), this.compile(ast.right), constant, frame.budget);
      }
      case 'logic':
        return this.#logic(ast);
      case 'choice': {
        const condition = this.compile(ast.condition);
        const yes = this.compile(ast.yes);
        const no = this.compile(ast.no);
        const label = this.label(ast.condition);
        return () => {
          const chosen = condition();
          if (chosen === true) return yes();
          if (chosen === false) return no();
          throw new RecordError(`${label} is ${typeName(chosen)}, "?" needs true or false before it`);
        };
      }
    }
  }

  /** A chain of names and constant keys that begins at the record. */
  #path(ast: Ast): string[] | undefined {
    if (ast.kind === 'name') {
      if (this.#locals.includes(ast.name)) return undefined;
      return ast.name === 'record' ? [] : TAKEN.has(ast.name) ? undefined : [ast.name];
    }
    if (ast.kind !== 'member') return undefined;
    const path = this.#path(ast.base);
    path?.push(ast.key);
    return path;
  }

  #read(path: FieldPath, ast: Ast): Run {
    const { frame } = this;
    const source = this.text.slice(ast.at, ast.end);
    const parent = path.slice(0, -1);
    return () => {
      const { record } = frame.scope;
      const value = record.get(path);
      if (value !== undefined) return value;
      const holder = parent.length === 0 ? undefined : record.get(parent);
      if (holder !== undefined && !isObject(holder)) {
        throw new MissingError(`"${parent.join('.')}" is ${typeName(holder)}, it has no field "${path.at(-1)}"`);
      }
      throw new MissingError(
        `the field "${path.join('.')}" is not in this record; guard it with has(${source}) or default(${source}, ...)`,
      );
    };
  }

  #name(ast: Extract<Ast, { kind: 'name' }>): Run {
    const { frame } = this;
    const slot = this.#locals.lastIndexOf(ast.name);
    if (slot >= 0) return () => frame.locals[slot] ?? null;
    const path = this.field(ast);
    if (path !== undefined) return this.#read(path, ast);
    switch (ast.name) {
      case 'meta':
        if (this.#allowed === 'start')
          throw new ExpressionError('meta speaks of a record, and this is evaluated at start', this.text, ast.at);
        return () => frame.scope.meta;
      case 'env':
        return () => frame.scope.env;
      case 'params':
        return () => frame.scope.params;
      default:
        if (this.#allowed === 'record')
          throw new ExpressionError(
            'steps is there only in a condition; write what a step has left as ${steps.ID.FIELD}, text of it within quotes',
            this.text,
            ast.at,
          );
        return () => frame.scope.steps;
    }
  }

  #member(ast: Extract<Ast, { kind: 'member' }>): Run {
    const path = this.field(ast);
    if (path !== undefined) return this.#read(path, ast);
    const { key } = ast;
    if (ast.base.kind === 'name' && ast.base.name === 'meta' && !this.#locals.includes('meta') && !META.has(key)) {
      throw new ExpressionError(
        `meta has no "${key}", it has ${[...META].join(', ')}${didYouMean(key, META)}`,
        this.text,
        ast.at,
      );
    }
    const base = this.compile(ast.base);
    const label = this.label(ast.base);
    return () => memberOf(base(), key, label);
  }

  #index(ast: Extract<Ast, { kind: 'index' }>): Run {
    const base = this.compile(ast.base);
    const index = this.compile(ast.index);
    const label = this.label(ast.base);
    // As the expression writes it: what comes out of a record is the record's own, and not for messages.
    const place = ast.index.kind === 'literal' ? JSON.stringify(ast.index.value) : this.label(ast.index);
    const part = this.#partOfSplit(ast);
    return () => {
      const only = part?.();
      if (only !== undefined) return only;
      const value = base();
      const at = index();
      if (isObject(value) && typeof at === 'string') return memberOf(value, at, label, place);
      if (isList(value) && typeof at === 'number' && Number.isInteger(at)) {
        const item = value[at];
        if (item !== undefined) return item;
        throw new MissingError(`${label} has ${value.length} elements, there is no element ${place}`);
      }
      throw new RecordError(
        `${label} is ${typeName(value)}, [...] with ${typeName(at)} does not apply: a list has whole numbers, an object texts`,
      );
    };
  }

  /** `split(text, separator)[2]` needs no list. */
  #partOfSplit({ base, index }: Extract<Ast, { kind: 'index' }>): (() => string | undefined) | undefined {
    if (base.kind !== 'call' || base.name !== 'split') return undefined;
    const [text, separator, ...rest] = base.receiver === undefined ? base.args : [base.receiver, ...base.args];
    if (text === undefined || separator === undefined || rest.length > 0) return undefined;
    const at = index.kind === 'literal' ? index.value : undefined;
    if (typeof at !== 'number' || !Number.isInteger(at)) return undefined;
    const call = this.#callOf(base, [text, separator]);
    const [a, b] = [this.compile(text), this.compile(separator)];
    return () => partOfSplit(call, a(), b(), at);
  }

  #map(ast: Extract<Ast, { kind: 'map' }>): Run {
    const entries = ast.entries.map(([key, value]) => {
      if (key.kind === 'literal' && typeof key.value !== 'string') {
        throw new ExpressionError('the key of an object is a text', this.text, key.at);
      }
      return [this.compile(key), this.compile(value), this.label(key)] as const;
    });
    const names = ast.entries.flatMap(([key]) => (key.kind === 'literal' ? [key.value] : []));
    if (new Set(names).size < names.length)
      throw new ExpressionError('the object names a key twice', this.text, ast.at);
    return () => {
      const made = new Map<string, Value>();
      for (const [runKey, runValue, label] of entries) {
        const key = runKey();
        if (typeof key !== 'string')
          throw new RecordError(`${label} is ${typeName(key)}, the key of an object is a text`);
        if (made.has(key)) throw new RecordError(`the object has the key ${label} twice`);
        made.set(key, runValue());
      }
      return made;
    };
  }

  /** && is decided by one false, || by one true, on either side; an error counts only where nothing decides. */
  #logic(ast: Extract<Ast, { kind: 'logic' }>): Run {
    const items = ast.items.map((item) => ({ run: this.compile(item), label: this.label(item) }));
    const decisive = ast.op === '||';
    return () => {
      let failure: unknown;
      for (const { run, label } of items) {
        try {
          const value = run();
          if (value === decisive) return decisive;
          if (typeof value !== 'boolean')
            throw new RecordError(`${label} is ${typeName(value)}, "${ast.op}" needs true or false on both sides`);
        } catch (error) {
          if (!isAbsorbable(error)) throw error;
          failure ??= error;
        }
      }
      if (failure !== undefined) throw failure;
      return !decisive;
    };
  }

  #call(ast: Extract<Ast, { kind: 'call' }>): Run {
    const { name, receiver } = ast;
    const macro = MACROS.get(name);
    if (macro !== undefined) return macro(ast, this);
    const definition = FUNCTIONS.get(name);
    if (definition === undefined) {
      const known = [...FUNCTIONS.keys(), ...MACROS.keys()];
      throw new ExpressionError(`there is no function ${name}()${didYouMean(name, known)}`, this.text, ast.nameAt);
    }
    const { min, max, form } = definition;
    const args = receiver === undefined ? ast.args : [receiver, ...ast.args];
    if (form === 'call' && receiver !== undefined)
      throw new ExpressionError(`${name}() is called as ${name}(x), not as x.${name}()`, this.text, ast.nameAt);
    if (form === 'method' && receiver === undefined)
      throw new ExpressionError(`${name}() is called as x.${name}()`, this.text, ast.nameAt);
    if (args.length < min || args.length > max) {
      const own = receiver === undefined ? 0 : 1;
      const count = min === max ? `${min - own}` : `${min - own} to ${max - own}`;
      throw new ExpressionError(
        `${name}() takes ${count} argument${count === '1' ? '' : 's'}, not ${ast.args.length}`,
        this.text,
        ast.nameAt,
      );
    }
    this.#checkPattern(ast, args[1]);
    return this.#function(ast, args);
  }

  #function(ast: Extract<Ast, { kind: 'call' }>, args: Ast[]): Run {
    const { frame } = this;
    const run = FUNCTIONS.get(ast.name)?.run;
    if (run === undefined) throw new Error(`no function ${ast.name}`);
    const call = this.#callOf(ast, args);
    const [a = () => null, b, c] = args.map((arg) => this.compile(arg));
    if (args.length > 0 && args.every((arg) => arg.kind === 'literal'))
      return this.#constant(ast, () => run(call, a(), b?.(), c?.()));
    const path = ast.name === 'decimal' && args[0] !== undefined ? this.field(args[0]) : undefined;
    // The digits of the source, beyond what a double holds.
    if (path !== undefined) return () => run(call, frame.scope.record.numberText?.(path) ?? a(), undefined, undefined);
    if (b === undefined) return () => run(call, a(), undefined, undefined);
    if (c === undefined) return () => run(call, a(), b(), undefined);
    return () => run(call, a(), b(), c());
  }

  #callOf({ name }: Extract<Ast, { kind: 'call' }>, args: Ast[]): Call {
    const { frame } = this;
    return {
      name,
      labels: args.map((arg) => this.label(arg)),
      budget: frame.budget,
      now: () => frame.scope.now,
    };
  }

  /** A call with constants only has one result, or is wrong for every record. */
  #constant(ast: Ast, run: Run): Run {
    try {
      const value = run();
      return () => value;
    } catch (error) {
      if (error instanceof RecordError) throw new ExpressionError(error.message, this.text, ast.at);
      throw error;
    }
  }

  #checkPattern(ast: Extract<Ast, { kind: 'call' }>, argument: Ast | undefined): void {
    if (ast.name !== 'matches' || argument?.kind !== 'literal' || typeof argument.value !== 'string') return;
    try {
      pattern(argument.value);
    } catch (error) {
      if (error instanceof PatternError)
        throw new ExpressionError(`the pattern of matches(): ${error.message}`, this.text, argument.at);
      throw error;
    }
  }
}

/** `shown`: the key as the expression writes it; what a record says it is is its content. */
function memberOf(value: Value, key: string, label: string, shown = JSON.stringify(key)): Value {
  if (!isObject(value)) throw new RecordError(`${label} is ${typeName(value)}, it has no field ${shown}`);
  const member = value.get(key);
  if (member === undefined)
    throw new MissingError(`${label} has no ${shown}; guard it with has(...) or default(..., ...)`);
  return member;
}
