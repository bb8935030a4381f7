/** From the forms of steps to a program of the byte kernel: paths, slots and operations. */
import { MAX_OWNERS, MAX_TEXTS } from '../wasm/memory.ts';
import * as OPS from '../wasm/operations.ts';
import { Code, type Place } from './code.ts';
import type { Cast, Expression, Form, FormPath, StepForm } from './forms.ts';
import { Image } from './image.ts';
import { Paths } from './path-image.ts';
import type { PlacedScript } from './scripts.ts';
import { Unfit } from './unfit.ts';
import type { World } from './world.ts';

export interface Program {
  /** To stand at PROGRAM. */
  image: Buffer;
  code: number;
  root: number;
  slots: number;
  changed: number;
  changedCount: number;
  /** Steps are counted under their places, which lie below that. */
  owners: number;
  /** It has a lap behind each step. */
  isTimed: boolean;
  /** The slots of members of the record itself. */
  members: ReadonlyMap<string | number, number>;
  /** By number. */
  scripts: readonly PlacedScript[];
}

/** How a program is made. */
export interface Making {
  isTimed: boolean;
  /** What can run as a script does. */
  byScripts: boolean;
}

/** Steps with their places, under which what they filter is counted. */
export type OwnedForms = readonly { owner: number; form: StepForm }[];

/** A parent that is the record itself. */
const ROOT = 0xffffffff;

/** Throws Unfit. */
export function compileSteps(steps: OwnedForms, world: World, making: Partial<Making> = {}): Program {
  return compile(steps, world, { isTimed: false, byScripts: false, ...making });
}

/** Throws Unfit where the steps have no program; without a world: whatever the run is given. */
export function checkSteps(steps: OwnedForms, world: World | undefined): void {
  compile(steps, world, { isTimed: false, byScripts: false });
}

function compile(steps: OwnedForms, world: World | undefined, making: Making): Program {
  const paths = new Paths();
  for (const { form, owner } of steps) {
    if (owner >= MAX_OWNERS) throw new Unfit(`its stage has more than ${MAX_OWNERS} steps`);
    addPaths(form, paths, making.byScripts);
  }
  return new Compiler(paths, world, making).compile(steps);
}

class Compiler {
  readonly #paths: Paths;
  readonly #image = new Image();
  readonly #code: Code;
  readonly #changed = new Set<number>();
  /** Fields that steps so far have changed. */
  readonly #written: FormPath[] = [];
  #isSelected = false;
  #texts = 0;
  #entries: number;

  readonly #scripts: PlacedScript[] = [];
  readonly #making: Making;

  constructor(paths: Paths, world: World | undefined, making: Making) {
    this.#paths = paths;
    this.#making = making;
    this.#code = new Code(this.#image, world);
    this.#entries = paths.slots;
  }

  compile(steps: OwnedForms): Program {
    for (const { form } of steps) for (const path of changedBy(form)) this.#changed.add(this.#paths.add(path).slot);
    for (const { owner, form } of steps) {
      try {
        this.#step(owner, form);
        if (form.do !== 'pass' && form.do !== 'filter') this.#lap(owner);
      } catch (error) {
        if (error instanceof Unfit) error.owner = owner;
        throw error;
      }
    }
    if (this.#isSelected && [...this.#changed].some((slot) => !this.#isOuter(slot)))
      throw new Unfit('fields are selected, and others changed inside objects');
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
      owners: 1 + Math.max(0, ...steps.map(({ owner }) => owner)),
      isTimed: this.#making.isTimed,
      scripts: this.#scripts,
      members: new Map([...this.#paths.root.children].map(([name, { slot }]) => [name, slot])),
    };
  }

  #isOuter(slot: number): boolean {
    return [...this.#paths.root.children.values()].some((one) => one.slot === slot);
  }

  #step(owner: number, form: StepForm): void {
    const code = this.#code;
    switch (form.do) {
      case 'pass':
        return;
      case 'filter':
        this.#value(form.where);
        code.popped();
        this.#lap(owner);
        code.word(OPS.FILTER, owner);
        return;
      case 'set':
        this.#set(form.fields);
        return;
      case 'rename': {
        const moves = form.fields.filter(({ from, to }) => !isSamePath(from, to));
        code.word(OPS.RENAME, moves.length);
        for (const { from, to } of moves) {
          if (from.length !== to.length || !from.slice(0, -1).every((name, i) => name === to[i]))
            throw new Unfit(`"${from.join('.')}" goes into another object`);
          code.word(this.#change(from), this.#change(to), ...this.#key(to));
        }
        for (const { from, to } of moves) this.#written.push(from, to);
        return;
      }
      case 'drop':
        for (const path of form.paths) code.word(OPS.DROP, this.#change(path));
        this.#written.push(...form.paths);
        return;
      case 'cast':
        for (const { path, to } of form.fields) this.#cast(path, to);
        return;
      case 'select':
        this.#select(form.paths);
        return;
    }
  }

  #lap(owner: number): void {
    if (this.#making.isTimed) this.#code.word(OPS.LAP, owner);
  }

  /** Every value is made before the first field changes. */
  #set(fields: readonly { path: readonly string[]; value: Expression }[]): void {
    const code = this.#code;
    const first = this.#texts;
    this.#texts += fields.length;
    if (this.#texts > MAX_TEXTS) throw new Unfit(`its steps set more than ${MAX_TEXTS} fields`);
    fields.forEach(({ value }, i) => {
      if (operationsOf(value, this.#making.byScripts) === undefined) {
        code.word(OPS.TAKE_SCRIPT, this.#script(value), first + i);
        return;
      }
      this.#value(value);
      code.popped();
      code.word(OPS.TAKE, first + i);
    });
    fields.forEach(({ path }, i) => {
      this.#put(path, first + i);
    });
    for (const { path } of fields) this.#written.push(path);
  }

  /** The value of an expression on the stack. */
  #value(expression: Expression): void {
    const form = operationsOf(expression, this.#making.byScripts);
    if (form === undefined) this.#code.script(this.#script(expression));
    else this.#code.expression(form, this.#find);
  }

  /** The number of the expression's script. */
  #script({ script }: Expression): number {
    if (script === undefined) throw new Error('an expression that is nothing to the kernel');
    const { paths, run } = script;
    return this.#scripts.push({ paths, places: paths.map((path) => this.#find(path)), run }) - 1;
  }

  /** A field gets what stands in a text. */
  #put(path: readonly string[], text: number): void {
    const parent = path.length === 1 ? ROOT : this.#paths.add(path.slice(0, -1)).slot;
    this.#code.word(OPS.SET, text, this.#change(path), parent, this.#entries++, ...this.#key(path));
  }

  #cast(path: readonly string[], to: Cast): void {
    if (this.#texts >= MAX_TEXTS) throw new Unfit(`its steps set more than ${MAX_TEXTS} fields`);
    const text = this.#texts++;
    this.#find(path);
    this.#code.cast(this.#change(path), to, text, () => this.#put(path, text));
    this.#written.push(path);
  }

  /** The program knows all fields of the record that may stay, by name. */
  #select(paths: readonly (readonly string[])[]): void {
    const inner = paths.find((path) => path.length > 1);
    if (inner !== undefined) throw new Unfit(`"${inner.join('.')}" is selected, which lies inside another field`);
    this.#isSelected = true;
    const kept = new Set(paths.map(([name]) => name));
    const known = [...this.#paths.root.children].filter(([, { slot }]) => this.#changed.has(slot));
    this.#code.word(OPS.SELECT, known.length);
    for (const [name, { slot }] of known) this.#code.word(slot, Number(kept.has(name as string)));
    for (const [name] of this.#paths.root.children) this.#written.push([name]);
  }

  /** The slot of a field that a step changes. */
  #change(path: readonly string[]): number {
    return this.#paths.add(path).slot;
  }

  /** Where the JSON text of a field's name stands. */
  #key(path: readonly string[]): [number, number] {
    const [at, size] = this.#code.text(JSON.stringify(path.at(-1)));
    return [at, at + size];
  }

  readonly #find = (path: FormPath): Place => {
    const { slot } = this.#paths.add(path);
    const others = this.#written.filter((one) => overlaps(one, path));
    const isSame = others.every((one) => one.length === path.length);
    // After a selection only what it, or another step, names is known by its name.
    if (!isSame || (others.length > 0 && !this.#changed.has(slot)))
      throw new Unfit(`it reads "${path.join('.')}", and another step has changed it`);
    return { slot, now: others.length > 0 };
  };
}

function isSamePath(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((name, i) => name === b[i]);
}

/** One lies within the other, or they are the same. */
function overlaps(a: FormPath, b: FormPath): boolean {
  const n = Math.min(a.length, b.length);
  for (let i = 0; i < n; i++) if (a[i] !== b[i]) return false;
  return true;
}

function changedBy(form: StepForm): (readonly string[])[] {
  switch (form.do) {
    case 'set':
    case 'cast':
      return form.fields.map(({ path }) => path);
    case 'rename':
      return form.fields.flatMap(({ from, to }) => [from, to]);
    case 'drop':
    case 'select':
      return [...form.paths];
    default:
      return [];
  }
}

function addPaths(form: StepForm, paths: Paths, byScripts: boolean): void {
  for (const path of changedBy(form)) paths.add(path);
  if (form.do === 'filter') addReads(form.where, paths, byScripts);
  else if (form.do === 'set') for (const { value } of form.fields) addReads(value, paths, byScripts);
}

/** Undefined where it runs as a script. */
function operationsOf({ form, script }: Expression, byScripts: boolean): Form | undefined {
  return byScripts && script !== undefined ? undefined : form;
}

function addReads(expression: Expression, paths: Paths, byScripts: boolean): void {
  const form = operationsOf(expression, byScripts);
  if (form !== undefined) addRead(form, paths);
  else for (const path of expression.script?.paths ?? []) paths.add(path);
}

function addRead(form: Form, paths: Paths): void {
  switch (form.is) {
    case 'constant':
    case 'given':
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
