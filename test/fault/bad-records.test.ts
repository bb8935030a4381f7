/** What becomes of records that a step can't work on, and of a run that has too many of them. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { folder, jsonLines, oxiflow, pipelineOf, snapshot } from '../cli/program.ts';
import { SEED } from './random.ts';
import { Scene, type Tale, Telling } from './scene.ts';

const COUNT = 2000;
/** Every tenth is bad. */
const RIDES = Array.from({ length: COUNT }, (_, i) => `{"ride":${i},"km":${i % 10 === 4 ? '"far"' : i}}`);
const GOOD = RIDES.flatMap((_, i) => (i % 10 === 4 ? [] : [`{"ride":${i},"km":${2 * i}}\n`])).join('');

function project(onError: string, rest: object = {}): string {
  return folder({
    'oxiflow.yaml': 'project:\n  name: city\n',
    'rides.ndjson': RIDES.map((line) => `${line}\n`).join(''),
    'pipelines/rides.yaml': pipelineOf(
      [
        ['read_file', { path: 'rides.ndjson' }],
        ['parse_json'],
        ['map', { set: { km: 'km * 2' } }, { on_error: onError }],
        ['write_file', { path: 'out/rides.ndjson' }],
      ],
      rest,
    ),
  });
}

const outputs = (cwd: string): string[] =>
  Object.keys(snapshot(join(cwd, 'out'))).filter((name) => !name.startsWith('.'));
const output = (cwd: string): string => readFileSync(join(cwd, 'out/rides.ndjson'), 'utf8');

test('on_error: stop ends the run with exit code 3 and the place of the record; there is no output', async () => {
  const cwd = project('stop');
  const { code, stderr } = await oxiflow(['run', 'rides'], { cwd });
  expect(code, stderr).toBe(3);
  expect(stderr).toContain('error: rides.ndjson: record at byte 72: step "map": set "km": "km" is text');
  expect(outputs(cwd)).toEqual([]);
});

test('on_error: drop leaves the bad ones out and counts them', async () => {
  const cwd = project('drop');
  const { code, stderr } = await oxiflow(['run', 'rides', '--summary', 'summary.json'], { cwd });
  expect(code, stderr).toBe(0);
  expect(output(cwd)).toBe(GOOD);
  const { counters } = JSON.parse(readFileSync(join(cwd, 'summary.json'), 'utf8'));
  expect(counters.total).toMatchObject({ added: COUNT, dropped: COUNT / 10, out: COUNT - COUNT / 10 });
});

test('on_error: dead_letter keeps every bad one as it came in, in order', async () => {
  const cwd = project('dead_letter', { dead_letter: { path: 'out/letters.ndjson' } });
  const { code, stderr } = await oxiflow(['run', 'rides'], { cwd });
  expect(code, stderr).toBe(0);
  expect(output(cwd)).toBe(GOOD);
  const letters = jsonLines(readFileSync(join(cwd, 'out/letters.ndjson'), 'utf8'));
  expect(letters.map(({ record }) => record)).toEqual(RIDES.filter((_, i) => i % 10 === 4));
});

describe('max_errors', () => {
  test.each([
    ['one less than there are', COUNT / 10 - 1, 3, /200 records were bad and "max_errors" allows 199$/m],
    ['as many as there are', COUNT / 10, 0, undefined],
    ['a share below theirs', '9%', 3, /\d+ of \d+ records were bad and "max_errors" allows 9 %$/m],
    ['a share of theirs', '10%', 0, undefined],
  ])('of %s', async (_what, most, expected, sentence) => {
    const cwd = project('drop', { max_errors: most });
    const { code, stderr } = await oxiflow(['run', 'rides'], { cwd });
    expect(code, stderr).toBe(expected);
    expect(outputs(cwd)).toEqual(expected === 0 ? ['rides.ndjson'] : []);
    if (sentence === undefined) expect(output(cwd)).toBe(GOOD);
    else expect(stderr).toMatch(sentence);
  });
});

/** Bad rides come in the second half only: there are checkpoints before the first of them. */
const LATE: Tale = {
  name: 'rides whose second half has bad ones',
  threads: 1,
  input: (_random, bytes) => {
    const count = Math.ceil(bytes / 180);
    const pad = 'x'.repeat(150);
    const line = (i: number): string =>
      `{"ride":${i},"km":${i > count / 2 && i % 50 === 0 ? '"far"' : 1},"pad":"${pad}"}\n`;
    return { 'in/rides.ndjson': Array.from({ length: count }, (_, i) => line(i)).join('') };
  },
  pipeline: {
    pipeline: [
      { name: 'read_file', config: { path: 'in/rides.ndjson' } },
      { name: 'parse_json' },
      { name: 'map', config: { set: { km: 'km * 2' }, drop: ['pad'] }, on_error: 'dead_letter' },
      { name: 'write_file', config: { path: 'out/rides.ndjson' } },
    ],
    dead_letter: { path: 'out/letters.ndjson', max_records: 1_000_000 },
  },
  outcome: (input) => {
    const made: string[] = [];
    const letters = [];
    let offset = 0;
    for (const record of (input['in/rides.ndjson'] ?? '').split('\n').slice(0, -1)) {
      const { ride, km } = JSON.parse(record);
      if (typeof km === 'number') made.push(`{"ride":${ride},"km":${2 * km}}\n`);
      else letters.push({ step: 'map', code: 'VALUE', file: 'in/rides.ndjson', offset, record });
      offset += record.length + 1;
    }
    return { files: { 'rides.ndjson': made.join('') }, letters };
  },
};

test('dead letters that are full: exit 3; with more room the next attempt goes on, and none is there twice', async () => {
  const telling = new Telling(LATE, SEED, 6_000_000);
  const scene = new Scene(telling, { backend: 'sqlite', softMs: 0 });
  const file = join(scene.root, 'pipelines/tale.yaml');
  const whole = readFileSync(file, 'utf8');
  writeFileSync(file, whole.replace('1000000', '100'));
  const full = await scene.attempt().ended;
  expect(full.code, full.stderr).toBe(3);
  expect(full.stderr).toMatch(/out\/letters\.ndjson holds 100 dead letters and is full \("max_records"\)/);
  expect(scene.summary()).toMatchObject({ status: 'failed', error: { code: 'DEAD_LETTERS_FULL' } });
  writeFileSync(file, whole);
  const resumed = await scene.attempt().ended;
  expect(resumed.resumedFrom?.records, resumed.stderr).toBeGreaterThan(0);
  await scene.expectDone(resumed, 'more room');
  scene.remove();
});

test('a thread that dies is replaced where retry_attempts allows it, and the output is that of a run without it', async () => {
  const { pipeline, ...rest } = LATE.pipeline as { pipeline: { name: string }[] };
  const steps = pipeline.map((step) => (step.name === 'map' ? { ...step, retry_attempts: 40 } : step));
  const telling = new Telling({ ...LATE, threads: 2, pipeline: { ...rest, pipeline: steps } }, SEED, 48_000_000);
  const scene = new Scene(telling, { backend: 'sqlite', softMs: 0 });
  // On the kernel the main thread could be done with most of it before the others are there.
  const mended = await scene.attempt([], { env: { OXIFLOW_TIER: 'values', OXIFLOW_THREAD_EXIT_AT: '2' } }).ended;
  await scene.expectDone(mended, 'threads died');
  expect(mended.stderr).toMatch(/a thread .* died/);
  scene.remove();
});
