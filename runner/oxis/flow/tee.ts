/** `tee`: a second chain of steps gets every record too, down to a sink of its own. */
import * as z from 'zod/mini';
import { defineTee, field } from '../define.ts';

const config = () =>
  z.strictObject({
    steps: field(
      z.optional(z.array(z.looseObject({ name: z.string() }))),
      'The steps of the second chain, written as those of the pipeline; it ends with a sink.',
    ),
  });

export const tee = defineTee({
  name: 'tee',
  kind: 'tee',
  summary: 'Sends every record through a second chain of steps too.',
  config,
  limits: { maxBatchSize: 10_000_000, maxMemoryMb: 512 },
  nested: 'steps',
});
