/** `read_file`: what it refuses to read, in words that say what to do. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Source } from '../../runner/engine/contracts.ts';
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
