/** Building blocks for the schemas of configuration: units, secrets, and what a schema says about itself. */
import * as z from 'zod/mini';
import { Secret } from '../engine/secret.ts';
import { DURATION_HINT, parseDuration } from './units.ts';

/** A duration in text ("30s"), in milliseconds once read. */
export const duration = (description: string) =>
  z.pipe(
    z.string().check(z.meta({ description })),
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
    z.string().check(z.meta({ description, secret: true })),
    z.transform((text: string) => new Secret(text)),
  );
