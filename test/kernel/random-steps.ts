/** Random records of every form that a token can have, and random steps over their fields. */
import { RandomJson } from './random-json.ts';

/** How a value can stand in a record; `undefined`: not at all. */
const TOKENS: Readonly<Record<string, readonly string[] | undefined>> = {
  'plain text': ['""', '"a"', '"order"', '"DE"', '"a rather long text, longer than sixteen bytes"', '"12.5"'],
  'text with usual escapes': ['"a\\nb"', '"say \\"hi\\""', '"C:\\\\tmp\\\\n"', '"\\t"'],
  'text in other escapes': ['"\\u0041"', '"a\\/b"', '"\\u00e9"', '"\\ud83d\\ude00"', '"\\u001f"'],
  'text beyond ASCII': ['"é"', '"漢字"', '"😀 ok"', '"\u2028"', '"\u007f"', '"ﬂ"'],
  'whole number': ['0', '1', '7', '42', '-3', '999999999999999', '100'],
  'number with decimals': ['0.5', '1.25', '-12.75', '1.005', '0.1', '119.995', '2.50', '0.000001'],
  'long number': [
    '37.774929999999998',
    '1234567890123456',
    '9007199254740991',
    '0.30000000000000004',
    '123456.78901234567',
  ],
  'number in other form': ['1e3', '1E-7', '-0', '2.5e+10', '-0.0', '1e21', '0e0'],
  'number beyond a double': ['12345678901234567890', '-9007199254740993', '1e400', '9007199254740992'],
  boolean: ['true', 'false'],
  null: ['null'],
  object: ['{}', '{"id":1}', '{"id":"x","country":"PT","a":{"b":[1]}}', '{"id" : 2 , "id" : 3}'],
  list: ['[]', '[1,2,3]', '["a",{"id":5}]', '[ [ ] , null ]'],
  absent: undefined,
};

export const FORMS = Object.keys(TOKENS);

const NUMBERS = ['whole number', 'number with decimals', 'long number', 'number in other form'];
const TEXTS = ['plain text', 'plain text', 'text with usual escapes', 'text beyond ASCII'];
const USUAL: Readonly<Record<string, readonly string[]>> = {
  a: NUMBERS,
  id: NUMBERS,
  'x y': NUMBERS,
  b: TEXTS,
  country: TEXTS,
  é: TEXTS,
  c: ['boolean'],
};

/** Fields that steps speak of. */
const FIELDS = ['a', 'b', 'c', 'user.id', 'user.country', 'user', 'list[0]', 'list[1].id', 'x y', 'é'];
const TARGETS = ['a', 'b', 'c', 'd', 'user.id', 'user.country', 'user.new', 'x y', 'other', 'other.deep'];

export class RandomSteps extends RandomJson {
  /** A token of that form; undefined: none. */
  token(form: string): string | undefined {
    const known = TOKENS[form];
    return known === undefined ? undefined : this.pick(known);
  }

  anyToken(): string | undefined {
    return this.token(this.pick(FORMS));
  }

  /** What usually stands in a field, and sometimes anything. */
  #usual(key: string): string | undefined {
    const forms = USUAL[key];
    if (forms === undefined || this.below(12) === 0) return this.anyToken();
    return this.token(this.pick(forms));
  }

  /** One line: members in any order, some twice, some with white space around. */
  record(): string {
    const spaced = this.below(3) === 0;
    const space = (): string => (spaced ? this.pick(['', ' ', '  ', '\t', ' \r ']) : '');
    const member = (key: string, value: string | undefined): string[] =>
      value === undefined ? [] : [`${space()}"${this.#written(key)}"${space()}:${space()}${value}${space()}`];
    const user = (): string => {
      const inner = this.#shuffled(['id', 'country', 'name', 'new'].flatMap((key) => member(key, this.#usual(key))));
      return this.below(12) === 0 ? (this.anyToken() ?? '1') : `{${inner.join(',')}}`;
    };
    const members = ['a', 'b', 'c', 'd', 'x y', 'é', 'note', 'long key of an untouched field'].flatMap((key) =>
      member(key, this.#usual(key)),
    );
    if (this.below(12) > 0) members.push(...member('user', user()));
    if (this.below(3) > 0)
      members.push(...member('list', `[${space()}${this.anyToken() ?? '1'},{"id":${this.anyToken() ?? 'null'}}]`));
    if (this.below(4) === 0) members.push(...member('other', this.anyToken()));
    if (this.below(12) === 0) members.push(...member(this.pick(['a', 'b', 'user', 'note']), this.anyToken()));
    if (this.below(40) === 0) return this.anyToken() ?? ' ';
    return `${space()}{${this.#shuffled(members).join(',') || space()}}${space()}`;
  }

  #written(key: string): string {
    if (this.below(8) > 0) return key;
    return Array.from(key, (c) =>
      this.below(2) === 0 ? `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}` : c,
    ).join('');
  }

  #shuffled(items: string[]): string[] {
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [items[i], items[j]] = [items[j] as string, items[i] as string];
    }
    return items;
  }

  /** Mostly one that holds what is asked for. */
  #field(...usual: string[]): string {
    const field = this.pick(this.below(8) === 0 ? FIELDS : usual);
    if (field === 'x y') return 'record["x y"]';
    return field === 'é' ? 'record["é"]' : field;
  }

  #name(): string {
    return this.pick(['a', 'b', 'c', 'user.id', 'user.country', 'user.nobody', 'absent']);
  }

  number(depth: number): string {
    if (depth <= 0)
      return this.below(2) === 0
        ? this.#field('a', 'user.id', 'x y')
        : this.pick(['1', '2', '100', '0.5', '119', '1e3', '0']);
    const x = (): string => this.number(depth - 1);
    switch (this.below(8)) {
      case 0:
        return `round(${x()})`;
      case 1:
        return `round(${x()}, ${this.below(4)})`;
      case 2:
        return `${this.pick(['floor', 'ceil', 'abs', 'int'])}(${x()})`;
      case 3:
        return `-(${x()})`;
      case 4:
        return `default(${this.#name()}, ${x()})`;
      case 5:
        return `size(${this.text(depth - 1)})`;
      default:
        return `(${x()} ${this.pick(['+', '-', '*', '/', '%'])} ${x()})`;
    }
  }

  text(depth: number): string {
    if (depth <= 0)
      return this.below(2) === 0
        ? this.#field('b', 'user.country', 'é')
        : this.pick(['""', '"a"', '"order"', '":"', '"é\\n"', '"\\u0001"', '"\\\\"']);
    switch (this.below(5)) {
      case 4:
        return this.pick([
          `lower(${this.text(depth - 1)})`,
          `upper(${this.text(depth - 1)})`,
          `split(${this.text(depth - 1)}, "o")[0]`,
        ]);
      case 0:
        return `string(${this.below(2) === 0 ? this.number(depth - 1) : this.truth(depth - 1)})`;
      case 1:
        return `default(${this.#name()}, ${this.text(depth - 1)})`;
      default:
        return `${this.text(depth - 1)} + ${this.text(depth - 1)}`;
    }
  }

  truth(depth: number): string {
    if (depth <= 0) return this.below(3) === 0 ? this.#field('c') : `has(${this.#name()})`;
    switch (this.below(9)) {
      case 8:
        return `matches(${this.text(depth - 1)}, ${this.pick(['"^[a-z]+$"', '"o"', '"é.*"'])})`;
      case 0:
        return `${this.text(depth - 1)}.${this.pick(['contains', 'startsWith', 'endsWith'])}(${this.text(depth - 1)})`;
      case 1:
        return `!(${this.truth(depth - 1)})`;
      case 2:
        return `(${this.truth(depth - 1)} ${this.pick(['&&', '||'])} ${this.truth(depth - 1)})`;
      case 3:
        return `${this.any(depth - 1)} in [1, "a", true, null, 12.5, "é"]`;
      case 4:
        return `(${this.any(depth - 1)} ${this.pick(['==', '!='])} ${this.any(depth - 1)})`;
      case 5:
        return `(${this.any(depth - 1)} ${this.pick(['==', '!='])} ${this.pick(['1', '"a"', 'true', 'null', '12.5'])})`;
      default: {
        const side = this.below(2) === 0 ? (): string => this.number(depth - 1) : (): string => this.text(depth - 1);
        return `(${side()} ${this.pick(['<', '<=', '>', '>='])} ${side()})`;
      }
    }
  }

  any(depth: number): string {
    switch (this.below(depth > 0 ? 4 : 3)) {
      case 0:
        return this.number(depth);
      case 1:
        return this.text(depth);
      case 2:
        return this.truth(depth);
      default:
        return `(${this.truth(depth - 1)} ? ${this.any(depth - 1)} : ${this.any(depth - 1)})`;
    }
  }

  /** Configs of steps, one behind the other. */
  steps(): { oxi: 'filter' | 'map'; config: Record<string, unknown> }[] {
    return Array.from({ length: 1 + this.below(3) }, () => {
      if (this.below(3) === 0) return { oxi: 'filter' as const, config: { where: this.truth(2) } };
      const config: Record<string, unknown> = {};
      const some = (): string[] => this.#shuffled([...TARGETS]).slice(0, 1 + this.below(3));
      if (this.below(2) === 0) config.set = new Map(some().map((field) => [field, this.any(this.below(3))]));
      if (this.below(2) === 0) config.rename = new Map(some().map((field) => [field, this.#sibling(field)]));
      if (this.below(4) === 0)
        config.cast = new Map(some().map((field) => [field, this.pick(['int', 'float', 'string', 'bool'])]));
      if (this.below(6) === 0) config.select = some().concat(some());
      if (this.below(3) === 0 || Object.keys(config).length === 0) config.drop = some();
      return { oxi: 'map' as const, config };
    });
  }

  #sibling(field: string): string {
    const parts = field.split('.');
    parts[parts.length - 1] = this.pick(['a', 'b', 'renamed', 'id', 'country']);
    return parts.join('.');
  }
}
