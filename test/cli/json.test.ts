/** Whatever a verb reports, `--json` reports as one document on standard output, and a failure is the same sentence on stderr. */
import { describe, expect, test } from 'vitest';
import { GOOD_PROJECT } from './cases/case.ts';
import { folder, oxiflow } from './program.ts';

/** Verbs that report, with words that let them succeed once a run has ended. */
const REPORTS = [
  'run orders -q',
  'run orders --dry-run',
  'preview orders',
  'pipeline list',
  'pipeline test',
  'pipeline info orders',
  'state list',
  'state list --active',
  'state show orders',
  'state show --run-key orders',
  'state list --failed',
  'state list --completed',
  'state repair --run-key orders',
  'state cleanup --stale',
  'state cleanup --stale --older-than 7d --dry-run',
  'state unlock --run-key orders',
  'state export',
  'state export --run-key orders --output export.json',
  'state backup',
  'state backup --output backup.json',
  'state import saved.json --replace',
  'state import saved.json --dry-run',
  'state restore saved.json --replace',
  'state check',
  'state check --run-key orders',
  'worker list',
  'worker list --pipeline orders --run-key orders',
  'status --run-key orders',
  'cancel --run-key orders',
  'pause --run-key orders',
  'resume --run-key orders',
  'history',
  'history orders',
  'doctor',
  'version',
];

/** What they can't find, and the exit code of that. */
const MISSES: readonly [string, number][] = [
  ['run ordres', 125],
  ['pipeline info ordres', 125],
  ['state show ordres', 2],
  ['status --run-key ordres', 2],
  ['cancel --run-key ordres', 2],
  ['pause --run-key ordres', 2],
  ['resume --run-key ordres', 2],
  ['state unlock --run-key ordres', 2],
  ['state export --run-key ordres', 2],
  ['state check --run-key ordres', 2],
  ['state cleanup', 2],
  ['state import saved.json', 2],
  ['state restore saved.json', 2],
  ['state import nowhere.json', 1],
  ['state import pipelines/orders.yaml', 2],
  ['worker show till', 2],
  ['worker stop till', 2],
  ['history ordres', 125],
  ['history --project nowhere', 2],
  ['doctor --project nowhere', 2],
  ['doctor --state-backend sqlight', 2],
  ['state list --state-backend redis', 2],
];

async function ended(words: string): Promise<string> {
  const cwd = folder(GOOD_PROJECT);
  await oxiflow(['run', 'orders', '-q'], { cwd });
  if (words.includes('saved.json')) await oxiflow(['state', 'export', '--output', 'saved.json'], { cwd });
  return cwd;
}

describe('--json', () => {
  test.concurrent.each(REPORTS)('of %s is one document on one line, and nothing else is said', async (words) => {
    const { code, stdout, stderr } = await oxiflow([...words.split(' '), '--json'], { cwd: await ended(words) });
    // What takes longer than two seconds, as all does on a busy machine, says so.
    expect({ code, stderr: stderr.replaceAll(/^.* \.\.\.\n/gm, '') }).toEqual({ code: 0, stderr: '' });
    expect(stdout.endsWith('\n')).toBe(true);
    expect(stdout.trimEnd()).not.toContain('\n');
    expect(typeof JSON.parse(stdout)).toBe('object');
  });
  test.concurrent.each(MISSES)('of %s leaves stdout empty, and is one sentence on stderr', async (words, exit) => {
    const { code, stdout, stderr } = await oxiflow([...words.split(' '), '--json'], { cwd: await ended(words) });
    expect({ code, stdout }).toEqual({ code: exit, stdout: '' });
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
    expect(stderr).not.toMatch(/^\{|\n {4}at /);
  });
  test.concurrent('every verb that reports knows the option', async () => {
    const cwd = folder({});
    const verbs = [
      ...new Set(REPORTS.map((words) => words.replace(/ (orders|saved|-.*)( .*)?$/, '').replace(/ saved.*/, ''))),
    ];
    expect(verbs).toContain('history');
    for (const verb of verbs)
      expect((await oxiflow([...verb.split(' '), '--help'], { cwd })).stdout).toMatch(/^ {2}--json +print/m);
  });
});

test('who reads the log as JSON reads what was wrong with the start there, and no plain line', async () => {
  const cwd = folder(GOOD_PROJECT);
  const { code, stdout, stderr } = await oxiflow(['run', 'ordres', '--log-format', 'json'], { cwd });
  expect({ code, stdout }).toEqual({ code: 125, stdout: '' });
  expect(JSON.parse(stderr)).toMatchObject({ level: 'error', code: 'NO_PIPELINE' });
  const word = await oxiflow(['json'], { cwd });
  expect(word.stderr).toMatch(/^oxiflow: unknown verb "json"/);
});
