/** What an expression is to the byte kernel: the part of the language that needs no values of its own. */
import { CHANGES, type Change, type Form, type FormPath, PAIRS, type Pair } from '../kernel/bytes/forms.ts';
import { LONGEST_TEXT } from '../kernel/bytes/layout.ts';
import { TAKEN } from './macros.ts';
import { type Ast, parse } from './parse.ts';

/** Why an expression has no form, as a clause. */
export class NoForm extends Error {}

type Constant = null | boolean | number | string;

/** Functions of one argument that are operations on one value. */
const ONE: ReadonlySet<string> = new Set(['round', 'floor', 'ceil', 'abs', 'int', 'string', 'size']);
const TWO: ReadonlySet<string> = new Set(['contains', 'startsWith', 'endsWith']);

/** The form of an expression that compiles. Throws NoForm. */
export function byteForm(text: string): Form {
  return formOf(parse(text));
}

function formOf(ast: Ast): Form {
  switch (ast.kind) {
    case 'literal':
      return { is: 'constant', value: constant(ast.value) };
    case 'member': {
      const { base, key } = ast;
      if (base.kind === 'name' && (base.name === 'params' || base.name === 'env'))
        return { is: 'given', as: base.name, name: key };
      return { is: 'field', path: value(ast) };
    }
    case 'name':
    case 'index':
      return { is: 'field', path: value(ast) };
    case 'call':
      return call(ast);
    case 'unary':
      return change(ast.op, ast.operand);
    case 'binary':
      return ast.op === 'in' ? membership(ast.left, ast.right) : pair(ast.op, ast.left, ast.right);
    case 'logic':
      return { is: 'logic', op: ast.op, items: ast.items.map(formOf) };
    case 'choice':
      return { is: 'choice', condition: formOf(ast.condition), yes: formOf(ast.yes), no: formOf(ast.no) };
    case 'list':
      throw new NoForm('it makes a list');
    case 'map':
      throw new NoForm('it makes an object');
  }
}

function constant(value: Constant | bigint): Constant {
  if (typeof value === 'bigint') throw new NoForm('it has a whole number beyond 2^53');
  if (typeof value === 'string' && (value.length > LONGEST_TEXT || !value.isWellFormed()))
    throw new NoForm('it has a text that is too long, or no Unicode');
  return value;
}

/** Names of fields, then places in lists among them. */
function path(ast: Ast): FormPath {
  if (ast.kind === 'name') {
    if (ast.name === 'record') return [];
    if (TAKEN.has(ast.name)) throw new NoForm(`it reads ${ast.name}`);
    return [ast.name];
  }
  if (ast.kind === 'member') return [...path(ast.base), ast.key];
  const at = ast.kind === 'index' && ast.index.kind === 'literal' ? ast.index.value : undefined;
  if (ast.kind === 'index' && typeof at === 'number' && Number.isInteger(at) && at >= 0 && at < 1000)
    return [...path(ast.base), at];
  throw new NoForm('it looks into a value that is no field');
}

function value(ast: Ast): FormPath {
  const parts = path(ast);
  if (typeof parts[0] !== 'string') throw new NoForm('it looks at the record as a whole');
  return parts;
}

/** A field by its names only; the record itself is none. */
function field(ast: Ast): FormPath {
  const names = path(ast);
  if (names.length === 0 || names.some((part) => typeof part === 'number'))
    throw new NoForm('has() and default() look into a list, or at the record as a whole');
  return names;
}

function pair(op: Pair, left: Ast, right: Ast): Form {
  return { is: 'pair', op, left: formOf(left), right: formOf(right) };
}

function change(op: Change, of: Ast): Form {
  return { is: 'change', op, of: formOf(of) };
}

function membership(left: Ast, right: Ast): Form {
  if (right.kind !== 'list') throw new NoForm('"in" has no list of constants behind it');
  const items = right.items.map((item) => {
    if (item.kind !== 'literal') throw new NoForm('"in" has no list of constants behind it');
    return constant(item.value);
  });
  return { is: 'in', of: formOf(left), items };
}

function call({ name, receiver, args: given }: Extract<Ast, { kind: 'call' }>): Form {
  const args = receiver === undefined ? given : [receiver, ...given];
  const [a, b] = args;
  if (a !== undefined && b === undefined) {
    if (name === 'has') return { is: 'has', path: field(a) };
    const op = CHANGES.find((one) => one === name);
    if (op !== undefined && ONE.has(name)) return change(op, a);
  }
  if (a !== undefined && b !== undefined && args.length === 2) {
    if (name === 'default') return { is: 'default', path: field(a), other: formOf(b) };
    const op = PAIRS.find((one) => one === name);
    if (op !== undefined && TWO.has(name)) return pair(op, a, b);
    if (name === 'round' && b.kind === 'literal' && typeof b.value === 'number' && isPlaces(b.value))
      return { is: 'round', of: formOf(a), places: b.value };
  }
  throw new NoForm(`the kernel has no ${name}()`);
}

function isPlaces(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= 100;
}
