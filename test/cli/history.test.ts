/** `oxiflow history`: every attempt that has ended, with its figures, as a table that fits a terminal and as JSON. */
import { describe, expect, test } from 'vitest';
import { GOOD_PROJECT } from './cases/case.ts';
import { folder, oxiflow, put } from './program.ts';

async function shop(backend: string): Promise<string> {
  const cwd = folder({ ...GOOD_PROJECT, 'input/orders.ndjson': '{"order":1}\n' });
  const on = ['--state-backend', backend, '-q'];
  await oxiflow(['run', 'orders', ...on], { cwd });
  put(cwd, GOOD_PROJECT);
  await oxiflow(['run', 'orders', ...on], { cwd });
  await oxiflow(['run', 'orders', ...on, '--run-key', 'a-run-key-that-is-long-enough-to-be-cut-somewhere'], { cwd });
  return cwd;
}

describe.each(['sqlite', 'file'])('history in %s', (backend) => {
  test.concurrent('has every attempt, failed ones too, the newest first', async () => {
    const cwd = await shop(backend);
    const on = ['--state-backend', backend];
    const { code, stdout } = await oxiflow(['history', 'orders', '--json', ...on], { cwd });
    expect(code).toBe(0);
    const { runs } = JSON.parse(stdout);
    expect(runs.map(({ status }: { status: string }) => status)).toEqual(['succeeded', 'succeeded', 'failed']);
    expect(runs[1]).toMatchObject({
      run_key: 'orders',
      pipeline: 'orders',
      attempt: expect.any(Number),
      exit_code: 0,
      records_in: 3,
      records_out: 2,
      errors: 0,
      records_per_s: expect.any(Number),
    });
    expect(Date.parse(runs[1].started_at)).toBeLessThanOrEqual(Date.parse(runs[1].finished_at));
    expect(runs[2]).toMatchObject({
      exit_code: 3,
      records_in: 1,
      records_out: 0,
      errors: 1,
      error: { code: 'RECORD_INVALID' },
    });
    const limited = await oxiflow(['history', '--limit', '1', '--json', ...on], { cwd });
    expect(JSON.parse(limited.stdout).runs).toHaveLength(1);
    const keyed = await oxiflow(['history', '--run-key', 'orders', '--json', ...on], { cwd });
    expect(JSON.parse(keyed.stdout).runs).toHaveLength(2);
  });
});

test('history is a table that fits into 80 columns, with names cut before numbers', async () => {
  const { code, stdout, stderr } = await oxiflow(['history'], { cwd: await shop('sqlite') });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const lines = stdout.trimEnd().split('\n');
  expect(lines).toHaveLength(4);
  expect(lines[0]).toMatch(/^ {2}run +ended +how +took +in +out +errors +rec\/s +try$/);
  expect(lines[1]).toMatch(/^ {2}a-run-key\S*… +20\d\d-\d\d-\d\d \d\d:\d\d +done +\d+\.\d s +3 +2 +- /);
  expect(lines[3]).toMatch(/^ {2}orders +20\S+ \S+ +failed +\d+\.\d s +1 +0 /);
  for (const line of lines) expect(line.length).toBeLessThanOrEqual(80);
});

test('history of a pipeline that has not run says so and succeeds; of none, it names the nearest', async () => {
  const cwd = folder(GOOD_PROJECT);
  const none = await oxiflow(['history', 'orders'], { cwd });
  expect({ code: none.code, stdout: none.stdout, stderr: none.stderr }).toEqual({
    code: 0,
    stdout: '',
    stderr: `no run of "orders" has ended yet in ${cwd}/.oxiflow/state.db\n`,
  });
  const empty = await oxiflow(['history', '--json'], { cwd });
  expect(JSON.parse(empty.stdout)).toMatchObject({ backend: 'sqlite', runs: [] });
  const typo = await oxiflow(['history', 'ordres'], { cwd });
  expect(typo.code).toBe(125);
  expect(typo.stderr).toBe('history: no pipeline "ordres"; did you mean "orders"?\n');
});
