/** Looking at records as they leave a step: every kind of step, and nothing is left behind. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { folder, oxiflow, pipelineOf, shell, snapshot } from './program.ts';

const SHOP = `
pipeline:
  - name: read_file
    config: { path: orders.ndjson }
  - name: parse_json
  - name: filter
    config: { where: total > 5 }
  - name: tee
    config:
      steps:
        - { name: map, id: short, config: { select: [id] } }
        - { name: write_file, id: ids, config: { path: out/ids.ndjson } }
  - name: batch
    config: { batch_size: 2, emit: array }
  - name: format_json
    config: { pretty: true, framing: array }
  - { name: write_file, config: { path: out/orders.json } }
`;
const ORDERS = [3, 10, 20, 30].map((total, i) => `{"id":${i + 1},"total":${total}.0}\n`).join('');

async function previewed(args: readonly string[], files: Record<string, string> = {}, input?: string) {
  const cwd = folder({
    'oxiflow.yaml': 'project:\n  name: shop\n',
    'orders.ndjson': ORDERS,
    'pipelines/shop.yaml': SHOP,
    ...files,
  });
  const before = snapshot(cwd);
  const ended = await oxiflow(['preview', 'shop', ...args], { cwd, input });
  expect(snapshot(cwd)).toEqual(before);
  expect(existsSync(join(cwd, '.oxiflow'))).toBe(false);
  return ended;
}

const [one, two, three, four] = ORDERS.trimEnd().split('\n');

describe('the records of a step', () => {
  test.concurrent.each<[string, string[], string[]]>([
    ['a source: its lines', ['--step', 'read_file'], [one, two, three, four].map((line) => JSON.stringify(line))],
    ['a parser', ['--step', 'parse_json', '--limit', '2'], [`${one}`, `${two}`]],
    ['a step that leaves records out', ['--step', 'filter'], [`${two}`, `${three}`, `${four}`]],
    ['a step within a tee', ['--step', 'short'], ['{"id":2}', '{"id":3}', '{"id":4}']],
    ['the tee', ['--step', 'tee', '--limit', '1'], [`${two}`]],
    ['a batch: arrays', ['--step', 'batch'], [`[${two},${three}]`, `[${four}]`]],
    ['a formatter: its records', ['--step', 'format_json', '--limit', '1'], [`[${two},${three}]`]],
    ['the last one, where none is named', ['--limit', '1'], [`[${two},${three}]`]],
  ])('%s', async (_what, args, lines) => {
    const { code, stdout, stderr } = await previewed(args);
    expect({ code, stdout, stderr }).toEqual({
      code: 0,
      stdout: lines.map((line) => `${line}\n`).join(''),
      stderr: '',
    });
  });

  test.concurrent('none where none comes so far: the input is read to its end', async () => {
    const { code, stdout } = await previewed(['--set', 'filter.where=total > 99', '--json']);
    expect({ code, document: JSON.parse(stdout) }).toEqual({
      code: 0,
      document: { pipeline: 'shop', step: 'batch', records: [], errors: [], bad: 0, complete: true },
    });
  });
});

test('a step that is not there gets the nearest one', async () => {
  expect(await previewed(['--step', 'filtr'])).toMatchObject({
    code: 2,
    stderr: 'preview: --step: no step "filtr"; did you mean "filter"?\n',
  });
});

test('bad records are told with their place, the others shown; a run would stop at them', async () => {
  const orders = '{"id":1,"total":"x"}\n{"id":2,\n{"id":3,"total":9}\n';
  const { code, stdout, stderr } = await previewed(['--step', 'filter'], { 'orders.ndjson': orders });
  expect({ code, stdout }).toEqual({ code: 3, stdout: '{"id":3,"total":9}\n' });
  expect(stderr.split('\n')).toEqual([
    expect.stringMatching(/^orders.ndjson: record at byte (0: step "filter"|21: step "parse_json"): /),
    expect.stringMatching(/^orders.ndjson: record at byte (0: step "filter"|21: step "parse_json"): /),
    'a run would stop at the first of these bad records: "on_error" of the step decides',
    '',
  ]);
  const dropped = SHOP.replace('where: total > 5 }', 'where: total > 5 }\n    on_error: drop');
  const files = { 'orders.ndjson': '{"total":"x"}\n{"total":9}\n', 'pipelines/shop.yaml': dropped };
  expect(await previewed(['--step', 'filter'], files)).toMatchObject({ code: 0, stdout: '{"total":9}\n' });
});

test('enough is enough: an input without an end is not read on, and a slow step gets little of it', async () => {
  const input = '{"n":1}\n'.repeat(200_000);
  const count =
    'let n = 0; require("readline").createInterface({ input: process.stdin }).on("line", (l) => { n++; console.log(l.replace("1", String(n))); }).on("close", () => require("fs").writeFileSync(process.env.COUNT, String(n)))';
  const pipeline = pipelineOf([
    ['read_file', { path: 'orders.ndjson' }],
    ['parse_json'],
    ['exec', { command: [process.execPath, '-e', count], env: { COUNT: '/dev/null' } }],
    ['write_stdout'],
  ]);
  const files = { 'orders.ndjson': input, 'pipelines/shop.yaml': pipeline };
  const { code, stdout, stderr } = await previewed(['--limit', '3'], files);
  expect({ code, stdout, stderr }).toEqual({
    code: 0,
    stdout: '{"n":1}\n{"n":2}\n{"n":3}\n',
    stderr: '"exec" runs its program for this: what that does elsewhere is done\n',
  });
});

test('what an earlier part has left is found out first, and that part writes nothing', async () => {
  const later = `${SHOP}
  - { name: read_file, id: again, config: { path: orders.ndjson } }
  - { name: parse_json, id: parse_again }
  - { name: map, id: counted, config: { set: { batches: "\${steps.write_file.records}" } } }
  - { name: write_stdout }
`;
  const { code, stdout, stderr } = await previewed(['--limit', '1'], { 'pipelines/shop.yaml': later });
  expect({ code, stdout, stderr }).toEqual({
    code: 0,
    stdout: '{"id":1,"total":3.0,"batches":2}\n',
    stderr: 'what the part before it has left is needed: that runs to its end first\n',
  });
  expect((await previewed(['--step', 'parse_again', '--limit', '1'], { 'pipelines/shop.yaml': later })).stderr).toBe(
    '',
  );
});

test('a pipeline that is wrong behind the step is wrong', async () => {
  const { code, stderr } = await previewed(['--step', 'filter'], {
    'pipelines/shop.yaml': SHOP.replace('emit: array', 'emit: aray'),
  });
  expect({ code, stderr }).toMatchObject({ code: 2, stderr: expect.stringContaining('did you mean "array"') });
});

test.runIf(process.platform === 'linux')('a closed standard output is refused', async () => {
  const { code, stderr } = await shell('oxiflow preview shop >&-', { cwd: folder({ 'pipelines/shop.yaml': SHOP }) });
  expect({ code, stderr }).toMatchObject({ code: 2, stderr: expect.stringMatching(/^standard output is closed/) });
});

test('all mistakes are told, as there is no -v', async () => {
  const wrong = SHOP.replace('parse_json', 'parse_jsn').replace('where:', 'wher:');
  const { stderr } = await oxiflow(['preview', 'shop'], { cwd: folder({ 'pipelines/shop.yaml': wrong }) });
  expect(stderr).toContain('"parse_jsn"');
  expect(stderr).toContain('"wher"');
  expect(stderr).not.toContain('-v');
});
