/** `write_file`: the output is the old one or the new one, whole, whoever dies or lives on at whatever moment. */
import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Mark, Sink, SinkRun } from '../../runner/engine/contracts.ts';
import { OxiError } from '../../runner/engine/errors.ts';
import { makeSink, sinkRun, text } from './oxi-suite.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'oxiflow-write-'));
});
afterEach(() => {
  chmodSync(folder, 0o755);
  rmSync(folder, { recursive: true });
});

const sink = (config: Record<string, unknown> = {}): Sink =>
  makeSink('write_file', { path: 'orders.ndjson', ...config }, { projectRoot: folder, stepId: 'out' });
const output = (): string => readFileSync(join(folder, 'orders.ndjson'), 'utf8');
const others = (): string[] => readdirSync(folder).filter((name) => name !== 'orders.ndjson');
const staged = (token: number): string => {
  const name = readdirSync(folder).find((name) => name.endsWith(`.${token}.oxiflow-part`));
  if (name === undefined) throw new Error(`nothing staged with token ${token}: ${readdirSync(folder)}`);
  return join(folder, name);
};
const codeOf = async (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'no error',
    (error: unknown) => (error instanceof OxiError ? error.code : String(error)),
  );

/** Writes `records`, and marks: a worker whose process then stops where it is. */
async function begun(token: number, records: Buffer, config = {}): Promise<{ sink: Sink; mark: Mark }> {
  const one = sink(config);
  await one.open(sinkRun(token), undefined);
  await one.write(records, 1);
  return { sink: one, mark: await one.prepare(1, 'hard') };
}

async function ended(one: Sink, more?: Buffer): Promise<void> {
  if (more !== undefined) await one.write(more, 1);
  await one.finish(await one.prepare(9, 'hard'));
  await one.close();
}

const behind = (token: number, provenDead: boolean, more: Partial<SinkRun> = {}): Partial<SinkRun> => ({
  predecessor: { token, provenDead },
  ...more,
});

test('bytes are in the staged file when a write has resolved, and the output is untouched', async () => {
  writeFileSync(join(folder, 'orders.ndjson'), 'old\n');
  const { sink: one } = await begun(1, text('1'));
  expect(readFileSync(staged(1), 'utf8')).toBe('1\n');
  expect(output()).toBe('old\n');
  await ended(one, text('2'));
  expect(output()).toBe('1\n2\n');
  expect(others()).toEqual([]);
});

test('on resume what is beyond the mark is cut off', async () => {
  const { sink: one, mark } = await begun(1, text('1'));
  await one.write(text('2', '3'), 2);
  await one.close();
  const two = sink();
  await two.open(sinkRun(2, behind(1, true)), mark);
  expect(readFileSync(staged(2), 'utf8')).toBe('1\n');
  await ended(two, text('two'));
  expect(output()).toBe('1\ntwo\n');
  expect(others()).toEqual([]);
});

describe('a successor', () => {
  test('of a dead worker takes its file over', async () => {
    const { sink: one, mark } = await begun(1, text('1'));
    await one.close();
    const { ino } = statSync(staged(1));
    const two = sink();
    await two.open(sinkRun(2, behind(1, true)), mark);
    expect(statSync(staged(2)).ino).toBe(ino);
    expect(others()).toHaveLength(1);
    await ended(two);
  });

  test('of a worker that lives on works on a copy: what the old one writes changes nothing', async () => {
    const { sink: one, mark } = await begun(1, text('1'));
    const two = sink();
    await two.open(sinkRun(2, behind(1, false)), mark);
    await one.write(text('stale'), 1);
    await two.write(text('2'), 1);
    await one.write(text('stale again'), 1);
    expect(readFileSync(staged(2), 'utf8')).toBe('1\n2\n');
    // The old one comes to its end first: it can't publish.
    expect(await codeOf(one.prepare(2, 'hard').then((last) => one.finish(last)))).not.toBe('no error');
    await one.close();
    expect(existsSync(join(folder, 'orders.ndjson'))).toBe(false);
    await ended(two, text('3'));
    expect(output()).toBe('1\n2\n3\n');
    expect(others()).toEqual([]);
  });

  test('that published is not undone by the worker that lives on', async () => {
    const { sink: one, mark } = await begun(1, text('1'));
    const two = sink();
    await two.open(sinkRun(2, behind(1, false)), mark);
    await ended(two, text('2'));
    await one.write(text('stale'), 1);
    expect(await codeOf(one.prepare(2, 'hard').then((last) => one.finish(last)))).not.toBe('no error');
    await one.abort();
    await one.close();
    expect(output()).toBe('1\n2\n');
    expect(others()).toEqual([]);
  });

  test('that begins anew leaves a living worker its own file and removes its name', async () => {
    const { sink: one } = await begun(1, text('1'));
    const two = sink();
    await two.open(sinkRun(2, behind(1, false)), undefined);
    await one.write(text('stale'), 1);
    await ended(two, text('new'));
    await one.close();
    expect(output()).toBe('new\n');
    expect(others()).toEqual([]);
  });

  test('finds the youngest file that reaches the mark, and an unfinished copy is none', async () => {
    const { sink: one, mark } = await begun(1, text('1'));
    await one.close();
    writeFileSync(staged(1).replace('.1.oxiflow-part', '.2.oxiflow-part.copy'), '1\nhalf');
    const three = sink();
    expect(await three.open(sinkRun(3, behind(2, true)), mark)).toEqual({ at: 'mark' });
    await ended(three, text('3'));
    expect(output()).toBe('1\n3\n');
    expect(others()).toEqual([]);
  });

  test('does not touch what another run or step has staged beside it', async () => {
    const other = sink();
    await other.open(sinkRun(1, { runKey: 'weekly' }), undefined);
    await other.write(text('weekly'), 1);
    const step = sink();
    await step.open(sinkRun(1, { step: 'copy' }), undefined);
    const mine = sink();
    await mine.open(sinkRun(5), undefined);
    await ended(mine, text('1'));
    expect(others()).toHaveLength(2);
    await ended(other);
    expect(output()).toBe('weekly\n');
    await step.abort();
    await step.close();
  });
});

describe('a mark that is lost', () => {
  test('because the file is gone, is said', async () => {
    const { sink: one, mark } = await begun(1, text('1'));
    await one.close();
    unlinkSync(staged(1));
    expect(await sink().open(sinkRun(2, behind(1, true)), mark)).toMatchObject({
      at: 'lost',
      reason: expect.stringContaining('gone'),
    });
  });

  test('because the file is shorter, is said; then the run begins from zero', async () => {
    const { sink: one, mark } = await begun(1, text('12345'));
    await one.close();
    truncateSync(staged(1), 3);
    const two = sink();
    expect(await two.open(sinkRun(2, behind(1, true)), mark)).toMatchObject({
      at: 'lost',
      reason: expect.stringContaining('3 bytes'),
    });
    await two.abort();
    await two.open(sinkRun(2, behind(1, true)), undefined);
    await ended(two, text('1'));
    expect(output()).toBe('1\n');
    expect(others()).toEqual([]);
  });
});

describe('finishing again', () => {
  const configs: [name: string, config: Record<string, unknown>, old: string | undefined, expected: string][] = [
    ['a new output', {}, undefined, '1\n'],
    ['in place of an old output', {}, 'old\n', '1\n'],
    ['with a backup', { backup: true }, 'old\n', '1\n'],
    ['an output that must not exist', { overwrite: false }, undefined, '1\n'],
    ['an appended output', { append: true }, 'old\n', 'old\n1\n'],
    ['an appended output with a backup', { append: true, backup: true }, 'old\n', 'old\n1\n'],
    ['an appended output that is new', { append: true }, undefined, '1\n'],
  ];
  test.each(configs)(
    '%s: dead behind the last line, the successor finds it done',
    async (_name, config, old, expected) => {
      if (old !== undefined) writeFileSync(join(folder, 'orders.ndjson'), old);
      const { sink: one, mark } = await begun(1, text('1'), config);
      await one.finish(mark);
      await one.finish(mark);
      await one.close();
      for (const token of [2, 3]) {
        const next = sink(config);
        expect(await next.open(sinkRun(token, behind(token - 1, true, { finishing: true })), mark)).toEqual({
          at: 'mark',
        });
        expect(await next.finish(mark)).toMatchObject({ rows: 1, bytes: 2 });
        await next.close();
      }
      expect(output()).toBe(expected);
      expect(others()).toEqual(config.backup === true ? ['orders.ndjson.bak'] : []);
      if (config.backup === true) expect(readFileSync(join(folder, 'orders.ndjson.bak'), 'utf8')).toBe(old);
    },
  );

  test.each(configs)('%s: dead before the first line, the successor does it', async (_name, config, old, expected) => {
    if (old !== undefined) writeFileSync(join(folder, 'orders.ndjson'), old);
    const { sink: one, mark } = await begun(1, text('1'), config);
    await one.close();
    const two = sink(config);
    expect(await two.open(sinkRun(2, behind(1, true, { finishing: true })), mark)).toEqual({ at: 'mark' });
    await two.finish(mark);
    await two.close();
    expect(output()).toBe(expected);
  });

  test.each([0, 1, 3, 5])('an append that had joined %i bytes goes on there', async (joined) => {
    writeFileSync(join(folder, 'orders.ndjson'), 'old\n');
    const records = text('1', '23', '456');
    const { sink: one, mark } = await begun(1, records, { append: true });
    await one.close();
    appendFileSync(join(folder, 'orders.ndjson'), records.subarray(0, joined));
    const two = sink({ append: true });
    await two.open(sinkRun(2, behind(1, true, { finishing: true })), mark);
    await two.finish(mark);
    await two.close();
    expect(output()).toBe(`old\n${records}`);
    expect(others()).toEqual([]);
  });

  test.each([0, 1, 3])('its backup is the old output, also where %i bytes had joined it', async (joined) => {
    writeFileSync(join(folder, 'orders.ndjson'), 'old\n');
    writeFileSync(join(folder, 'orders.ndjson.bak'), 'older\n');
    const config = { append: true, backup: true };
    const { sink: one, mark } = await begun(1, text('1', '23'), config);
    await one.close();
    // As a worker leaves it that dies while joining: the backup is made, then bytes follow.
    if (joined > 0) {
      writeFileSync(join(folder, 'orders.ndjson.bak'), 'old\n');
      appendFileSync(join(folder, 'orders.ndjson'), text('1', '23').subarray(0, joined));
    }
    const two = sink(config);
    await two.open(sinkRun(2, behind(1, true, { finishing: true })), mark);
    await two.finish(mark);
    await two.close();
    expect(output()).toBe('old\n1\n23\n');
    expect(readFileSync(join(folder, 'orders.ndjson.bak'), 'utf8')).toBe('old\n');
    expect(others()).toEqual(['orders.ndjson.bak']);
  });

  test('an output that an append makes leaves an older backup alone', async () => {
    writeFileSync(join(folder, 'orders.ndjson.bak'), 'older\n');
    await ended((await begun(1, text('1'), { append: true, backup: true })).sink);
    expect(output()).toBe('1\n');
    expect(readFileSync(join(folder, 'orders.ndjson.bak'), 'utf8')).toBe('older\n');
  });

  test('an append into a file that another program changed meanwhile is refused, and the records are kept', async () => {
    writeFileSync(join(folder, 'orders.ndjson'), 'old\n');
    const { sink: one, mark } = await begun(1, text('1'), { append: true });
    appendFileSync(join(folder, 'orders.ndjson'), 'x\n');
    expect(await codeOf(one.finish(mark))).toBe('IO_FAILED');
    await one.close();
    expect(output()).toBe('old\nx\n');
    expect(readFileSync(staged(1), 'utf8')).toBe('1\n');
  });

  test('a new name that was linked and not yet taken from the staged file is done', async () => {
    const { sink: one, mark } = await begun(1, text('1'), { overwrite: false });
    await one.close();
    linkSync(staged(1), join(folder, 'orders.ndjson'));
    const two = sink({ overwrite: false });
    await two.open(sinkRun(2, behind(1, true, { finishing: true })), mark);
    await two.finish(mark);
    await two.close();
    expect(output()).toBe('1\n');
    expect(others()).toEqual([]);
  });
});

describe('what is there', () => {
  test('refuses the start where overwrite is false', async () => {
    writeFileSync(join(folder, 'orders.ndjson'), 'old\n');
    expect(await codeOf(sink({ overwrite: false }).check?.() ?? Promise.resolve())).toBe('OUTPUT_EXISTS');
    expect(others()).toEqual([]);
  });

  test('is not replaced where it came during the run and overwrite is false', async () => {
    const { sink: one, mark } = await begun(1, text('1'), { overwrite: false });
    writeFileSync(join(folder, 'orders.ndjson'), 'came first\n');
    expect(await codeOf(one.finish(mark))).toBe('OUTPUT_EXISTS');
    await one.close();
    expect(output()).toBe('came first\n');
  });

  test('is kept as a backup, in place of an older one', async () => {
    for (const content of ['first', 'second', 'third']) {
      const { sink: one } = await begun(1, text(content), { backup: true });
      await ended(one);
    }
    expect(output()).toBe('third\n');
    expect(readFileSync(join(folder, 'orders.ndjson.bak'), 'utf8')).toBe('second\n');
    expect(others()).toEqual(['orders.ndjson.bak']);
  });

  test('hands its mode on', async () => {
    writeFileSync(join(folder, 'orders.ndjson'), 'old\n');
    chmodSync(join(folder, 'orders.ndjson'), 0o640);
    await ended((await begun(1, text('1'))).sink);
    expect(statSync(join(folder, 'orders.ndjson')).mode & 0o777).toBe(0o640);
  });

  test('stays a link where it is one: the file behind it is the output', async () => {
    mkdirSync(join(folder, 'store'));
    writeFileSync(join(folder, 'store', 'real.ndjson'), 'old\n');
    symlinkSync('store/real.ndjson', join(folder, 'orders.ndjson'));
    await ended((await begun(1, text('1'))).sink);
    expect(lstatSync(join(folder, 'orders.ndjson')).isSymbolicLink()).toBe(true);
    expect(readFileSync(join(folder, 'store', 'real.ndjson'), 'utf8')).toBe('1\n');
    expect(readdirSync(join(folder, 'store'))).toEqual(['real.ndjson']);
  });

  test('is refused where it is a link to nothing', async () => {
    symlinkSync('store/gone.ndjson', join(folder, 'orders.ndjson'));
    await expect(sink().check?.()).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('orders.ndjson is a link to nothing'),
    });
  });

  test('is refused where it is a folder', async () => {
    mkdirSync(join(folder, 'orders.ndjson'));
    expect(await codeOf(sink().check?.() ?? Promise.resolve())).toBe('CONFIG_INVALID');
  });
});

describe('folders', () => {
  test('are made', async () => {
    const one = sink({ path: 'a/b/orders.ndjson' });
    await one.check?.();
    await one.open(sinkRun(1), undefined);
    await ended(one, text('1'));
    expect(readFileSync(join(folder, 'a', 'b', 'orders.ndjson'), 'utf8')).toBe('1\n');
  });

  test('that are missing are refused where none is to be made', async () => {
    const one = sink({ path: 'a/orders.ndjson', create_dirs: false });
    expect(await codeOf(one.check?.() ?? Promise.resolve())).toBe('CONFIG_INVALID');
    expect(readdirSync(folder)).toEqual([]);
  });

  test('nobody may write to end with PERMISSION_DENIED', () => {
    chmodSync(folder, 0o555);
    // Root may write anywhere, so a process of its own becomes nobody first.
    const script = `
      if (process.getuid() === 0) { process.setgid(65534); process.setuid(65534); }
      const { registry } = await import(${JSON.stringify(join(import.meta.dirname, '../../runner/oxis/registry.ts'))});
      const oxi = registry.get('write_file');
      const config = { path: 'orders.ndjson', append: false, create_dirs: true, overwrite: true, backup: false, encoding: 'utf-8' };
      const sink = oxi.make(config, { projectRoot: ${JSON.stringify(folder)}, stepId: 'out' });
      const run = ${JSON.stringify(sinkRun(1))};
      const code = await sink.open(run, undefined).then(() => 'open', (error) => error.code);
      process.stdout.write(code);
    `;
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
    expect(stdout, stderr).toBe('PERMISSION_DENIED');
    expect(readdirSync(folder)).toEqual([]);
  });
});

test('a staged file that somebody renamed away during the run is an error, and the old output stays', async () => {
  writeFileSync(join(folder, 'orders.ndjson'), 'old\n');
  const { sink: one, mark } = await begun(1, text('1'));
  renameSync(staged(1), join(folder, 'elsewhere'));
  expect(await codeOf(one.finish(mark))).not.toBe('no error');
  await one.close();
  expect(output()).toBe('old\n');
});

describe('a name', () => {
  const long = (bytes: number): string => `${'é'.repeat((bytes - 7) / 2)}.ndjson`;

  test('as long as a file system takes is staged, resumed and published', async () => {
    const config = { path: long(255) };
    const { sink: one, mark } = await begun(1, text('1'), config);
    await one.close();
    const two = sink(config);
    await two.check?.();
    expect(await two.open(sinkRun(2, behind(1, true)), mark)).toEqual({ at: 'mark' });
    await ended(two, text('2'));
    expect(readdirSync(folder)).toEqual([long(255)]);
  });

  test.each([
    ['that is too long', { path: long(257) }, 'longer than a file system takes'],
    ['that is too long for its backup', { path: long(253), backup: true }, 'longer than a file system takes'],
    ['that ends with a slash', { path: 'orders/' }, 'orders/ names a folder; name a file'],
  ])('%s is refused', async (_title, config, message) => {
    await expect(sink(config).check?.()).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining(message),
    });
    expect(readdirSync(folder)).toEqual([]);
  });

  test('with a NUL is refused', () => {
    expect(() => sink({ path: 'orders\0.ndjson' })).toThrow('holds a NUL character');
  });
});
