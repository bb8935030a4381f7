/** Writes the operations of a program. */
import { MAX_VALUES } from '../wasm/memory.ts';
import * as OPS from '../wasm/operations.ts';
import type { Cast, Change, Form, FormPath, Pair } from './forms.ts';
import type { Image } from './image.ts';
import { LONGEST_TEXT } from './layout.ts';
import { Unfit } from './unfit.ts';
import type { World } from './world.ts';

const PAIR_OPS: Readonly<Record<Pair, number>> = {
  '==': OPS.EQUAL,
  '!=': OPS.UNEQUAL,
  '<': OPS.BELOW,
  '<=': OPS.AT_MOST,
  '>': OPS.ABOVE,
  '>=': OPS.AT_LEAST,
  '+': OPS.PLUS,
  '-': OPS.MINUS,
  '*': OPS.TIMES,
  '/': OPS.OVER,
  '%': OPS.REST,
  contains: OPS.CONTAINS,
  startsWith: OPS.STARTS_WITH,
  endsWith: OPS.ENDS_WITH,
};
const CHANGE_OPS: Readonly<Record<Change, number>> = {
  '-': OPS.NEGATE,
  '!': OPS.NOT,
  round: OPS.ROUND,
  floor: OPS.FLOOR,
  ceil: OPS.CEIL,
  abs: OPS.ABSOLUTE,
  int: OPS.TRUNCATE,
  string: OPS.STRING,
  size: OPS.SIZE,
};
const CAST_OPS: Readonly<Record<Cast, number>> = {
  int: OPS.TO_INT,
  float: OPS.TO_FLOAT,
  string: OPS.TO_STRING,
  bool: OPS.TO_BOOLEAN,
};

/** Where the value of a field is found; `now`: steps before have changed it. */
export interface Place {
  slot: number;
  now: boolean;
}

/** Throws Unfit where what stands there is not known. */
export type Find = (path: FormPath) => Place;

/** A place in the code that a jump leads to, known later. */
interface Label {
  at: number | undefined;
  /** Words that have its address. */
  uses: number[];
}

export class Code {
  readonly #image: Image;
  readonly #world: World | undefined;
  readonly #words: number[] = [];
  #labels: Label[] = [];
  #depth = 0;

  constructor(image: Image, world: World | undefined) {
    this.#image = image;
    this.#world = world;
  }

  word(...values: number[]): void {
    this.#words.push(...values);
  }

  /** Address and length of a text in the image. */
  text(text: string): [number, number] {
    const bytes = Buffer.from(text);
    return [this.#image.put(bytes), bytes.length];
  }

  /** Writes the program into the image; returns its address. */
  finish(): number {
    this.word(OPS.END);
    const at = this.#image.reserve(4 * this.#words.length);
    for (const { at: place, uses } of this.#labels)
      for (const use of uses) this.#words[use] = at + 4 * (place as number);
    this.#words.forEach((value, i) => {
      this.#image.word(at + 4 * i, value);
    });
    return at;
  }

  #label(): Label {
    const label: Label = { at: undefined, uses: [] };
    this.#labels.push(label);
    return label;
  }

  #toLabel(label: Label): void {
    label.uses.push(this.#words.length);
    this.word(0);
  }

  #here(label: Label): void {
    label.at = this.#words.length;
  }

  /** One more value on the stack. */
  #pushed(): void {
    if (++this.#depth >= MAX_VALUES) throw new Unfit('an expression holds too many values at a time');
  }

  /** The value of `form` on the stack. */
  expression(form: Form, find: Find): void {
    switch (form.is) {
      case 'constant':
        this.#constant(form.value);
        return;
      case 'given':
        this.#constant(this.#given(form.as, form.name));
        return;
      case 'field': {
        const { slot, now } = find(form.path);
        this.word(now ? OPS.PUSH_NOW : OPS.PUSH_FIELD, slot);
        this.#pushed();
        return;
      }
      case 'default': {
        const { slot, now } = find(form.path);
        const end = this.#label();
        this.word(now ? OPS.PUSH_NOW_OR : OPS.PUSH_OR, slot);
        this.#toLabel(end);
        this.expression(form.other, find);
        this.#here(end);
        return;
      }
      case 'has': {
        const { slot, now } = find(form.path);
        this.word(now ? OPS.PUSH_HAS_NOW : OPS.PUSH_HAS, slot);
        this.#pushed();
        return;
      }
      case 'pair':
        if (this.#isNamed(form, find)) return;
        this.expression(form.left, find);
        this.expression(form.right, find);
        this.#depth--;
        this.word(OPS.COMBINE, PAIR_OPS[form.op]);
        return;
      case 'change':
        if (this.#string(form, find)) return;
        this.expression(form.of, find);
        this.word(OPS.CHANGE, CHANGE_OPS[form.op]);
        return;
      case 'round':
        this.expression(form.of, find);
        this.word(OPS.ROUND_TO, form.places);
        return;
      case 'in':
        this.expression(form.of, find);
        for (const item of form.items) this.#constant(item);
        this.#depth -= form.items.length;
        this.word(OPS.ONE_OF, form.items.length);
        return;
      case 'logic':
        this.#logic(form.op === '||' ? 1 : 0, form.items, find);
        return;
      case 'choice': {
        const no = this.#label();
        const end = this.#label();
        this.expression(form.condition, find);
        this.word(OPS.CHOOSE);
        this.#toLabel(no);
        this.#depth--;
        this.expression(form.yes, find);
        this.word(OPS.JUMP);
        this.#toLabel(end);
        this.#here(no);
        this.#depth--;
        this.expression(form.no, find);
        this.#here(end);
        return;
      }
    }
  }

  /** The value of the script with that number on the stack. */
  script(number: number): void {
    this.word(OPS.SCRIPT, number);
    this.#pushed();
  }

  /** The field in `slot` as another type, into a text; `then` writes what follows where there is one. */
  cast(slot: number, type: Cast, text: number, then: () => void): void {
    const end = this.#label();
    this.word(OPS.CAST, slot, CAST_OPS[type], text);
    this.#toLabel(end);
    then();
    this.#here(end);
  }

  #given(as: 'params' | 'env', name: string): null | boolean | number | string {
    if (this.#world === undefined) return null;
    const value = this.#world[as].get(name);
    if (value === null || typeof value === 'boolean') return value;
    if (typeof value === 'string' && value.length <= LONGEST_TEXT && value.isWellFormed()) return value;
    if (typeof value === 'number' && Number.isFinite(value)) return value;
    throw new Unfit(`${as}.${name} is nothing that the kernel works with`);
  }

  /** A value of the stack is taken away by what follows. */
  popped(): void {
    this.#depth--;
  }

  /** Comparison of a field with true, false or null: its first byte tells. */
  #isNamed({ op, left, right }: Extract<Form, { is: 'pair' }>, find: Find): boolean {
    if ((op !== '==' && op !== '!=') || left.is !== 'field' || right.is !== 'constant') return false;
    const place = find(left.path);
    const { value } = right;
    if (place.now || (value !== null && typeof value !== 'boolean')) return false;
    this.word(OPS.PUSH_IS, place.slot, String(value).charCodeAt(0), Number(op === '=='));
    this.#pushed();
    return true;
  }

  /** string() of a field: the digits of most numbers are what it makes of them. */
  #string({ op, of }: Extract<Form, { is: 'change' }>, find: Find): boolean {
    if (op !== 'string' || of.is !== 'field') return false;
    const place = find(of.path);
    if (place.now) return false;
    this.word(OPS.PUSH_STRING, place.slot);
    this.#pushed();
    return true;
  }

  #logic(decisive: number, items: readonly Form[], find: Find): void {
    const end = this.#label();
    items.forEach((item, i) => {
      this.expression(item, find);
      if (i === items.length - 1) this.word(OPS.IS_BOOLEAN);
      else {
        this.word(OPS.DECIDED, decisive);
        this.#toLabel(end);
        this.#depth--;
      }
    });
    this.#here(end);
  }

  #constant(value: null | boolean | number | string): void {
    this.#pushed();
    if (value === null) this.word(OPS.PUSH_NULL);
    else if (typeof value === 'boolean') this.word(OPS.PUSH_BOOLEAN, Number(value));
    else if (typeof value === 'number') {
      const bits = new Uint32Array(new Float64Array([value]).buffer);
      this.word(OPS.PUSH_NUMBER, ...bits);
    } else {
      const json = JSON.stringify(value).slice(1, -1);
      this.word(OPS.PUSH_TEXT, ...this.text(json), Number(json.includes('\\')));
    }
  }
}
