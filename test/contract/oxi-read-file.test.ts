/** `read_file`: what it refuses to read, in words that say what to do. */
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Source, Split } from '../../runner/engine/contracts.ts';
import { makeSource } from './oxi-suite.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'oxiflow-read-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const source = (path: string | string[]): Source =>
  makeSource('read_file', { path }, { projectRoot: folder, stepId: 'rides' });

test('a pipe or a device is refused, and inside a pattern left out', async () => {
  execFileSync('mkfifo', [join(folder, 'rides.fifo')]);
  writeFileSync(join(folder, 'rides.ndjson'), '1\n');
  await expect(source('rides.fifo').splits()).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    message:
      'step "rides": rides.fifo is a pipe or a device; use read_stdin and redirect it: oxiflow run NAME < rides.fifo',
    place: { step: 'rides', field: 'path' },
  });
  await expect(source('/dev/null').splits()).rejects.toThrow('/dev/null is a pipe or a device');
  expect(await source('rides.*').splits()).toEqual([{ index: 0, name: 'rides.ndjson', size: 2 }]);
});

// What is recorded comes out of the state, which others may be able to write.
test('no file is read that its path does not name, whatever the state says', async () => {
  for (const name of ['rides.ndjson', 'fares.ndjson', 'keys.txt']) writeFileSync(join(folder, name), '1\n');
  const rides = source(['rides.ndjson', '*s.ndjson']);
  const named = (name: string) => rides.recorded([{ index: 0, name, size: 2 }]);
  expect(await named('rides.ndjson')).toMatchObject([{ name: 'rides.ndjson', size: 2 }]);
  expect(await named('fares.ndjson')).toMatchObject([{ name: 'fares.ndjson', size: 2 }]);
  // Neither is told whether there is such a file.
  const strange = ['/etc/passwd', '/etc/no-such-file', '../no-such-file', 'a/../../no-such-file'];
  for (const name of ['keys.txt', './rides.ndjson', join(folder, 'rides.ndjson'), ...strange])
    await expect(named(name)).rejects.toMatchObject({
      code: 'INPUT_CHANGED',
      message: `step "rides": the run reads ${name}, and "path" does not name that; --fresh starts over`,
    });
  // What it named, and is gone, is missed.
  for (const name of ['rides.ndjson', 'fares.ndjson']) {
    rmSync(join(folder, name));
    await expect(named(name)).rejects.toMatchObject({ code: 'INPUT_MISSING' });
  }
});

test('a match that leads nowhere is said in a sentence', async () => {
  symlinkSync('gone.ndjson', join(folder, 'rides.ndjson'));
  await expect(source('*.ndjson').splits()).rejects.toMatchObject({
    code: 'INPUT_MISSING',
    message: 'step "rides": rides.ndjson: no such file or folder',
  });
});

// Only some file systems take such a name.
test.runIf(process.platform === 'linux')('a match whose name is not UTF-8 is said in a sentence', async () => {
  writeFileSync(Buffer.concat([Buffer.from(`${folder}/ride`), Buffer.from([0xff]), Buffer.from('.ndjson')]), '1\n');
  expect(readdirSync(folder)).toHaveLength(1);
  await expect(source('*.ndjson').splits()).rejects.toMatchObject({
    code: 'INPUT_MISSING',
    message: expect.stringContaining('the name of this file is not UTF-8 text'),
  });
});

test('a path with a NUL, and one that is too long, are refused with the step', async () => {
  expect(() => source(['rides.ndjson', 'a\0b'])).toThrow(
    'step "rides", field "path": "a\\u0000b" holds a NUL character, which no file name can have',
  );
  await expect(source('x'.repeat(300)).splits()).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    message: `step "rides", field "path": ${'x'.repeat(40)}... is longer than a file system takes (255 bytes a name); choose a shorter one`,
  });
});

test('a pattern may be longer than a name', async () => {
  writeFileSync(join(folder, 'rides.ndjson'), '1\n');
  expect(await source(`{${'x'.repeat(300)},rides}.ndjson`).splits()).toMatchObject([{ name: 'rides.ndjson' }]);
});

describe('a file that changes while it is read', () => {
  const LINE = '{"ride":1,"from":"Harbour"}\n';
  const NEVER = new AbortController().signal;
  const path = (): string => join(folder, 'rides.ndjson');

  /** A source that has given the first block of a file of 1 MB; what it still reads, or why it does not. */
  async function begun() {
    writeFileSync(path(), LINE.repeat(40_000));
    // The clock of a file system may stand still for some milliseconds.
    utimesSync(path(), new Date('2026-03-01'), new Date('2026-03-01'));
    const rides = source('rides.ndjson');
    const [split] = await rides.splits();
    if (split === undefined) throw new Error('there is one');
    const blocks = rides.open(split, 0, NEVER)[Symbol.asyncIterator]();
    const first = await blocks.next();
    const rest = async (): Promise<number> => {
      let bytes: number = first.value.bytes.length;
      for (let next = await blocks.next(); next.done !== true; next = await blocks.next())
        bytes += next.value.bytes.length;
      return bytes;
    };
    return { rides, split, first, rest };
  }

  test('cut off, or written to in place, ends the reading before anybody takes that for the end of the text', async () => {
    const cut = await begun();
    truncateSync(path(), 100);
    await expect(cut.rides.recheck?.(cut.split)).rejects.toMatchObject({ code: 'INPUT_REWRITTEN', exitCode: 1 });
    await expect(cut.rest()).rejects.toThrow('rides.ndjson: it had 1120000 bytes and has 100 now: ');
    const written = await begun();
    writeFileSync(path(), LINE.replace('Harbour', 'Station').repeat(40_000));
    await expect(written.rest()).rejects.toThrow('rides.ndjson: another program wrote to it, while it was read. ');
    // Also when it is closed: a text that is broken is asked for that.
    await expect(written.rides.recheck?.(written.split)).rejects.toMatchObject({ code: 'INPUT_REWRITTEN' });
  });

  test('longer now is told from written anew by what was read', async () => {
    const grown = await begun();
    appendFileSync(path(), LINE);
    expect(await grown.rides.recheck?.(grown.split)).toMatch(/^rides\.ndjson grew from 1120000 to 1120028 bytes/);
    expect(await grown.rest()).toBe(1_120_028);
    const anew = await begun();
    writeFileSync(path(), LINE.replace('Harbour', 'Old Harbour').repeat(40_000));
    await expect(anew.rest()).rejects.toMatchObject({ code: 'INPUT_REWRITTEN' });
  });

  test('another one of its name changes nothing for who has it open; opened again it is refused', async () => {
    const { rides, split, first, rest } = await begun();
    const before = await rides.fingerprint?.(split, 5000);
    writeFileSync(join(folder, 'new'), LINE.replace('Harbour', 'Station').repeat(40_000));
    renameSync(join(folder, 'new'), path());
    expect(await rides.fingerprint?.(split, 5000)).toBe(before);
    expect(await rides.recheck?.(split)).toBeUndefined();
    expect(await rest()).toBe(1_120_000);
    // What is saved of it from here on matches no file.
    expect(await rides.fingerprint?.(split, 5000)).toBe('replaced');
    const again = rides.open(split, first.value.after, NEVER)[Symbol.asyncIterator]();
    await expect(again.next()).rejects.toThrow('rides.ndjson: another file took its place');
  });

  test('shorter than when the run began, it is not read at all', async () => {
    writeFileSync(path(), LINE.repeat(2));
    const rides = source('rides.ndjson');
    const [split] = await rides.splits();
    truncateSync(path(), LINE.length);
    const blocks = rides.open(split as Split, 0, NEVER)[Symbol.asyncIterator]();
    await expect(blocks.next()).rejects.toMatchObject({
      code: 'INPUT_REWRITTEN',
      message: expect.stringContaining('it had 56 bytes when the run began and has 28 now'),
    });
  });
});
