/** What a plan knows of the fields of its records: only what steps name, never what data might hold. */
import type { PlannedStep } from '../engine/plan.ts';
import { fieldPath } from '../oxis/transforms/field-path.ts';
import type { Column } from './manifest-schema.ts';

/** Fields at the top of a record. `complete`: there are no others. */
export class KnownFields {
  readonly #types: Map<string, string | null>;
  #complete: boolean;

  constructor(types: ReadonlyMap<string, string | null> = new Map(), complete = false) {
    this.#types = new Map(types);
    this.#complete = complete;
  }

  /** Of a second chain. */
  copy(): KnownFields {
    return new KnownFields(this.#types, this.#complete);
  }

  get columns(): Column[] | null {
    return this.#complete ? this.fields : null;
  }

  get fields(): Column[] {
    return [...this.#types].map(([name, type]) => ({ name, type }));
  }

  /** What `step` makes of them. `config`: its whole config, or as it is written. */
  follow({ oxi, config, onError }: Pick<PlannedStep, 'oxi' | 'config'> & Partial<Pick<PlannedStep, 'onError'>>): void {
    const c = isMap(config) ? config : {};
    // Records that a step failed at pass it as they came.
    if (onError === 'pass' && !KEEPING.has(oxi)) this.#forget();
    else if (oxi === 'parse_csv') this.#parseCsv(c);
    else if (oxi === 'map') this.#map(c);
    else if (oxi === 'validate') this.#validate(c);
    else if (oxi === 'format_csv' && Array.isArray(c.columns)) this.#only(c.columns.map(String));
    else if (!KEEPING.has(oxi) && !(oxi === 'batch' && c.emit !== 'array')) this.#forget();
  }

  #forget(): void {
    this.#types.clear();
    this.#complete = false;
  }

  #parseCsv(c: Config): void {
    this.#forget();
    for (const name of Array.isArray(c.columns) ? c.columns : []) this.#types.set(String(name), null);
    this.#complete = Array.isArray(c.columns);
    for (const [name, type] of entries(c.types)) this.#types.set(name, type);
  }

  /** In the order in which the phases of `map` follow one another. */
  #map(c: Config): void {
    for (const text of keys(c.set)) this.#set(text, null);
    for (const [text, type] of entries(c.cast)) if (isTop(text) && this.#types.has(top(text))) this.#set(text, type);
    // All old names mean the record as it was before.
    const moved = entries(c.rename).map(([from, to]) => {
      const type = this.#types.get(top(from));
      const was = isTop(from) && this.#types.delete(top(from));
      return { to, type: type ?? null, was };
    });
    for (const { to, type, was } of moved) if (was) this.#set(to, type);
    for (const text of list(c.drop)) if (isTop(text)) this.#types.delete(top(text));
    if (c.select !== undefined) this.#only(list(c.select).map(top));
  }

  #validate(c: Config): void {
    for (const [text, type] of entries(c.fields)) {
      const isOptional = type.endsWith('?');
      if (isTop(text) && (!isOptional || this.#types.has(top(text)))) this.#set(text, type.replace(/\?$/, ''));
    }
  }

  #set(text: string, type: string | null): void {
    this.#types.set(top(text), isTop(text) ? type : 'object');
  }

  /** These and no others, in this order. */
  #only(names: readonly string[]): void {
    const types = new Map(this.#types);
    this.#types.clear();
    for (const name of names) this.#types.set(name, types.get(name) ?? null);
    this.#complete = true;
  }
}

type Config = Readonly<Record<string, unknown>>;

/** Oxis that give out records as they came, or none. */
const KEEPING = new Set(['filter', 'dedupe', 'limit', 'sample', 'tee', 'format_json', 'format_csv', 'format_yaml']);

function isMap(value: unknown): value is Config {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function keys(value: unknown): string[] {
  return entries(value).map(([name]) => name);
}

function entries(value: unknown): [string, string][] {
  const pairs = value instanceof Map ? [...value] : isMap(value) ? Object.entries(value) : [];
  return pairs.map(([name, of]) => [String(name), String(of)]);
}

function list(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}

function top(text: string): string {
  return fieldPath(text)[0] ?? '';
}

function isTop(text: string): boolean {
  return fieldPath(text).length === 1;
}
