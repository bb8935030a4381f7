/** Collects what is wrong with a file, each with its place, so that one start shows every mistake. */
import { ConfigErrors, type ErrorPlace, OxiError } from '../engine/errors.ts';

/** A place in a file (line and column count from 1), or the command-line option that a value came from. */
export interface Where {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly option?: string;
}

/** What a problem is about, beside its place. */
export interface About {
  readonly pipeline?: string | undefined;
  readonly step?: string | undefined;
  readonly field?: string | undefined;
}

/** A message can't grow beyond this number of problems; a file full of garbage is one mistake. */
const MOST = 100;

export class Problems {
  readonly #errors: OxiError[] = [];
  #count = 0;

  /** How many there were, also of those that the message leaves out. */
  get count(): number {
    return this.#count;
  }

  /** `text` goes behind the place: `orders.yaml:12:7: step "orders", field "delimiter": <text>`. */
  add(where: Where, text: string, about: About = {}): void {
    this.#count += 1;
    if (this.#errors.length < MOST) this.#errors.push(problem(where, text, about));
  }

  /** Throws ConfigErrors, sorted by place, where there is a problem. */
  throwIfAny(): void {
    if (this.#errors.length === 0) return;
    const rank = ({ place }: OxiError) => (place.line ?? 0) * 2 ** 20 + (place.column ?? 0);
    throw new ConfigErrors(this.#errors.toSorted((a, b) => rank(a) - rank(b)));
  }
}

/** One configuration error as a whole sentence with its place. */
export function problem(where: Where, text: string, about: About = {}): OxiError {
  const names = [
    about.step === undefined ? '' : `step "${about.step}"`,
    about.field === undefined || about.field === '' ? '' : `field "${about.field}"`,
  ].filter((name) => name !== '');
  const subject = names.length === 0 || where.option !== undefined ? '' : `${names.join(', ')}: `;
  const place: ErrorPlace = { ...(where.option === undefined ? { file: where.file } : {}) };
  if (where.line > 0) Object.assign(place, { line: where.line, column: where.column });
  if (about.pipeline !== undefined) place.pipeline = about.pipeline;
  if (about.step !== undefined) place.step = about.step;
  if (about.field !== undefined && about.field !== '') place.field = about.field;
  return new OxiError('CONFIG_INVALID', `${placeText(where)}: ${subject}${text}`, { place });
}

/** `file:line:column`, or the option. */
export function placeText(where: Where): string {
  if (where.option !== undefined) return where.option;
  return where.line > 0 ? `${where.file}:${where.line}:${where.column}` : where.file;
}
