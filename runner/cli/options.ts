/** Options that several verbs share, and the parsers of their values. Each throws commander's InvalidArgumentError, one sentence. */
import { type Command, InvalidArgumentError } from 'commander';
import { parseDuration, parseInstant, parseSize } from '../config/units.ts';

/** A whole number of at least `min`. */
export function wholeNumber(min: number, max = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= min && value <= max))
      throw new InvalidArgumentError(
        `It must be a whole number from ${min}${max === Number.MAX_SAFE_INTEGER ? '' : ` to ${max}`}.`,
      );
    return value;
  };
}

/** "30d", "10s", "500ms", as milliseconds; never a bare number, as in oxiflow.yaml: whoever means days must not get seconds. */
export function duration(text: string): number {
  const value = parseDuration(text);
  if (value === undefined)
    throw new InvalidArgumentError('It must be a duration with its unit, such as 30d, 12h, 5m, 10s or 500ms.');
  return value;
}

/** "64MB" as bytes, `min` of them at least. */
export function sizeOf(min: number): (text: string) => number {
  return (text) => {
    const value = parseSize(text);
    if (value === undefined || value < min)
      throw new InvalidArgumentError(`It must be a size with its unit, such as 64MB, and ${min / 2 ** 20}MB at least.`);
    return value;
  };
}

/** RFC 3339, as milliseconds since the epoch. */
export function instant(text: string): number {
  const value = parseInstant(text);
  if (value === undefined) throw new InvalidArgumentError('It must be a time such as 2026-07-31T10:00:00Z.');
  return value;
}

export function collected(text: string, before: string[] | undefined): string[] {
  return [...(before ?? []), text];
}

/** Adds the options that give values for one start. */
export function overriding(verb: Command): Command {
  return verb
    .option('--set <step.field=value>', 'override a field of a step (repeatable)', collected)
    .option('--param <name=value>', 'give a parameter (repeatable)', collected)
    .option('--env-file <file>', 'variables, one NAME=value a line');
}
