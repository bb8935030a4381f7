/** Building blocks for the schemas of configuration: units, secrets, and what a schema says about itself. */
import * as z from 'zod/mini';
import { Secret } from '../engine/secret.ts';
import { DURATION_HINT, parseDuration, parseSize, SIZE_HINT } from './units.ts';

/** A duration in text ("30s"), in milliseconds once read. */
export const duration = (description: string) =>
  z.pipe(
    z.string().check(z.meta({ description, format: 'duration-with-unit' })),
    withUnit(parseDuration, DURATION_HINT),
  );

/** A size in text ("64MB"), in bytes once read. */
export const size = (description: string) =>
  z.pipe(z.string().check(z.meta({ description, format: 'size-with-unit' })), withUnit(parseSize, SIZE_HINT));

/** Text that is never printed. */
export const secretText = (description: string) =>
  z.pipe(
    z.string().check(z.meta({ description, secret: true })),
    z.transform((text: string) => new Secret(text)),
  );

function withUnit(parse: (text: string) => number | undefined, hint: string) {
  return z.transform((text: string, context) => {
    const value = parse(text);
    if (value !== undefined) return value;
    context.issues.push({ code: 'custom', message: `must be ${hint}`, input: text });
    return z.NEVER;
  });
}
