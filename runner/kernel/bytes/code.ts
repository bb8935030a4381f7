/** Writes the operations of a program; the order of their numbers is that of `kernel/wasm/program.ts`. */
import { CASTS, type Cast, CHANGES, type Form, type FormPath, PAIRS } from './forms.ts';
import type { Image } from './image.ts';
import { LONGEST_TEXT, MAX_VALUES } from './layout.ts';
import { Unfit } from './unfit.ts';
import type { World } from './world.ts';

export const OPS = {
  end: 0,
  filter: 1,
  drop: 2,
  rename: 3,
  set: 4,
  take: 5,
  pushField: 6,
  pushOr: 7,
  pushHas: 8,
  pushNull: 9,
  pushBoolean: 10,
  pushNumber: 11,
  pushText: 12,
  combine: 13,
  change: 14,
  roundTo: 15,
  oneOf: 16,
  decided: 17,
  isBoolean: 18,
  choose: 19,
  jump: 20,
  select: 21,
  pushString: 22,
  pushIs: 23,
  pushNow: 24,
  pushNowOr: 25,
  pushHasNow: 26,
  cast: 27,
} as const;

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
    this.word(OPS.end);
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
        this.word(now ? OPS.pushNow : OPS.pushField, slot);
        this.#pushed();
        return;
      }
      case 'default': {
        const { slot, now } = find(form.path);
        const end = this.#label();
        this.word(now ? OPS.pushNowOr : OPS.pushOr, slot);
        this.#toLabel(end);
        this.expression(form.other, find);
        this.#here(end);
        return;
      }
      case 'has': {
        const { slot, now } = find(form.path);
        this.word(now ? OPS.pushHasNow : OPS.pushHas, slot);
        this.#pushed();
        return;
      }
      case 'pair':
        if (this.#isNamed(form, find)) return;
        this.expression(form.left, find);
        this.expression(form.right, find);
        this.#depth--;
        this.word(OPS.combine, PAIRS.indexOf(form.op));
        return;
      case 'change':
        if (this.#string(form, find)) return;
        this.expression(form.of, find);
        this.word(OPS.change, CHANGES.indexOf(form.op));
        return;
      case 'round':
        this.expression(form.of, find);
        this.word(OPS.roundTo, form.places);
        return;
      case 'in':
        this.expression(form.of, find);
        for (const item of form.items) this.#constant(item);
        this.#depth -= form.items.length;
        this.word(OPS.oneOf, form.items.length);
        return;
      case 'logic':
        this.#logic(form.op === '||' ? 1 : 0, form.items, find);
        return;
      case 'choice': {
        const no = this.#label();
        const end = this.#label();
        this.expression(form.condition, find);
        this.word(OPS.choose);
        this.#toLabel(no);
        this.#depth--;
        this.expression(form.yes, find);
        this.word(OPS.jump);
        this.#toLabel(end);
        this.#here(no);
        this.#depth--;
        this.expression(form.no, find);
        this.#here(end);
        return;
      }
    }
  }

  /** The field in `slot` as another type, into a text; `then` writes what follows where there is one. */
  cast(slot: number, type: Cast, text: number, then: () => void): void {
    const end = this.#label();
    this.word(OPS.cast, slot, CASTS.indexOf(type), text);
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
    this.word(OPS.pushIs, place.slot, String(value).charCodeAt(0), Number(op === '=='));
    this.#pushed();
    return true;
  }

  /** string() of a field: the digits of most numbers are what it makes of them. */
  #string({ op, of }: Extract<Form, { is: 'change' }>, find: Find): boolean {
    if (op !== 'string' || of.is !== 'field') return false;
    const place = find(of.path);
    if (place.now) return false;
    this.word(OPS.pushString, place.slot);
    this.#pushed();
    return true;
  }

  #logic(decisive: number, items: readonly Form[], find: Find): void {
    const end = this.#label();
    items.forEach((item, i) => {
      this.expression(item, find);
      if (i === items.length - 1) this.word(OPS.isBoolean);
      else {
        this.word(OPS.decided, decisive);
        this.#toLabel(end);
        this.#depth--;
      }
    });
    this.#here(end);
  }

  #constant(value: null | boolean | number | string): void {
    this.#pushed();
    if (value === null) this.word(OPS.pushNull);
    else if (typeof value === 'boolean') this.word(OPS.pushBoolean, Number(value));
    else if (typeof value === 'number') {
      const bits = new Uint32Array(new Float64Array([value]).buffer);
      this.word(OPS.pushNumber, ...bits);
    } else {
      const json = JSON.stringify(value).slice(1, -1);
      this.word(OPS.pushText, ...this.text(json), Number(json.includes('\\')));
    }
  }
}
