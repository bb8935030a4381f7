/** From the forms of steps to a program of the byte kernel: paths, slots and operations. */
import { Code, OPS, type Place } from './code.ts';
import type { Form, FormPath, StepForm } from './forms.ts';
import { Image } from './image.ts';
import { MAX_OWNERS, MAX_TEXTS } from './layout.ts';
import { Paths } from './path-image.ts';
import { Unfit } from './unfit.ts';

export interface Program {
  /** To stand at PROGRAM. */
  image: Buffer;
  code: number;
  root: number;
  slots: number;
  changed: number;
  changedCount: number;
}

/** A parent that is the record itself. */
const ROOT = 0xffffffff;

/** `owner`: the place of a step, under which what it filters is counted. Throws Unfit. */
export function compileSteps(steps: readonly { owner: number; form: StepForm }[]): Program {
  const paths = new Paths();
  for (const { form, owner } of steps) {
    if (owner >= MAX_OWNERS) throw new Unfit(`its stage has more than ${MAX_OWNERS} steps`);
    addPaths(form, paths);
  }
  return new Compiler(paths).compile(steps);
}

class Compiler {
  readonly #paths: Paths;
  readonly #image = new Image();
  readonly #code = new Code(this.#image);
  readonly #changed = new Set<number>();
  /** What steps have done to fields so far: the text that one was set to, or that nobody knows what stands there. */
  readonly #written: { path: FormPath; text: number | undefined }[] = [];
  #texts = 0;
  #entries: number;

  constructor(paths: Paths) {
    this.#paths = paths;
    this.#entries = paths.slots;
  }

  compile(steps: readonly { owner: number; form: StepForm }[]): Program {
    for (const { owner, form } of steps) this.#step(owner, form);
    const code = this.#code.finish();
    const root = this.#paths.write(this.#image);
    const changed = this.#image.reserve(4 * this.#changed.size);
    [...this.#changed].forEach((slot, i) => {
      this.#image.word(changed + 4 * i, slot);
    });
    return {
      image: this.#image.used,
      code,
      root,
      slots: this.#paths.slots,
      changed,
      changedCount: this.#changed.size,
    };
  }

  #step(owner: number, form: StepForm): void {
    const code = this.#code;
    switch (form.do) {
      case 'pass':
        return;
      case 'filter':
        code.expression(form.where, this.#find);
        code.popped();
        code.word(OPS.filter, owner);
        return;
      case 'set':
        this.#set(form.fields);
        return;
      case 'rename': {
        const moves = form.fields.filter(({ from, to }) => from.join('\n') !== to.join('\n'));
        code.word(OPS.rename, moves.length);
        for (const { from, to } of moves) {
          if (from.length !== to.length || !from.slice(0, -1).every((name, i) => name === to[i]))
            throw new Unfit(`"${from.join('.')}" goes into another object`);
          code.word(this.#change(from), this.#change(to), ...this.#key(to));
        }
        for (const { from, to } of moves) this.#forget(from, to);
        return;
      }
      case 'drop':
        for (const path of form.paths) code.word(OPS.drop, this.#change(path));
        this.#forget(...form.paths);
        return;
    }
  }

  /** Every value is made before the first field changes. */
  #set(fields: readonly { path: readonly string[]; value: Form }[]): void {
    const code = this.#code;
    const first = this.#texts;
    this.#texts += fields.length;
    if (this.#texts > MAX_TEXTS) throw new Unfit(`its steps set more than ${MAX_TEXTS} fields`);
    fields.forEach(({ value }, i) => {
      code.expression(value, this.#find);
      code.popped();
      code.word(OPS.take, first + i);
    });
    fields.forEach(({ path }, i) => {
      const parent = path.length === 1 ? ROOT : this.#paths.add(path.slice(0, -1)).slot;
      code.word(OPS.set, first + i, this.#change(path), parent, this.#entries++, ...this.#key(path));
    });
    fields.forEach(({ path }, i) => {
      this.#forget(path);
      this.#written.push({ path, text: first + i });
    });
  }

  /** The slot of a field that a step changes. */
  #change(path: readonly string[]): number {
    const { slot } = this.#paths.add(path);
    this.#changed.add(slot);
    return slot;
  }

  /** Where the JSON text of a field's name stands. */
  #key(path: readonly string[]): [number, number] {
    const [at, size] = this.#code.text(JSON.stringify(path.at(-1)));
    return [at, at + size];
  }

  #forget(...paths: (readonly string[])[]): void {
    for (const path of paths) this.#written.push({ path, text: undefined });
  }

  readonly #find = (path: FormPath): Place => {
    const last = this.#written.findLast((one) => overlaps(one.path, path));
    if (last === undefined) return { slot: this.#paths.add(path).slot };
    if (last.text === undefined || last.path.length !== path.length)
      throw new Unfit(`it reads "${path.join('.')}", which another step has changed`);
    return { text: last.text };
  };
}

/** One lies within the other, or they are the same. */
function overlaps(a: FormPath, b: FormPath): boolean {
  const n = Math.min(a.length, b.length);
  for (let i = 0; i < n; i++) if (a[i] !== b[i]) return false;
  return true;
}

function addPaths(form: StepForm, paths: Paths): void {
  if (form.do === 'filter') addRead(form.where, paths);
  else if (form.do === 'set') {
    for (const { path, value } of form.fields) {
      paths.add(path);
      addRead(value, paths);
    }
  } else if (form.do === 'rename') {
    for (const { from, to } of form.fields) {
      paths.add(from);
      paths.add(to);
    }
  } else if (form.do === 'drop') for (const path of form.paths) paths.add(path);
}

function addRead(form: Form, paths: Paths): void {
  switch (form.is) {
    case 'constant':
      return;
    case 'field':
    case 'has':
      paths.add(form.path);
      return;
    case 'default':
      paths.add(form.path);
      addRead(form.other, paths);
      return;
    case 'pair':
      addRead(form.left, paths);
      addRead(form.right, paths);
      return;
    case 'change':
    case 'round':
    case 'in':
      addRead(form.of, paths);
      return;
    case 'logic':
      for (const item of form.items) addRead(item, paths);
      return;
    case 'choice':
      for (const one of [form.condition, form.yes, form.no]) addRead(one, paths);
  }
}
