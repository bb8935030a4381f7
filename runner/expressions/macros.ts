/**
 * What is called like a function but sees its arguments unevaluated: CEL's has, all, exists, exists_one, map and filter, and
 * the format's default. A macro over an object runs over its keys.
 */
import { RecordError } from '../engine/contracts.ts';
import { BudgetError, ExpressionError, MissingError } from './errors.ts';
import type { Compiling, Frame, Run } from './frame.ts';
import { isList, isObject, typeName } from './operators.ts';
import { type Ast, isReserved } from './parse.ts';
import type { Value } from './values.ts';

type CallAst = Extract<Ast, { kind: 'call' }>;
type Macro = (call: CallAst, compiling: Compiling) => Run;

/** Names that always mean something else than a field. */
export const TAKEN: ReadonlySet<string> = new Set(['record', 'meta', 'env', 'params', 'steps']);

/** True for errors that `&&`, `||`, `all` and `exists` may absorb: those of the record, but not of its budget. */
export function isAbsorbable(error: unknown): boolean {
  return error instanceof RecordError && !(error instanceof BudgetError);
}

function has(call: CallAst, compiling: Compiling): Run {
  const [target] = call.args;
  const wrong = new ExpressionError('has() takes one field: has(note), has(user.country)', compiling.text, call.nameAt);
  if (target === undefined || call.args.length !== 1 || call.receiver !== undefined) throw wrong;
  const { frame } = compiling;
  const path = target.kind === 'name' || target.kind === 'member' ? compiling.field(target) : undefined;
  if (path !== undefined && path.length > 0) return () => frame.scope.record.has(path);
  if (target.kind !== 'member') throw wrong;
  const base = compiling.compile(target.base);
  const { key } = target;
  return () => {
    const value = orMissing(base);
    return value !== undefined && isObject(value) && value.has(key);
  };
}

/** default(x, y): y where x is null or something in it is not there. */
function fallback(call: CallAst, compiling: Compiling): Run {
  const args = call.receiver === undefined ? call.args : [call.receiver, ...call.args];
  const [target, other] = args;
  if (target === undefined || other === undefined || args.length !== 2) {
    throw new ExpressionError(
      `default() takes 2 arguments, a value and what stands in for it, not ${args.length}`,
      compiling.text,
      call.nameAt,
    );
  }
  const { frame } = compiling;
  const path = compiling.field(target);
  const otherwise = compiling.compile(other);
  if (path !== undefined) return () => frame.scope.record.get(path) ?? otherwise();
  const value = compiling.compile(target);
  return () => orMissing(value) ?? otherwise();
}

/** The value, or undefined where something in it is missing. */
function orMissing(run: Run): Value | undefined {
  try {
    return run();
  } catch (error) {
    if (error instanceof MissingError) return undefined;
    throw error;
  }
}

interface Loop {
  frame: Frame;
  slot: number;
  items: () => readonly Value[];
  /** The condition, or the transformation; of `map` with three arguments both, in this order. */
  bodies: Run[];
  /** For messages. */
  labels: string[];
}

function loop(name: string, counts: readonly number[], build: (loop: Loop) => Run): Macro {
  return (call, compiling) => {
    const { receiver, args } = call;
    const [variable, ...bodies] = args;
    const { frame, text } = compiling;
    const usage = `list.${name}(x, ${name === 'map' ? 'value' : 'condition'})`;
    if (receiver === undefined || variable === undefined || !counts.includes(args.length)) {
      throw new ExpressionError(`${name}() is called as ${usage}`, text, call.nameAt);
    }
    if (variable.kind !== 'name' || TAKEN.has(variable.name) || isReserved(variable.name)) {
      throw new ExpressionError(
        `${compiling.label(variable)} can't name the element; it is called as ${usage}`,
        text,
        variable.at,
      );
    }
    const range = compiling.compile(receiver);
    const label = compiling.label(receiver);
    const items = (): readonly Value[] => {
      const value = range();
      const list = isList(value) ? value : isObject(value) ? [...value.keys()] : undefined;
      if (list === undefined)
        throw new RecordError(`${label} is ${typeName(value)}, ${name}() needs a list or an object`);
      frame.budget.charge(list.length);
      return list;
    };
    return compiling.withLocal(variable.name, (slot) =>
      build({
        frame,
        slot,
        items,
        bodies: bodies.map((body) => compiling.compile(body)),
        labels: bodies.map((body) => compiling.label(body)),
      }),
    );
  };
}

function condition(loop: Loop, element: Value): boolean {
  loop.frame.locals[loop.slot] = element;
  const value = loop.bodies[0]?.() ?? null;
  if (typeof value !== 'boolean')
    throw new RecordError(`${loop.labels[0]} is ${typeName(value)}, a condition is true or false`);
  return value;
}

/** `all` is decided by one false, `exists` by one true; an error counts only where nothing decides. */
function decided(by: boolean): (loop: Loop) => Run {
  return (loop) => () => {
    let failure: unknown;
    for (const element of loop.items()) {
      try {
        if (condition(loop, element) === by) return by;
      } catch (error) {
        if (!isAbsorbable(error)) throw error;
        failure ??= error;
      }
    }
    if (failure !== undefined) throw failure;
    return !by;
  };
}

function map(loop: Loop): Run {
  const filtered = loop.bodies.length === 2;
  const transform = loop.bodies[filtered ? 1 : 0];
  if (transform === undefined) throw new Error('map() without a body');
  return () => {
    const made: Value[] = [];
    for (const element of loop.items()) {
      loop.frame.locals[loop.slot] = element;
      if (!filtered || condition(loop, element)) made.push(transform());
    }
    return made;
  };
}

export const MACROS: ReadonlyMap<string, Macro> = new Map<string, Macro>([
  ['has', has],
  ['default', fallback],
  ['all', loop('all', [2], decided(false))],
  ['exists', loop('exists', [2], decided(true))],
  [
    'exists_one',
    loop('exists_one', [2], (loop) => () => loop.items().filter((element) => condition(loop, element)).length === 1),
  ],
  ['filter', loop('filter', [2], (loop) => () => loop.items().filter((element) => condition(loop, element)))],
  ['map', loop('map', [2, 3], map)],
]);
