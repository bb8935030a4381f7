/**
 * The grammar of CEL, by recursive descent. Our own, because the libraries at hand cost more start-up than all else together
 * (13 to 120 ms), overflow the stack on hostile text, or refuse names such as `__proto__`, which are plain fields here.
 * Depth is bounded while parsing and in the tree, so that nothing that walks a tree or runs it can overflow.
 */
import { ExpressionError } from './errors.ts';
import { type Token, tokenize } from './tokens.ts';

export type BinaryOperator = '==' | '!=' | '<' | '<=' | '>' | '>=' | 'in' | '+' | '-' | '*' | '/' | '%';

interface Place {
  at: number;
  end: number;
  /** Height of the tree below, to bound it. */
  height: number;
}

export type Ast = Place &
  (
    | { kind: 'literal'; value: null | boolean | string | number | bigint }
    | { kind: 'name'; name: string }
    | { kind: 'member'; base: Ast; key: string }
    | { kind: 'index'; base: Ast; index: Ast }
    | { kind: 'call'; name: string; nameAt: number; receiver: Ast | undefined; args: Ast[] }
    | { kind: 'list'; items: Ast[] }
    | { kind: 'map'; entries: [Ast, Ast][] }
    | { kind: 'unary'; op: '!' | '-'; operand: Ast }
    | { kind: 'binary'; op: BinaryOperator; left: Ast; right: Ast }
    | { kind: 'logic'; op: '&&' | '||'; items: Ast[] }
    | { kind: 'choice'; condition: Ast; yes: Ast; no: Ast }
  );

/** How deep brackets, signs and choices may nest. */
const MAX_NESTING = 100;
/** How high a tree may be: `a + b + c ...` is a tree as high as it is long. */
const MAX_HEIGHT = 250;

const RESERVED: ReadonlySet<string> = new Set(
  'as break const continue else false for function if import in let loop namespace null package return true var void while'.split(
    ' ',
  ),
);
const NOT_SELECTORS: ReadonlySet<string> = new Set(['in', 'true', 'false', 'null']);
const RELATIONS: ReadonlySet<string> = new Set(['==', '!=', '<', '<=', '>', '>=', 'in']);

export function isReserved(name: string): boolean {
  return RESERVED.has(name);
}

/** Throws ExpressionError. */
export function parse(text: string): Ast {
  const tokens = tokenize(text);
  let position = 0;
  let nesting = 0;

  const peek = (): Token => tokens[position] ?? { kind: 'end', text: '', at: text.length, end: text.length };
  const next = (): Token => {
    const token = peek();
    position++;
    return token;
  };
  const isOperator = (token: Token, op: string): boolean => token.kind === 'operator' && token.text === op;
  const accept = (op: string): boolean => {
    if (!isOperator(peek(), op)) return false;
    position++;
    return true;
  };
  const unexpected = (token: Token, wanted: string): ExpressionError =>
    new ExpressionError(
      `${token.kind === 'end' ? 'the expression ends too early' : `${show(token)} is not expected here`}: ${wanted}`,
      text,
      token.at,
    );
  const expect = (op: string, wanted: string): Token => {
    const token = next();
    if (!isOperator(token, op)) throw unexpected(token, wanted);
    return token;
  };
  const deeper = <T>(at: number, body: () => T): T => {
    if (++nesting > MAX_NESTING)
      throw new ExpressionError(`the expression nests deeper than ${MAX_NESTING} levels`, text, at);
    const result = body();
    nesting--;
    return result;
  };
  const heightOver = (at: number, ...children: Ast[]): number => {
    let height = 1;
    for (const child of children) height = Math.max(height, child.height + 1);
    if (height > MAX_HEIGHT)
      throw new ExpressionError(`the expression chains more than ${MAX_HEIGHT} operators; split it`, text, at);
    return height;
  };

  function expression(): Ast {
    const condition = logic('||', () => logic('&&', relation));
    if (!accept('?')) return condition;
    return deeper(condition.at, () => {
      const yes = logic('||', () => logic('&&', relation));
      expect(':', 'a choice is "condition ? yes : no"');
      const no = expression();
      return {
        kind: 'choice',
        condition,
        yes,
        no,
        at: condition.at,
        end: no.end,
        height: heightOver(condition.at, condition, yes, no),
      };
    });
  }

  function logic(op: '&&' | '||', operand: () => Ast): Ast {
    const first = operand();
    if (!isOperator(peek(), op)) return first;
    const items = [first];
    while (accept(op)) items.push(operand());
    return {
      kind: 'logic',
      op,
      items,
      at: first.at,
      end: items.at(-1)?.end ?? first.end,
      height: heightOver(first.at, ...items),
    };
  }

  function binary(left: Ast, op: BinaryOperator, right: Ast): Ast {
    return { kind: 'binary', op, left, right, at: left.at, end: right.end, height: heightOver(left.at, left, right) };
  }

  function relation(): Ast {
    let left = sum();
    for (;;) {
      const token = peek();
      if (!RELATIONS.has(token.text) || (token.kind !== 'operator' && token.kind !== 'name')) return left;
      position++;
      left = binary(left, token.text as BinaryOperator, sum());
    }
  }

  function sum(): Ast {
    let left = product();
    for (;;) {
      const token = peek();
      if (!isOperator(token, '+') && !isOperator(token, '-')) return left;
      position++;
      left = binary(left, token.text === '+' ? '+' : '-', product());
    }
  }

  function product(): Ast {
    let left = unary();
    for (;;) {
      const token = peek();
      if (!isOperator(token, '*') && !isOperator(token, '/') && !isOperator(token, '%')) return left;
      position++;
      left = binary(left, token.text === '*' ? '*' : token.text === '/' ? '/' : '%', unary());
    }
  }

  function unary(): Ast {
    const token = peek();
    if (!isOperator(token, '!') && !isOperator(token, '-')) return postfix();
    position++;
    const number = peek();
    if (token.text === '-' && number.kind === 'number' && number.value !== undefined) {
      // The sign belongs to the number: -9007199254740993 is exact.
      number.value = -number.value;
      const operand = postfix();
      return { ...operand, at: token.at };
    }
    return deeper(token.at, () => {
      const operand = unary();
      return {
        kind: 'unary',
        op: token.text === '!' ? '!' : '-',
        operand,
        at: token.at,
        end: operand.end,
        height: heightOver(token.at, operand),
      };
    });
  }

  function postfix(): Ast {
    let base = primary();
    for (;;) {
      if (accept('.')) {
        const name = next();
        const selects = name.kind === 'quoted-name' || (name.kind === 'name' && !NOT_SELECTORS.has(name.text));
        if (!selects)
          throw unexpected(
            name,
            name.kind === 'name' ? `a field of this name is ["${name.text}"]` : 'a field name follows a dot',
          );
        if (name.kind === 'name' && isOperator(peek(), '(')) {
          base = call(name, base);
        } else {
          base = {
            kind: 'member',
            base,
            key: name.text,
            at: base.at,
            end: name.end,
            height: heightOver(base.at, base),
          };
        }
      } else if (isOperator(peek(), '[')) {
        const open = next();
        const index = deeper(open.at, expression);
        const close = expect(']', 'an index ends with "]"');
        const place = { at: base.at, end: close.end, height: heightOver(base.at, base, index) };
        base =
          index.kind === 'literal' && typeof index.value === 'string'
            ? { kind: 'member', base, key: index.value, ...place }
            : { kind: 'index', base, index, ...place };
      } else {
        return base;
      }
    }
  }

  function call(name: Token, receiver: Ast | undefined): Ast {
    const open = next();
    const args: Ast[] = [];
    deeper(open.at, () => {
      if (isOperator(peek(), ')')) return;
      do args.push(expression());
      while (accept(','));
    });
    const close = expect(')', 'arguments end with ")"');
    const at = receiver?.at ?? name.at;
    const height = heightOver(at, ...args, ...(receiver === undefined ? [] : [receiver]));
    return { kind: 'call', name: name.text, nameAt: name.at, receiver, args, at, end: close.end, height };
  }

  function primary(): Ast {
    const token = next();
    const place = { at: token.at, end: token.end, height: 1 };
    if (token.kind === 'number' && token.value !== undefined) return { kind: 'literal', value: token.value, ...place };
    if (token.kind === 'string') return { kind: 'literal', value: token.text, ...place };
    if (token.kind === 'name') {
      if (token.text === 'true' || token.text === 'false')
        return { kind: 'literal', value: token.text === 'true', ...place };
      if (token.text === 'null') return { kind: 'literal', value: null, ...place };
      if (isReserved(token.text))
        throw unexpected(token, `it is a reserved word; a field of this name is record["${token.text}"]`);
      return isOperator(peek(), '(') ? call(token, undefined) : { kind: 'name', name: token.text, ...place };
    }
    if (isOperator(token, '(')) {
      const inner = deeper(token.at, expression);
      expect(')', 'the bracket "(" has no ")"');
      return inner;
    }
    if (isOperator(token, '[')) return deeper(token.at, () => list(token));
    if (isOperator(token, '{')) return deeper(token.at, () => map(token));
    throw unexpected(token, 'a value is missing');
  }

  function list(open: Token): Ast {
    const items: Ast[] = [];
    while (!isOperator(peek(), ']')) {
      items.push(expression());
      if (!accept(',')) break;
    }
    const close = expect(']', 'a list ends with "]"');
    return { kind: 'list', items, at: open.at, end: close.end, height: heightOver(open.at, ...items) };
  }

  function map(open: Token): Ast {
    const entries: [Ast, Ast][] = [];
    while (!isOperator(peek(), '}')) {
      const key = expression();
      expect(':', 'an entry of an object is "key": value');
      entries.push([key, expression()]);
      if (!accept(',')) break;
    }
    const close = expect('}', 'an object ends with "}"');
    return { kind: 'map', entries, at: open.at, end: close.end, height: heightOver(open.at, ...entries.flat()) };
  }

  const root = expression();
  const rest = peek();
  if (rest.kind !== 'end') throw unexpected(rest, 'the expression is complete before it');
  return root;
}

function show(token: Token): string {
  return token.kind === 'string' ? 'a string' : `"${token.text}"`;
}
