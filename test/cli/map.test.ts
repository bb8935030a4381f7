/** Trying an expression: what it gives for each record, and how it is told what it can't do. */
import { expect, test } from 'vitest';
import { folder, oxiflow, shell } from './program.ts';

const ORDERS = '{"order":1,"total":12.50}\n{"order":2}\n{"order":3,"total":"many"}\n{"order":4,"total":1.0}\n';

const tried = (args: readonly string[], input = ORDERS, files = {}) =>
  oxiflow(['map', ...args], { cwd: folder(files), input });

test('its value is a line for each record, and a record that it fails at is told with its number', async () => {
  const { code, stdout, stderr } = await tried(['total * 2']);
  expect({ code, stdout }).toEqual({ code: 3, stdout: '25\n2\n' });
  expect(stderr.split('\n')).toEqual([
    'record 2: the field "total" is not in this record; guard it with has(total) or default(total, ...)',
    'record 3: "total" is text, "*" needs a number on both sides; double(...) reads one from text',
    '',
  ]);
});

test('values of every kind are JSON', async () => {
  const { code, stdout } = await tried(
    ['[order, {"at": now()}, null, "é"]', '--now', '2026-07-31T10:00:00Z'],
    '{"order":1}',
  );
  expect({ code, stdout }).toEqual({ code: 0, stdout: '[1,{"at":"2026-07-31T10:00:00Z"},null,"é"]\n' });
});

test('--where prints the records for which it is true, as they are', async () => {
  const { code, stdout, stderr } = await tried(['has(total)', '--where']);
  expect({ code, stdout, stderr }).toEqual({
    code: 0,
    stdout: '{"order":1,"total":12.50}\n{"order":3,"total":"many"}\n{"order":4,"total":1.0}\n',
    stderr: '',
  });
  expect(await tried(['order', '--where'], '{"order":1}')).toMatchObject({
    code: 3,
    stdout: '',
    stderr: 'record 1: the expression must be true or false for every record\n',
  });
});

test('records may stand in an array, in a document, or in a file', async () => {
  expect((await tried(['a'], '\ufeff[ {"a": 1},\n {"a": 2} ]')).stdout).toBe('1\n2\n');
  expect((await tried(['true', '--where'], '{\n  "a": 1.50\n}\n')).stdout).toBe('{"a":1.50}\n');
  const files = { 'orders.ndjson': ORDERS };
  expect(
    (await tried(['order + params.more', '--param', 'more=10', '--file', 'orders.ndjson'], '', files)).stdout,
  ).toBe('11\n12\n13\n14\n');
  expect(await tried(['a', '--file', 'none.ndjson'], '')).toMatchObject({ code: 1, stdout: '' });
});

test('a line that is no JSON is a bad record, and reading goes on; a broken array ends it', async () => {
  expect(await tried(['a'], '{"a":1}\n{"a":\n{"a":3}\n')).toMatchObject({
    code: 3,
    stdout: '1\n3\n',
    stderr: expect.stringMatching(/^record 2: [^\n]+\n$/),
  });
  expect(await tried(['a'], '[{"a":1},')).toMatchObject({ code: 3, stderr: expect.stringContaining('stdin: ') });
});

test('a mistake in it is marked at its place, and nothing is read', async () => {
  const { code, stdout, stderr } = await tried(['total * (1 +']);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toBe(
    'oxiflow map: the expression ends too early: a value is missing\n  total * (1 +\n              ^\n',
  );
  expect((await tried(['lowr(note)'])).stderr).toMatch(/\n {2}lowr\(note\)\n {2}\^\n$/);
  expect(await tried(['now()', '--now', 'today'])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('2026-07-31'),
  });
});

test('no records give nothing', async () => {
  expect(await tried(['total'], '')).toMatchObject({ code: 0, stdout: '', stderr: '' });
});

test('what is wrong with the input is told in words of this verb', async () => {
  expect((await tried(['a', '--file', 'nope'], '')).stderr).toMatch(
    /^oxiflow map: --file nope: no such file .*; correct --file, or put the file there\n$/,
  );
  const { stderr } = await shell('echo {} | gzip | oxiflow map a', { cwd: folder({}) });
  expect(stderr).toBe('stdin: is packed with gzip: unpack it first, or use --file with its ending\n');
});

test.runIf(process.platform === 'linux')('a closed standard output is refused', async () => {
  const { code, stderr } = await shell('echo {} | oxiflow map true >&-', { cwd: folder({}) });
  expect({ code, stderr }).toMatchObject({ code: 2, stderr: expect.stringMatching(/^standard output is closed/) });
});

test('long work is not silent', async () => {
  // The record comes once the sentence is there.
  const { stdout } = await shell(
    `mkfifo gate; { read -r line < gate; echo "{\\"said\\":\\"$line\\"}"; } | oxiflow map said 2> gate`,
    { cwd: folder({}) },
  );
  expect(stdout).toBe('"reading records ..."\n');
});
