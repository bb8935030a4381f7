/** What several workers make of one pipeline, by the program as a user starts it. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Ended, oxiflow } from '../cli/program.ts';
import { Chance, csvRows } from './inputs.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'oxiflow-outputs-'));
  for (const name of ['pipelines', 'in']) mkdirSync(join(folder, name));
  writeFileSync(join(folder, 'oxiflow.yaml'), 'project: { name: shop }\n');
});
afterEach(() => rmSync(folder, { recursive: true }));

function write(name: string, text: string): void {
  writeFileSync(join(folder, name), text);
}

function run(...options: string[]): Promise<Ended> {
  return oxiflow(['run', 'orders', ...options], { cwd: folder });
}

const pipeline = (steps: string): void => write('pipelines/orders.yaml', `pipeline:\n${steps}`);

test('one CSV file with all columns, of files whose columns differ', async () => {
  const chance = new Chance(20_261_203);
  write('in/0.csv', csvRows(chance, 4000));
  write('in/1.csv', csvRows(chance, 2000, ['order', 'city', 'name']));
  pipeline(
    '  - { name: read_file, config: { path: "in/*.csv" } }\n  - { name: parse_csv, on_error: drop }\n  - name: format_csv\n  - { name: write_file, config: { path: out/all.csv, merge: true } }\n',
  );
  const one = await run();
  expect(one.code, one.stderr).toBe(0);
  const expected = readFileSync(join(folder, 'out/all.csv'));
  const shared = await run('--workers', '3', '--splits', '7', '--json');
  expect(shared.code, shared.stderr).toBe(0);
  expect(readFileSync(join(folder, 'out/all.csv')).equals(expected)).toBe(true);
  expect(readdirSync(join(folder, 'out'))).toEqual(['all.csv']);
  const { outputs } = JSON.parse(shared.stdout) as { outputs: object[] };
  expect(outputs).toMatchObject([
    { step: 'write_file', bytes: expected.length, columns: ['order', 'name', 'n', 'city'] },
  ]);
});

describe('refused before anything starts, with exit code 2', () => {
  const refused: [string, string, RegExp][] = [
    ['standard output', '  - name: write_stdout\n', /step "write_stdout": writes to standard output/],
    [
      'a count over all records',
      '  - { name: limit, config: { records: 3 } }\n  - { name: write_file, config: { path: out/all.ndjson } }\n',
      /step "limit": counts records over the whole run; run it with one worker/,
    ],
    [
      'a part in the place of an input, whichever worker makes it',
      '  - { name: write_file, config: { path: in/orders.ndjson } }\n',
      /its output in\/orders-00001-of-00002\.ndjson would take the place of in\/orders-00001-of-00002\.ndjson/,
    ],
    [
      'the merged file in the place of an input',
      '  - { name: write_file, config: { path: in/zebra.ndjson, merge: true } }\n',
      /its output in\/zebra\.ndjson would take the place of in\/zebra\.ndjson/,
    ],
  ];
  test.each(refused)('%s', async (_, steps, sentence) => {
    const lines = '{"order":1,"name":"tea"}\n'.repeat(50);
    for (const name of ['a', 'orders-00001-of-00002', 'zebra']) write(`in/${name}.ndjson`, lines);
    pipeline(`  - { name: read_file, config: { path: "in/*.ndjson" } }\n  - name: parse_json\n${steps}`);
    const ended = await run('--workers', '2', '--splits', '2');
    expect(ended.stderr).toMatch(sentence);
    expect(ended.code).toBe(2);
    expect(readdirSync(folder).includes('out')).toBe(false);
    expect(readdirSync(join(folder, 'in')).length).toBe(3);
  });
});
