/** Writes the operations of a program; the order of their numbers is that of `kernel/wasm/program.ts`. */
import { CHANGES, type Form, type FormPath, PAIRS } from './forms.ts';
import type { Image } from './image.ts';
import { MAX_VALUES } from './layout.ts';
import { Unfit } from './unfit.ts';

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
  pushTaken: 21,
} as const;

/** Where the value of a field is found: in a slot of the record, or among the texts that steps have made. */
export type Place = { slot: number } | { text: number };

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
  readonly #words: number[] = [];
  #labels: Label[] = [];
  #depth = 0;

  constructor(image: Image) {
    this.#image = image;
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
      case 'field': {
        const place = find(form.path);
        if ('slot' in place) this.word(OPS.pushField, place.slot);
        else this.word(OPS.pushTaken, place.text);
        this.#pushed();
        return;
      }
      case 'default': {
        const place = find(form.path);
        if (!('slot' in place)) throw new Unfit('default() of a field that a step has made');
        const end = this.#label();
        this.word(OPS.pushOr, place.slot);
        this.#toLabel(end);
        this.expression(form.other, find);
        this.#here(end);
        return;
      }
      case 'has': {
        const place = find(form.path);
        if ('slot' in place) this.word(OPS.pushHas, place.slot);
        else this.word(OPS.pushBoolean, 1);
        this.#pushed();
        return;
      }
      case 'pair':
        this.expression(form.left, find);
        this.expression(form.right, find);
        this.#depth--;
        this.word(OPS.combine, PAIRS.indexOf(form.op));
        return;
      case 'change':
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

  /** A value of the stack is taken away by what follows. */
  popped(): void {
    this.#depth--;
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
