/** A large JSON array and large CSV from a pipe, at flat memory: 40 MB in each run of the tests, 10 GB with `npm run soak`. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { folder, pipelineOf } from '../cli/program.ts';
import { bounded } from './bounded.ts';
import { SOAK } from './random.ts';
import { asArray, asRows } from './soak.ts';

const BYTES = SOAK > 0 ? SOAK * 1_000_000_000 : 40_000_000;
const EVERY = 1000;

test.each([
  ['a JSON array', ['parse_json'], () => asArray(BYTES), 'ok == true || ok == false'],
  [
    'CSV',
    ['parse_csv', { types: { seq: 'int', amount: 'float' } }],
    () => asRows(BYTES),
    'amount >= 0 && note.startsWith("said")',
  ],
] as const)(
  '%s from a pipe needs no more memory than a little, whatever its size',
  async (what, parse, pieces, where) => {
    const cwd = folder({
      'oxiflow.yaml': 'project:\n  name: city\n',
      'pipelines/events.yaml': pipelineOf([
        ['read_stdin'],
        parse,
        ['filter', { where }],
        ['sample', { every: EVERY }],
        ['write_file', { path: 'sample.ndjson' }],
      ]),
    });
    const began = performance.now();
    const { code, stderr, peakMb } = await bounded(['run', 'events', '--summary', 'summary.json'], {
      cwd,
      pieces: pieces(),
      longestMs: 60_000 + BYTES / 2000,
    });
    const seconds = (performance.now() - began) / 1000;
    expect(code, stderr).toBe(0);
    const { total } = JSON.parse(readFileSync(join(cwd, 'summary.json'), 'utf8')).counters;
    expect(total.added).toBeGreaterThan(BYTES / 1000);
    expect(total.out).toBe(Math.ceil(total.added / EVERY));
    process.stdout.write(
      `${what}: ${BYTES / 1e6} MB, ${total.added} records in ${seconds.toFixed(1)} s, peak ${peakMb.toFixed(0)} MB\n`,
    );
    expect(peakMb).toBeGreaterThan(20);
    expect(peakMb).toBeLessThan(200);
  },
  90_000 + BYTES / 2000,
);
