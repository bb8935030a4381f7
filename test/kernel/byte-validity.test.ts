/** What the byte kernel takes for a record, and what it says is broken: the same as the value tier, wherever the blocks of 64 bytes end. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parseJson } from '../../runner/oxis/formats/parse-json.ts';
import { RandomJson } from './random-json.ts';
import { ByteStage, onValues, opsOf } from './tiers.ts';

const CONFIG = {
  framing: 'lines',
  strict: true,
  array_handling: 'preserve',
  flatten: false,
  max_record_mb: 64,
} as const;
const parser = (): ReturnType<typeof opsOf> => {
  const made = parseJson.make(CONFIG as never, { projectRoot: '.', stepId: 'parse' });
  return opsOf([made]);
};
const stage = new ByteStage(parser());

function expectSame(lines: Buffer): void {
  expect(stage.run(lines)).toEqual(onValues(parser(), lines));
}

const lineOf = (bytes: Buffer): Buffer =>
  Buffer.concat([Buffer.from(bytes.filter((byte) => byte !== 0x0a)), Buffer.from('\n')]);

test('every text of JSONTestSuite has the same verdict, alone and between others', () => {
  const folder = join(import.meta.dirname, '..', 'fixtures', 'json-test-suite');
  const texts = readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .map((name) => lineOf(readFileSync(join(folder, name))));
  for (const text of texts) expectSame(text);
  const good = Buffer.from('{"id":"x","ok":true,"amount":1.5,"user":{"id":7,"country":"DE"}}\n');
  for (let pad = 0; pad < 66; pad++)
    expectSame(Buffer.concat([Buffer.from(`${' '.repeat(pad)}\n`), ...texts.flatMap((text) => [good, text])]));
});

test('two tokens side by side have the same verdict with any white space between them, at any place of a block', {
  timeout: 300_000,
}, () => {
  const tokens = ['{', '}', '[', ']', ',', ':', '"a"', '1', 'true', '"\\\\"', '"\\""'];
  const around = [
    ['[', ']'],
    ['{"k":', '}'],
    ['', ''],
    ['{', ':1}'],
    ['[1,', ']'],
  ];
  const torn = [
    ['"\x80', '"'],
    ['"\xe2\x82', '"'],
    ['"\xf0\x9f\x98', '"'],
    ['"\xc3', '\xa9"'],
    ['"\xe2\x82', '\xac"'],
    ['"\\', 'n"'],
    ['"\\u00', '41"'],
    ['"\\u0', 'x41"'],
    ['"\\\\', '"'],
    ['"\\\\\\', '"'],
    ['"\xed', '\xa0\x80"'],
    ['"\\ud83d', '\\ude00"'],
    ['"\\ud83d\\', 'ude00"'],
    ['"\\ud83d', '"'],
    ['"\\\\ud83d', '\\ude00"'],
    ['"\\ud83d', '\\ud83d\\ude00"'],
    ['"\\uDBFF', '\\uDFFF\\uDC00"'],
  ];
  for (let place = 0; place < 66; place++) {
    const margin = ' '.repeat(place);
    const lines: string[] = [];
    for (const first of tokens)
      for (const second of tokens)
        for (const [before, after] of around)
          for (const gap of [0, 1, 3, 17, 64, 70])
            lines.push(`${margin}${before}${first}${' '.repeat(gap)}${second}${after}`);
    for (const [first, second] of torn) lines.push(`${margin}${first}${second}`);
    expectSame(Buffer.from(`${lines.join('\n')}\n`, 'latin1'));
  }
});

test('levels of nesting count as on the value tier, in every kind of container', () => {
  const lines = [1, 59, 60, 61, 62, 963, 964, 1023, 1024, 1025, 1100].flatMap((depth) => [
    '['.repeat(depth) + ']'.repeat(depth),
    `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`,
    `${'[{"a": '.repeat(depth >> 1)}1${'} ]'.repeat(depth >> 1)}`,
    `${'['.repeat(depth)}1`,
  ]);
  expectSame(Buffer.from(`${lines.join('\n')}\n`));
});

test("valid records of any form are the kernel's own, and are not handed on", () => {
  const json = new RandomJson(7);
  const lines = Array.from({ length: 5000 }, () => `${json.object(0).replaceAll('\n', ' ')}\r\n\n`);
  expectSame(Buffer.from(lines.join('')));
  expect(stage.deferred).toBe(0);
});

test('random and damaged lines have the same verdict', { timeout: 120_000 }, () => {
  const seed = Number(process.env.OXIFLOW_SEED ?? Date.now() % 1e9);
  process.stdout.write(`seed ${seed}\n`);
  const json = new RandomJson(seed);
  let bad = 0;
  for (let round = 0; round < 40; round++) {
    const lines = Array.from({ length: 1000 }, () => {
      const line = Buffer.from(json.value());
      return lineOf(json.below(3) === 0 ? line : json.mutated(line));
    });
    const text = Buffer.concat(lines);
    const outcome = stage.run(text);
    expect(outcome, `seed ${seed}`).toEqual(onValues(parser(), text));
    bad += outcome.failed.length;
  }
  expect(bad).toBeGreaterThan(1000);
});
