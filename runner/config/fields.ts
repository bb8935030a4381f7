/** Building blocks for the schemas of configuration. Start-up counts: schemas are made when they are used, and never copied. */
import * as z from 'zod/mini';
import { Secret } from '../engine/secret.ts';
import { NO_MESSAGE } from './sentences.ts';
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

/** A duration in text ("30s"), in milliseconds once read; `least`: the shortest one that is taken. */
export const duration = (description: string, least = '0s') =>
  z.pipe(
    note(z.string(), description),
    z.transform((text: string, context) => {
      const ms = parseDuration(text);
      if (ms !== undefined && ms >= (parseDuration(least) ?? 0)) return ms;
      const message = ms === undefined ? `must be ${DURATION_HINT}` : `must be at least ${least}`;
      context.issues.push({ code: 'custom', message, input: text });
      return z.NEVER;
    }),
  );

/** Text that is never printed. */
export const secretText = (description: string) =>
  z.pipe(
    note(z.string(), { description, secret: true }),
    z.transform((text: string) => new Secret(text)),
  );

/** Values by name, in the order in which they are written: an object would put names that look like whole numbers first. */
export const inOrder = <K extends z.ZodMiniType<string>, V extends z.ZodMiniType>(name: K, value: V) =>
  z.pipe(
    z.transform((input: unknown, context) => {
      const isPlain = typeof input === 'object' && input !== null && Object.getPrototypeOf(input) === Object.prototype;
      const named: unknown = isPlain ? new Map(Object.entries(input)) : input;
      for (const key of named instanceof Map ? named.keys() : []) {
        const { error } = z.safeParse(name, key, { error: () => NO_MESSAGE });
        if (error === undefined) continue;
        context.issues.push({ code: 'invalid_key', origin: 'record', input: key, path: [key], issues: error.issues });
      }
      return named;
    }),
    z.map(name, value),
  );
