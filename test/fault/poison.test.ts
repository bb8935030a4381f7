/** Records that are meant to hurt: each is one record error, the others come out, and the memory stays flat. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, test, vi } from 'vitest';
import { folder, jsonLines, oxiflow, pipelineOf } from '../cli/program.ts';
import { bounded, megabytes } from './bounded.ts';
import { SOAK } from './random.ts';

vi.setConfig({ testTimeout: 130_000 });
const LETTERS = { dead_letter: { path: 'letters.ndjson', max_records: 10 } };
const GIVE_UP = { on_error: 'dead_letter' };
/** What a run over a few records takes is about 70 MB; the largest record that is held, 64 MB, comes to it. */
const LIMIT_MB = 300;

function project(steps: Parameters<typeof pipelineOf>[0], files: Record<string, string | Uint8Array> = {}): string {
  return folder({
    'oxiflow.yaml': 'project:\n  name: city\n',
    'pipelines/rides.yaml': pipelineOf(steps, LETTERS),
    ...files,
  });
}

const lettersOf = (cwd: string): Record<string, unknown>[] =>
  jsonLines(readFileSync(join(cwd, 'letters.ndjson'), 'utf8'));
const outputOf = (cwd: string): string => readFileSync(join(cwd, 'out'), 'utf8');
const WRITE = ['write_file', { path: 'out' }] as const;
const PARSE = ['parse_json', { framing: 'lines' }, GIVE_UP] as const;

describe('a record among 500 that a query', () => {
  const RIDES = Array.from({ length: 500 }, (_, ride) => `{"ride":${ride}}\n`);
  const others = RIDES.filter((_, ride) => ride !== 321).join('');

  test.each([
    ['loops over for ever', 'def f: f; f', 'TIMEOUT', /^it took longer than 700 ms/],
    ['makes endless values of', '[range(infinite)]', 'TIMEOUT', /^it took longer than 700 ms/],
    ['throws at', 'error("no such ride")', 'VALUE', /^jq says: no such ride/],
  ])('%s is a dead letter, and the others come out', async (_what, query, code, reason) => {
    const cwd = project(
      [
        ['read_file', { path: 'rides.ndjson' }],
        PARSE,
        [
          'json',
          { query: `if .ride == 321 then ${query} else . end` },
          { ...GIVE_UP, limits: { max_processing_time_ms: 700 } },
        ],
        WRITE,
      ],
      { 'rides.ndjson': RIDES.join('') },
    );
    const { code: exit, stderr } = await oxiflow(['run', 'rides'], { cwd });
    expect(exit, stderr).toBe(0);
    expect(outputOf(cwd)).toBe(others);
    expect(lettersOf(cwd)).toEqual([
      expect.objectContaining({ step: 'json', code, record: '{"ride":321}', reason: expect.stringMatching(reason) }),
    ]);
  });
});

describe('from a pipe, between two good ones,', () => {
  const MEGABYTES = SOAK > 0 ? 1000 : 300;
  function* between(before: string, ...middle: Iterable<Uint8Array | string>[]): Generator<Uint8Array | string> {
    yield before;
    for (const part of middle) yield* part;
  }

  test.each([
    ['a record of 100 MB', () => between('{"a":1}\n{"a":"', megabytes(100, 'y'), ['"}\n{"a":2}\n']), 'TOO_LARGE', 8],
    [
      `a line of ${MEGABYTES} MB`,
      () => between('{"a":1}\n', megabytes(MEGABYTES, 'x'), ['\n{"a":2}\n']),
      'TOO_LARGE',
      8,
    ],
    [
      'a record that nests 100,000 deep',
      () => between('{"a":1}\n', ['['.repeat(100_000), ']'.repeat(100_000)], ['\n{"a":2}\n']),
      'GRAMMAR',
      8,
    ],
    ['invalid UTF-8', () => between('{"a":1}\n{"a":"', [Buffer.from([0xc3, 0x28])], ['"}\n{"a":2}\n']), 'ENCODING', 8],
  ])('%s is one record error, and memory stays flat', async (_what, pieces, code, offset) => {
    const cwd = project([['read_stdin'], PARSE, WRITE]);
    const { code: exit, stderr, peakMb } = await bounded(['run', 'rides'], { cwd, pieces: pieces() });
    expect(exit, stderr).toBe(0);
    expect(outputOf(cwd)).toBe('{"a":1}\n{"a":2}\n');
    expect(lettersOf(cwd)).toEqual([expect.objectContaining({ step: 'parse_json', code, file: 'stdin', offset })]);
    expect(peakMb).toBeGreaterThan(20);
    expect(peakMb).toBeLessThan(LIMIT_MB);
  });

  test.each([
    [`a row of ${MEGABYTES} MB`, () => between('a,b\n1,2\n', megabytes(MEGABYTES, 'x'), ['\n3,4\n']), 'TOO_LARGE'],
    ['invalid UTF-8 in CSV', () => between('a,b\n1,2\n', [Buffer.from([0x35, 0x2c, 0xff])], ['\n3,4\n']), 'ENCODING'],
  ])('%s is one record error, and memory stays flat', async (_what, pieces, code) => {
    const cwd = project([['read_stdin'], ['parse_csv', {}, GIVE_UP], ['format_csv'], WRITE]);
    const { code: exit, stderr, peakMb } = await bounded(['run', 'rides'], { cwd, pieces: pieces() });
    expect(exit, stderr).toBe(0);
    expect(outputOf(cwd)).toBe('a,b\n1,2\n3,4\n');
    expect(lettersOf(cwd)).toEqual([expect.objectContaining({ step: 'parse_csv', code, file: 'stdin', offset: 8 })]);
    expect(peakMb).toBeLessThan(LIMIT_MB);
  });

  test('what comes on standard input is let go: 200 MB of short lines need no more than a few', async () => {
    const cwd = project([['read_stdin'], PARSE, ['sample', { every: 100_000 }], WRITE]);
    const { code, stderr, peakMb } = await bounded(['run', 'rides'], {
      cwd,
      pieces: megabytes(200, `{"ride":1,"note":"${'x'.repeat(179)}"}\n`),
    });
    expect(code, stderr).toBe(0);
    expect(outputOf(cwd).split('\n').length - 1).toBe(10);
    expect(peakMb).toBeLessThan(200);
  });
});

test.each([
  ['lines', `{"ride":1}${' '.repeat(989)}\n`],
  ['white space without an end', ' '.repeat(1000)],
])(
  'a small file that unpacks to 300 MB of %s ends the run with exit code 3, and memory stays flat',
  async (_what, text) => {
    const member = gzipSync(text.repeat(30_000), { level: 9 });
    const bomb = Buffer.concat(Array<Buffer>(10).fill(member));
    const cwd = project([['read_file', { path: 'rides.ndjson.gz' }], ['parse_json'], WRITE], {
      'rides.ndjson.gz': bomb,
    });
    const { code, stderr, peakMb } = await bounded(['run', 'rides'], { cwd });
    expect(code, stderr).toBe(3);
    expect(stderr).toMatch(/rides\.ndjson\.gz: .* this looks like an attack\. Raise "max_expansion" on the source/);
    expect(peakMb).toBeGreaterThan(20);
    expect(peakMb).toBeLessThan(LIMIT_MB);
  },
);
