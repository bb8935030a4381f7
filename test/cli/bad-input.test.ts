/**
 * Whatever a user does wrong: one sentence on stderr, the right exit code, nothing half-written, and no obstacle for the next run.
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { attempt, projectOf, withoutTimes } from './attempt.ts';
import { type BadCase, GOOD_OUTPUT, GOOD_PROJECT } from './cases/case.ts';
import { commandCases } from './cases/command-line.ts';
import { fileCases } from './cases/files.ts';
import { planCases } from './cases/plan.ts';
import { dataCases } from './cases/records.ts';
import { yamlCases } from './cases/yaml.ts';
import { folder, jsonLines, oxiflow, put, snapshot } from './program.ts';

/** Exit codes of runs that began, or looked at the files of the project's user: their state folder may be there. */
const MAY_HAVE_STATE: readonly number[] = [1, 3, 126];

describe('on the command line', () => {
  test.concurrent.each(commandCases)('$title', wrong);
});
describe('in a YAML file', () => {
  test.concurrent.each(yamlCases)('$title', wrong);
});
describe('in how steps follow each other', () => {
  test.concurrent.each(planCases)('$title', wrong);
});
describe('in files', () => {
  test.concurrent.each(fileCases)('$title', wrong);
});
describe('in records', () => {
  test.concurrent.each(dataCases)('$title', wrong);
});

async function wrong(it: BadCase): Promise<void> {
  const root = projectOf(it);
  const before = snapshot(root);
  const { code, stdout, stderr } = await attempt(it, root);
  expect({ code, message: withoutTimes(stderr, root) }).toEqual({ code: it.code, message: it.message });
  expect(stdout).toBe('');
  expect(snapshot(root)).toEqual(before);
  if (!existsSync(join(root, '.oxiflow'))) return;
  expect(leftInState(root, it.code)).toEqual([]);
  await mended(root);
}

/** A run that was refused may have looked into the state, and left nothing there that is a run's. */
function leftInState(root: string, code: number): string[] {
  if (MAY_HAVE_STATE.includes(code)) return [];
  return readdirSync(join(root, '.oxiflow')).filter((name) => !name.startsWith('state.db'));
}

/** The user mends the mistake, and the same command works. */
async function mended(root: string): Promise<void> {
  put(root, GOOD_PROJECT);
  const { code, stderr } = await oxiflow(['run', 'orders', '-q'], { cwd: root });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(snapshot(root)['output/large.ndjson']).toBe(GOOD_OUTPUT);
  expect(readdirSync(join(root, 'output'))).toEqual(['large.ndjson']);
}

test('a bad record that may be dropped costs that record, and is counted', async () => {
  const root = folder({
    ...GOOD_PROJECT,
    'pipelines/orders.yaml': (GOOD_PROJECT['pipelines/orders.yaml'] ?? '').replace(
      'name: parse_json',
      'name: parse_json\n    on_error: drop',
    ),
    'input/orders.ndjson': `{"order":0,"tot\n${GOOD_PROJECT['input/orders.ndjson']}`,
  });
  const { code, stdout, stderr } = await oxiflow(['run', 'orders', '-q', '--json'], { cwd: root });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(snapshot(root)['output/large.ndjson']).toBe(GOOD_OUTPUT);
  expect(jsonLines(stdout)[0]).toMatchObject({ counters: { total: { added: 4, dropped: 1, filtered: 1, out: 2 } } });
});

test('what was dropped is said in a sentence', async () => {
  const root = folder({
    ...GOOD_PROJECT,
    'pipelines/orders.yaml': (GOOD_PROJECT['pipelines/orders.yaml'] ?? '').replace(
      'name: parse_json',
      'name: parse_json\n    on_error: drop',
    ),
    'input/orders.ndjson': `${GOOD_PROJECT['input/orders.ndjson']}{"order":\n`,
  });
  const { stderr } = await oxiflow(['run', 'orders'], { cwd: root });
  expect(withoutTimes(stderr, root)).toContain(
    'warning: input/orders.ndjson: record at byte 70: step "parse_json": a value is missing (byte 79)',
  );
});

test('a Node that is too old is refused in one line', async () => {
  const old = 'Object.defineProperty(process, "versions", { value: { ...process.versions, node: "20.19.5" } })';
  const nodeOptions = ['--import', `data:text/javascript,${encodeURIComponent(old)}`];
  const root = folder(GOOD_PROJECT);
  const { code, stdout, stderr } = await oxiflow(['run', 'orders'], { cwd: root, nodeOptions });
  expect({ code, stdout, stderr }).toEqual({
    code: 2,
    stdout: '',
    stderr:
      'oxiflow needs Node 22.18 or newer and this is 20.19.5; in a checkout, npx oxiflow uses the one that npm ci installed\n',
  });
});
