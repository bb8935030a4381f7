/** Threads that read rows of CSV and write what comes of them by themselves: quotes with line ends in them make no difference. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { folder, jsonLines, oxiflow, pipelineOf } from '../cli/program.ts';
import { randomOf, SEED } from './random.ts';

const random = randomOf(SEED + 32);
const HEAD = 'id,km,note';
const TEXTS = ['', 'plain', 'a, b', 'said "hi"', 'two\nlines', 'two\r\nlines', '"', 'é', '\\', '\t', ' 7 '];

const cell = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

/** Rows of every sort, and what they come to. */
function odd(bytes: number): { text: string; kept: string[]; broken: [offset: number, row: string][] } {
  const parts = [`\ufeff${HEAD}\r\n`];
  const kept: string[] = [];
  const broken: [number, string][] = [];
  let size = Buffer.byteLength(parts[0] as string);
  for (let id = 0; size < bytes; id++) {
    const km = random.below(1000) / 10;
    const note = random.below(500) === 0 ? random.pick(TEXTS).repeat(random.below(3000)) : random.pick(TEXTS);
    let row = `${id},${km},${cell(note)}`;
    if (random.below(300) === 0) {
      row = random.pick([`${id},${km}`, `${id},far,x`, `${id},${km},"x"y`, `${id},${km},x,y`]);
      broken.push([size, row]);
    } else if (random.below(100) === 0) {
      // A quote within text, and a number in another form: for the value tier, and good.
      row = `${id},${km}e0,5" pipe`;
      if (km > 50) kept.push(JSON.stringify({ id, km: 0, note: '5" pipe' }).replace('"km":0', `"km":${km}e0`));
    } else if (km > 50) kept.push(JSON.stringify({ id, km, note }));
    const whole = row + random.pick(['\n', '\n', '\r\n', '\n\n', '\r']);
    parts.push(whole);
    size += Buffer.byteLength(whole);
  }
  kept.push('{"id":-1,"km":77,"note":"last"}');
  return { text: `${parts.join('')}-1,77,last`, kept, broken };
}

const input = odd(3_000_000);
const pipeline = pipelineOf(
  [
    ['read_file', { path: 'rides.csv' }],
    ['parse_csv', { types: { id: 'int', km: 'float' }, max_record_mb: 1 }, { on_error: 'dead_letter' }],
    ['filter', { where: 'km > 50' }],
    ['write_file', { path: 'out/rides.ndjson' }],
  ],
  { dead_letter: { path: 'out/letters.ndjson', max_records: 100_000 } },
);
const project = (text: string): string =>
  folder({ 'oxiflow.yaml': 'project:\n  name: city\n', 'rides.csv': text, 'pipelines/rides.yaml': pipeline });

describe('a file with rows of every sort', () => {
  test.each([
    ['1', 'values'],
    ['2', 'values'],
    ['1', 'bytes'],
    ['2', ''],
    ['4', ''],
    ['3', 'bytes'],
  ])('on %s threads, tier "%s": every record at its place, every broken row a letter', async (threads, tier) => {
    const cwd = project(input.text);
    const env = tier === '' ? {} : { OXIFLOW_TIER: tier };
    const { code, stderr } = await oxiflow(['run', 'rides', '--threads', threads], { cwd, env });
    expect(code, stderr).toBe(0);
    const written = readFileSync(join(cwd, 'out/rides.ndjson'), 'utf8');
    expect(written === input.kept.map((line) => `${line}\n`).join('')).toBe(true);
    const letters = jsonLines(readFileSync(join(cwd, 'out/letters.ndjson'), 'utf8'));
    expect(letters.map(({ offset, record }) => [offset, record])).toEqual(input.broken);
  });

  test.each(['1', '2'])(
    'a row that is longer than allowed is given up, and those around it are not (%s)',
    async (threads) => {
      const rows = (n: number): string => `${n},60,"a\nb"\n`.repeat(40_000);
      const records = (n: number): string => `{"id":${n},"km":60,"note":"a\\nb"}\n`.repeat(40_000);
      const cwd = project(`${HEAD}\n${rows(1)}2,60,"${'z\n'.repeat(600_000)}"\n${rows(3)}`);
      const { code, stderr } = await oxiflow(['run', 'rides', '--threads', threads], { cwd });
      expect(code, stderr).toBe(0);
      expect(readFileSync(join(cwd, 'out/rides.ndjson'), 'utf8') === records(1) + records(3)).toBe(true);
      const letters = jsonLines(readFileSync(join(cwd, 'out/letters.ndjson'), 'utf8'));
      expect(letters).toMatchObject([{ code: 'TOO_LARGE', offset: HEAD.length + 1 + rows(1).length }]);
    },
  );

  test.each(['1', '2'])('a quote that is never closed ends the run with its place (%s)', async (threads) => {
    const rows = '1,60,x\n'.repeat(100_000);
    const cwd = project(`${HEAD}\n${rows}2,60,"open\n${rows}`);
    const { code, stderr } = await oxiflow(['run', 'rides', '--threads', threads], { cwd });
    expect(code).not.toBe(0);
    expect(stderr).toContain(`byte ${HEAD.length + 1 + rows.length + 5}: a quote opens here and is not closed`);
  });
});
