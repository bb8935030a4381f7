/** Building blocks for the schemas of configuration. Start-up counts: schemas are made when they are used, and never copied. */
import * as z from 'zod/mini';
import { Secret } from '../engine/secret.ts';
import { DURATION_HINT, parseDuration } from './units.ts';

interface Note {
  description: string;
  secret?: boolean;
  expression?: boolean;
}

/** Says what a field is for. (zod's own `meta` would copy the schema.) */
export function note<S extends z.core.$ZodType>(schema: S, about: string | Note): S {
  z.globalRegistry.add(schema, typeof about === 'string' ? { description: about } : { ...about });
  return schema;
}

/** A duration in text ("30s"), in milliseconds once read. */
export const duration = (description: string) =>
  z.pipe(
    note(z.string(), description),
    z.transform((text: string, context) => {
      const ms = parseDuration(text);
      if (ms !== undefined) return ms;
      context.issues.push({ code: 'custom', message: `must be ${DURATION_HINT}`, input: text });
      return z.NEVER;
    }),
  );

/** Text that is never printed. */
export const secretText = (description: string) =>
  z.pipe(
    note(z.string(), { description, secret: true }),
    z.transform((text: string) => new Secret(text)),
  );
