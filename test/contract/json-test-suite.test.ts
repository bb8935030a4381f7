/** JSONTestSuite: what has to be accepted keeps its bytes, what has to be refused ends the run with a place, in every framing. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Tier } from '../../runner/engine/contracts.ts';
import { OxiError } from '../../runner/engine/errors.ts';
import { runInMemory } from './golden-flow.ts';
import { TIERS } from './oxi-suite.ts';

const FOLDER = join(import.meta.dirname, '..', 'fixtures', 'json-test-suite');
const files = readdirSync(FOLDER).filter((name) => /^[yn]_.*\.json$/.test(name));

/** White space outside strings away, by a way of its own. */
function compacted(text: string): string {
  return text.replaceAll(/("(?:[^"\\]|\\.)*")|[ \t\r\n]+/g, '$1');
}

/** Line feeds outside strings are white space like any other; on one line the text means the same. */
function onOneLine(bytes: Buffer): Buffer {
  return Buffer.from(bytes.map((byte) => (byte === 0x0a ? 0x20 : byte)));
}

const framings: [name: string, wrap: (bytes: Buffer) => Buffer, unwrap: (text: string) => string][] = [
  ['document', (bytes) => bytes, (text) => `${text}\n`],
  ['lines', onOneLine, (text) => `${text}\n`],
  [
    'array',
    (bytes) => Buffer.concat([Buffer.from('[0, '), bytes, Buffer.from('\n, 1.0]')]),
    (text) => `[0,${text},1.0]\n`,
  ],
];

const run = (framing: string, tier: Tier, bytes: Buffer): Promise<Buffer> =>
  runInMemory({
    name: 'suite.json',
    bytes,
    piece: 5,
    tier,
    steps: [{ oxi: 'parse_json', config: { framing } }, { oxi: 'format_json' }],
  }).then((done) => done.bytes);

test('the suite is there', () => {
  expect(files.filter((name) => name.startsWith('y_'))).toHaveLength(11);
  expect(files.filter((name) => name.startsWith('n_'))).toHaveLength(30);
});

const ways = TIERS.flatMap((tier) => framings.map(([framing, wrap, unwrap]) => ({ framing, tier, wrap, unwrap })));

describe.each(ways)('as $framing on $tier', ({ framing, tier, wrap, unwrap }) => {
  test.each(files.filter((name) => name.startsWith('y_')))('%s is accepted and keeps its bytes', async (name) => {
    const bytes = readFileSync(join(FOLDER, name));
    expect((await run(framing, tier, wrap(bytes))).toString()).toBe(unwrap(compacted(bytes.toString())));
  });

  test.each(files.filter((name) => name.startsWith('n_')))('%s is refused, with a place', async (name) => {
    const bytes = wrap(readFileSync(join(FOLDER, name)));
    const error = await run(framing, tier, bytes).then(
      (output) => expect.fail(`accepted: ${output}`),
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(OxiError);
    const { exitCode, place } = error as OxiError;
    expect(exitCode).toBe(3);
    expect(place.offset).toBeGreaterThanOrEqual(0);
    expect(place.offset).toBeLessThanOrEqual(bytes.length);
  });
});
