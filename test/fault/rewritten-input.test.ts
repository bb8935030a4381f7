/** What another program does to the input while a run reads it: nobody gets half of one text and half of another. */
import { appendFileSync, readFileSync, renameSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { ridesProject, startBlocked } from '../cli/blocked.ts';
import { folder, oxiflow, pipelineOf, snapshot } from '../cli/program.ts';

const input = (root: string): string => join(root, 'input/rides.ndjson');
const outputs = (root: string): Record<string, string> => snapshot(join(root, 'output'));
const AGAIN = 'Nothing of it is published; start again when it is whole, and it is read from its beginning';

/** A run that has begun to read stands still while `change` is made, and then goes on to its end. */
async function during(change: (root: string, rides: string) => void, args: readonly string[] = []) {
  const { root, rides } = ridesProject();
  const blocked = startBlocked(root, args);
  await blocked.working();
  change(root, rides);
  return { root, rides, ended: await blocked.read() };
}

describe('an input that is rewritten while it is read ends the run with one sentence, and nothing is published', () => {
  test.each<[string, string, (root: string, rides: string) => void, string]>([
    [
      'cut off',
      '1',
      (root) => truncateSync(input(root), 5000),
      'it had 10688890 bytes and has 5000 now: another program wrote it anew or cut it off, while it was read',
    ],
    [
      'written anew in place, with as many bytes',
      '1',
      (root, rides) => writeFileSync(input(root), rides.replaceAll('Harbour', 'Station')),
      'another program wrote to it, while it was read',
    ],
    [
      'written anew in place, with more bytes, on two threads',
      '2',
      (root, rides) => writeFileSync(input(root), rides.replaceAll('Harbour', 'Old Harbour')),
      'another program wrote to it, while it was read',
    ],
    [
      'written anew with what is no JSON: it is not the record that is told of',
      '2',
      (root, rides) => writeFileSync(input(root), rides.replaceAll('"', "'")),
      'another program wrote to it, while it was read',
    ],
  ])('%s', async (_what, threads, change, says) => {
    const { root, rides, ended } = await during(change, ['--threads', threads]);
    expect(ended.code, ended.stderr).toBe(1);
    expect(ended.stderr).toContain(`error: input/rides.ndjson: ${says}. ${AGAIN}\n`);
    expect(outputs(root)).toEqual({});
    // The next attempt is of the file as it is then, from its first byte.
    writeFileSync(input(root), rides);
    const again = await oxiflow(['run', 'rides'], { cwd: root });
    expect(again.code, again.stderr).toBe(0);
    expect(outputs(root)['rides.ndjson'] === rides).toBe(true);
  });
});

test('a file that grows while it is read is read to its end, and that is said', async () => {
  const more = '{"ride":-1,"from":"Hill","to":"Harbour","km":4.2}\n';
  const { root, rides, ended } = await during((at) => appendFileSync(input(at), more));
  expect(ended.code, ended.stderr).toBe(0);
  expect(ended.stderr).toMatch(
    /input\/rides\.ndjson grew from \d+ to \d+ bytes while it was read: it was read to byte \d+/,
  );
  expect(outputs(root)['rides.ndjson'] === rides + more).toBe(true);
});

test('a file that another takes the place of is read to its end as it was, and nobody goes on in the other', async () => {
  const replace = (root: string, rides: string): void => {
    writeFileSync(join(root, 'input/new'), rides.replaceAll('Harbour', 'Station'));
    renameSync(join(root, 'input/new'), input(root));
  };
  const { root, rides, ended } = await during(replace);
  expect(ended.code, ended.stderr).toBe(0);
  expect(outputs(root)['rides.ndjson'] === rides).toBe(true);
  expect(ended.stderr).not.toContain('rides.ndjson grew');

  // What is saved is of the file that was read, not of the one that has its name by then.
  const stopped = ridesProject();
  const blocked = startBlocked(stopped.root);
  await blocked.working();
  replace(stopped.root, stopped.rides);
  blocked.kill('SIGTERM');
  expect((await blocked.read()).code).toBe(143);
  const resumed = await oxiflow(['run', 'rides'], { cwd: stopped.root });
  expect(resumed.code, resumed.stderr).toBe(2);
  expect(resumed.stderr).toMatch(/its input is not what it was: input\/rides\.ndjson has other bytes before byte \d+/);
});

test('a file that is only touched between two attempts is gone on with', async () => {
  const { root, rides } = ridesProject();
  const blocked = startBlocked(root);
  await blocked.working();
  blocked.kill('SIGTERM');
  expect((await blocked.read()).code).toBe(143);
  utimesSync(input(root), new Date(), new Date());
  const resumed = await oxiflow(['run', 'rides'], { cwd: root });
  expect(resumed.code, resumed.stderr).toBe(0);
  expect(outputs(root)['rides.ndjson'] === rides).toBe(true);
});

describe('a quote that is open at the end of a CSV file', () => {
  const rows = Array.from({ length: 60_000 }, (_, i) => `${i},"Harbour, ${i}"\n`).join('');
  const text = `ride,from\n${rows}60000,"Hill\n${rows.replaceAll('"', '')}`;
  const at = text.indexOf('"Hill');

  test.each([
    ['drop', '1', 'input/rides.csv'],
    ['drop', '2', 'input/rides.csv'],
    ['dead_letter', '2', 'input/rides.csv'],
    ['dead_letter', '2', 'input/rides.csv.gz'],
    ['stop', '1', 'input/rides.csv.gz'],
  ])('breaks the file, on_error: %s, %s threads, %s', async (onError, threads, path) => {
    const cwd = folder({
      'oxiflow.yaml': 'project:\n  name: city\n',
      [path]: path.endsWith('.gz') ? gzipSync(text) : text,
      'pipelines/rides.yaml': pipelineOf([
        ['read_file', { path }],
        ['parse_csv', { max_record_mb: 1 }, { on_error: onError }],
        ['write_file', { path: 'output/rides.ndjson' }],
      ]),
    });
    const { code, stderr } = await oxiflow(['run', 'rides', '--threads', threads], { cwd });
    expect(code, stderr).toBe(3);
    expect(stderr).toContain(`error: ${path}: byte ${at}: a quote opens here and is not closed to the end of the file`);
    expect(readFileSync(join(cwd, 'pipelines/rides.yaml'), 'utf8')).toContain(onError);
    // A checkpoint before the quote leaves its part for the next attempt; nothing is published.
    const published = (name: string): boolean => name.startsWith('output/') && !name.endsWith('.oxiflow-part');
    expect(Object.keys(snapshot(cwd)).filter(published)).toEqual([]);
  });
});
