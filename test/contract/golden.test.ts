/** The meaning of the format page, byte for byte: each case of `golden/` through the real engine, in pieces of three sizes. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { OxiError } from '../../runner/engine/errors.ts';
import { type GoldenStep, runInMemory } from './golden-flow.ts';
import { TIERS } from './oxi-suite.ts';

interface GoldenCase {
  promise: string;
  /** Name of the input; `orders.ndjson` where it says nothing. */
  name?: string;
  input?: string;
  /** The input as hexadecimal digits, where it is no text. */
  hex?: string;
  steps?: (GoldenStep | string)[];
  /** Name of the output, where it matters, and whether it can't be rewritten. */
  to?: string;
  once?: boolean;
  output?: string;
  /** In place of an output: how the run ends. */
  error?: { code: string; offset?: number; says?: string };
  /** Records that were left out, by `on_error: drop`. */
  dropped?: number;
}

const FOLDER = join(import.meta.dirname, 'golden');
const PIECES = [1 << 20, 7, 1];

function bytesOf({ input, hex }: GoldenCase): Buffer {
  return hex === undefined ? Buffer.from(input ?? '') : Buffer.from(hex.replaceAll(/\s/g, ''), 'hex');
}

for (const file of readdirSync(FOLDER).filter((name) => name.endsWith('.yaml'))) {
  const cases = parse(readFileSync(join(FOLDER, file), 'utf8')) as GoldenCase[];
  describe.each(TIERS)(`${file} on %s`, (tier) => {
    test.each(cases.map((c) => [c.promise, c] as const))('%s', async (_promise, c) => {
      const steps = (c.steps ?? []).map((step) => (typeof step === 'string' ? { oxi: step } : step));
      for (const piece of PIECES) {
        const run = runInMemory({
          name: c.name ?? 'orders.ndjson',
          bytes: bytesOf(c),
          piece,
          tier,
          steps: [{ oxi: 'parse_json' }, ...steps].slice(steps[0]?.oxi.startsWith('parse_') === true ? 1 : 0),
          ...(c.to === undefined ? {} : { output: c.to }),
          once: c.once === true,
        });
        const where = `in pieces of ${piece} bytes`;
        if (c.error !== undefined) {
          const error = await run.then(
            ({ bytes }) => expect.fail(`${where}: no error, but ${bytes}`),
            (thrown: unknown) => thrown,
          );
          expect(error, where).toBeInstanceOf(OxiError);
          const { code, place, message } = error as OxiError;
          expect({ code, offset: place.offset, where }).toEqual({
            code: c.error.code,
            offset: c.error.offset ?? place.offset,
            where,
          });
          expect(message).toContain(c.error.says ?? '');
        } else {
          const { bytes, counters, written } = await run;
          expect(bytes.toString('utf8'), where).toBe(c.output);
          const dropped = [...counters.values()].reduce((sum, { dropped }) => sum + dropped, 0);
          expect(dropped, where).toBe(c.dropped ?? 0);
          // However late they were written, every record that left is one that the sink knows of.
          expect(written, where).toBe([...counters.values()].at(-1)?.out);
        }
      }
    });
  });
}
