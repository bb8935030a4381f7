import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { OxiError } from '../../runner/engine/errors.ts';
import { lineSchema } from '../../runner/observe/event-schemas.ts';
import type { RunEvent } from '../../runner/observe/types.ts';
import { openEvents } from '../../runner/observe/writer.ts';
import { checkpoint, eventOf, finished, progress, started } from './story.ts';

let folder: string;
const warnings: string[] = [];
const warn = (message: string) => void warnings.push(message);

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'oxiflow-events-'));
  warnings.length = 0;
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function refusal(target: string): OxiError {
  try {
    openEvents(target, { warn });
  } catch (error) {
    if (error instanceof OxiError) return error;
    throw error;
  }
  throw new Error(`${target} was taken`);
}

function errno(code: string): Error {
  return Object.assign(new Error(code), { code });
}

/** A named pipe: its path, and a reader that only reads when told to. */
function pipe(): { path: string; read: () => Promise<RunEvent[]>; close: () => void } {
  const path = join(folder, 'events.pipe');
  execFileSync('mkfifo', [path]);
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  return {
    path,
    close: () => closeSync(fd),
    read: async () => {
      let text = '';
      for await (const chunk of new Socket({ fd, readable: true, writable: false })) text += String(chunk);
      return text
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line));
    },
  };
}

describe('events into a file', () => {
  it('are there, whole, as soon as they happened', async () => {
    const path = join(folder, 'events.ndjson');
    const writer = openEvents(path, { warn });
    const event = eventOf('checkpoint', checkpoint(1));
    writer.onEvent(event);
    expect(readFileSync(path, 'utf8')).toBe(`${JSON.stringify(event)}\n`);
    await writer.close(0);
    expect(writer.counts).toEqual({ written: 1, dropped: 0, failed: 0 });
  });

  it('of two attempts at the same time follow each other line by line', async () => {
    const path = join(folder, 'events.ndjson');
    const [old, young] = [openEvents(path, { warn }), openEvents(path, { warn })];
    for (let n = 1; n <= 20; n++) {
      old.onEvent(eventOf('checkpoint', checkpoint(n), n));
      young.onEvent(eventOf('checkpoint', checkpoint(100 + n), n));
    }
    await Promise.all([old.close(0), young.close(0)]);
    const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line).n)).toEqual(
      Array.from({ length: 20 }, (_, i) => [i + 1, i + 101]).flat(),
    );
  });

  it('begin on a line of their own behind half a line that a killed attempt left', async () => {
    const path = join(folder, 'events.ndjson');
    writeFileSync(path, '{"v":1,"ts":"2026-0');
    const writer = openEvents(path, { warn });
    writer.onEvent(eventOf('checkpoint', checkpoint(1)));
    await writer.close(0);
    const [half, whole] = readFileSync(path, 'utf8').split('\n');
    expect(half).toBe('{"v":1,"ts":"2026-0');
    expect(JSON.parse(whole ?? '')).toMatchObject({ n: 1 });
  });

  it('begin anew where they would grow beyond the limit, and say how many are left out', async () => {
    const path = join(folder, 'events.ndjson');
    writeFileSync(path, '{"of":"an earlier run"}\n');
    const writer = openEvents(path, { warn, limitBytes: 8000 });
    writer.onEvent(eventOf('run.started', started, 1));
    const sizes: number[] = [];
    for (let seq = 2; seq <= 500; seq++) {
      writer.onEvent(eventOf('checkpoint', checkpoint(seq), seq));
      sizes.push(readFileSync(path).length);
    }
    await writer.close(0);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(8000 + 24);
    const [before, first, ...rest] = readFileSync(path, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(before).toEqual({ of: 'an earlier run' });
    expect(first).toEqual({ ...eventOf('run.started', started, 1), left_out: rest[0].seq - 2 });
    expect(lineSchema('run.started').safeParse(first).error).toBeUndefined();
    expect(rest.map(({ seq }) => seq)).toEqual(rest.map((_, i) => 501 - rest.length + i));
    expect(warnings).toEqual([]);
  });

  it('are refused a limit where there is no file to begin anew', () => {
    expect(() => openEvents('/dev/null', { warn, limitBytes: 8000 })).toThrow('only a file can have a limit');
  });

  it('that meet a full disk are counted and told once, and the run goes on', async () => {
    const writer = openEvents('/dev/full', { warn });
    for (let n = 1; n <= 3; n++) writer.onEvent(eventOf('checkpoint', checkpoint(n), n));
    await writer.close(0);
    expect(writer.counts).toEqual({ written: 0, dropped: 0, failed: 3 });
    expect(warnings).toEqual(['--events /dev/full: a write failed (ENOSPC); the run goes on, events are lost']);
  });

  it('go on behind a line that the disk took only half of', async () => {
    let room = 30;
    let text = '';
    const write = (_: number, bytes: Uint8Array) => {
      if (room === 0) throw errno('ENOSPC');
      const taken = bytes.subarray(0, room);
      room -= taken.length;
      text += Buffer.from(taken).toString();
      return taken.length;
    };
    const writer = openEvents(join(folder, 'events.ndjson'), { warn, write });
    writer.onEvent(eventOf('checkpoint', checkpoint(1), 1));
    room = 10_000;
    writer.onEvent(eventOf('checkpoint', checkpoint(2), 2));
    await writer.close(0);
    const [half, whole, ...rest] = text.split('\n');
    expect(half).toHaveLength(30);
    expect(JSON.parse(whole ?? '')).toMatchObject({ n: 2 });
    expect(rest).toEqual(['']);
    expect(writer.counts).toEqual({ written: 1, dropped: 0, failed: 1 });
  });
});

describe('events into a pipe', () => {
  it('reach a reader that keeps up, all of them and in order', async () => {
    const { path, read } = pipe();
    const writer = openEvents(path, { warn });
    const reading = read();
    for (let n = 1; n <= 500; n++) writer.onEvent(eventOf('progress', progress({ records: n }), n));
    await writer.close(10_000);
    expect((await reading).map(({ seq }) => seq)).toEqual(Array.from({ length: 500 }, (_, i) => i + 1));
    expect(writer.counts).toEqual({ written: 500, dropped: 0, failed: 0 });
    expect(warnings).toEqual([]);
  });

  it('never wait for a reader that sleeps: progress goes first, the newest checkpoint, start and end are kept', async () => {
    const { path, read } = pipe();
    const writer = openEvents(path, { warn, maxWaitingBytes: 20_000 });
    writer.onEvent(eventOf('run.started', started, 1));
    // Many times what a pipe holds, with nobody reading: that these calls return is the promise.
    let seq = 1;
    for (let n = 1; n <= 3000; n++) {
      writer.onEvent(eventOf('progress', progress({ records: n }), ++seq));
      if (n % 100 === 0) writer.onEvent(eventOf('checkpoint', checkpoint(n / 100), ++seq));
    }
    writer.onEvent(eventOf('run.finished', finished(), ++seq));
    const reading = read();
    await writer.close(10_000);
    const events = await reading;
    const checkpoints = events.filter((event) => event.type === 'checkpoint');
    expect(events[0]?.type).toBe('run.started');
    expect(events.at(-1)?.type).toBe('run.finished');
    expect(checkpoints.map(({ n }) => n)).toEqual(Array.from({ length: 30 }, (_, i) => i + 1));
    expect(events.map((event) => event.seq)).toEqual(events.map((event) => event.seq).sort((a, b) => a - b));
    expect(writer.counts.dropped).toBe(seq - events.length);
    expect(writer.counts.dropped).toBeGreaterThan(1000);
    expect(warnings).toEqual([`--events ${path}: its reader is too slow; the run goes on, events are lost`]);
  });

  it('are given up at the deadline where the reader never wakes', async () => {
    const { path, close } = pipe();
    const writer = openEvents(path, { warn });
    for (let n = 1; n <= 1000; n++) writer.onEvent(eventOf('checkpoint', checkpoint(n), n));
    await writer.close(1);
    close();
    expect(writer.counts.failed).toBeGreaterThan(0);
    expect(warnings).toHaveLength(1);
  });

  it('whose reader went away are counted and told once, and the run goes on', async () => {
    const { path, close } = pipe();
    const writer = openEvents(path, { warn });
    close();
    writer.onEvent(eventOf('checkpoint', checkpoint(1), 1));
    await writer.flush(10_000);
    writer.onEvent(eventOf('checkpoint', checkpoint(2), 2));
    await writer.close(10_000);
    expect(writer.counts).toEqual({ written: 0, dropped: 0, failed: 2 });
    expect(warnings).toEqual([`--events ${path}: its reader is gone (EPIPE); the run goes on, events are lost`]);
  });
});

describe('a target that can not take events', () => {
  it('is refused before the run, with the way on', () => {
    mkdirSync(join(folder, 'a-folder'));
    execFileSync('mkfifo', [join(folder, 'lonely.pipe')]);
    const fd = openSync(folder, 'r');
    const cases: [string, string][] = [
      [join(folder, 'missing/events.ndjson'), 'its folder is not there; make it first'],
      [join(folder, 'a-folder'), 'that is a folder; name a file in it'],
      [join(folder, 'lonely.pipe'), 'nobody reads that pipe; start its reader first, or name a file'],
      ['fd:three', 'after fd: comes the number of an open descriptor, such as fd:3'],
      ['fd:1', '0, 1 and 2 are for input, data and people; pass another descriptor, such as fd:3, or a file'],
      ['fd:999999', 'descriptor 999999 is not open for writing; have the launcher pass it on, or give a file'],
      [`fd:${fd}`, `descriptor ${fd} is not open for writing; have the launcher pass it on, or give a file`],
    ];
    for (const [target, problem] of cases) {
      const error = refusal(target);
      expect(error.message).toBe(`--events ${target}: ${problem}`);
      expect(error.exitCode).toBe(2);
    }
    closeSync(fd);
  });

  it('is refused where the descriptor is only for reading', () => {
    writeFileSync(join(folder, 'orders.ndjson'), '');
    const fd = openSync(join(folder, 'orders.ndjson'), 'r');
    expect(refusal(`fd:${fd}`).message).toContain('is not open for writing');
    closeSync(fd);
  });

  it('is refused with exit code 126 where the permission is missing', () => {
    const locked = join(folder, 'locked');
    mkdirSync(locked, { mode: 0o500 });
    const target = join(locked, 'events.ndjson');
    // Permissions mean nothing to root, so root becomes nobody for the moment.
    const isRoot = process.geteuid?.() === 0;
    if (isRoot) process.seteuid?.(65_534);
    try {
      const error = refusal(target);
      expect(error.message).toBe(`--events ${target}: no permission to write there`);
      expect(error.exitCode).toBe(126);
    } finally {
      if (isRoot) process.seteuid?.(0);
    }
  });
});
