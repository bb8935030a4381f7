/** Every oxi of the registry passes the suite of its kind; one that nobody put here fails. */
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { registry } from '../../runner/oxis/registry.ts';
import { describeSink, describeSource, describeStep, makeSink, makeSource, sinkRun, text } from './oxi-suite.ts';

// Standard output is that of the tests: the sink gets a stream in its place, which it takes unless it sees a pipe.
vi.mock('node:fs', async (original) => {
  const fs = await original<typeof import('node:fs')>();
  const none = { isFIFO: () => false, isSocket: () => false };
  return { ...fs, fstatSync: (fd: number) => (fd === 1 ? none : fs.fstatSync(fd)) };
});

const covered = new Set<string>();
const covering = <H extends { oxi: string }>(describeIt: (harness: H) => void, harness: H): void => {
  covered.add(harness.oxi);
  describeIt(harness);
};

afterEach(() => {
  vi.restoreAllMocks();
});

covering(describeSource, {
  oxi: 'read_file',
  // One block that waits to be taken, and one on its way.
  ahead: 2 * 512 * 1024,
  make: async (content, folder) => {
    const path = join(folder, 'rides.ndjson');
    writeFileSync(path, content);
    let asked = 0;
    const handle = await open(path);
    const prototype = Object.getPrototypeOf(handle) as typeof handle;
    await handle.close();
    const { read } = prototype;
    vi.spyOn(prototype, 'read').mockImplementation(async function (this: typeof handle, ...args: unknown[]) {
      const done = await (read as (...args: unknown[]) => ReturnType<typeof handle.read>).apply(this, args);
      asked += done.bytesRead;
      return done;
    } as never);
    const source = makeSource('read_file', { path: 'rides.ndjson' }, { projectRoot: folder, stepId: 'rides' });
    return { source, asked: () => asked };
  },
});

covering(describeSource, {
  oxi: 'read_stdin',
  ahead: 2 * 64 * 1024,
  make: async (content, folder) => {
    let at = 0;
    const stdin = new Readable({
      highWaterMark: 64 * 1024,
      read(size) {
        const part = Uint8Array.from(content.subarray(at, at + size));
        at += part.length;
        this.push(part.length === 0 ? null : part);
      },
    });
    vi.spyOn(process, 'stdin', 'get').mockReturnValue(stdin as unknown as typeof process.stdin);
    return { source: makeSource('read_stdin', {}, { projectRoot: folder, stepId: 'stdin' }), asked: () => at };
  },
});

covering(describeStep, {
  oxi: 'parse_json',
  record: (i) => `{ "ride" : ${i}.50 }`,
  becomes: (i) => [`{"ride":${i}.50}`],
});
covering(describeStep, {
  oxi: 'parse_csv',
  config: { types: { fare: 'float' } },
  columns: ['ride', 'note', 'fare'],
  record: (i) => `${i},"a ""b"", ${i}",${i}.50`,
  becomes: (i) => [`{"ride":"${i}","note":"a \\"b\\", ${i}","fare":${i}.50}`],
  bad: ['1,2', '1,2,3,4', '1,"2,3', '1,"2"x,3', '1,2,free'],
});
covering(describeStep, {
  oxi: 'format_csv',
  config: { columns: ['ride', 'note'] },
  record: (i) => `{"note":"a, ${i}","ride":${i},"fare":1}`,
  becomes: (i) => [`${i},"a, ${i}"`],
  bad: ['[1]', '7', 'null'],
});
covering(describeStep, {
  oxi: 'filter',
  config: { where: 'ride % 3 == 0' },
  record: (i) => `{"ride":${i}}`,
  becomes: (i) => (i % 3 === 0 ? [`{"ride":${i}}`] : []),
  bad: ['{"lost":1}', '{"ride":"x"}', '7'],
});
covering(describeStep, {
  oxi: 'map',
  config: { set: { next: 'ride + 1' }, rename: { at: 'time' }, drop: ['x'], cast: { fare: 'int' } },
  record: (i) => `{"ride":${i},"x":0,"at":1.50,"fare":"${i}"}`,
  becomes: (i) => [`{"ride":${i},"time":1.50,"fare":${i},"next":${i + 1}}`],
  bad: ['{"lost":1}', '{"ride":1,"fare":"free"}', '[1]'],
});
covering(describeStep, {
  oxi: 'json_select',
  config: { path: '.stops' },
  record: (i) => `{"stops":[${Array.from({ length: i % 4 }, (_, k) => `${i}.${k}`).join(',')}]}`,
  becomes: (i) => Array.from({ length: i % 4 }, (_, k) => `${i}.${k}`),
  bad: ['{"lost":1}', '7'],
});
covering(describeStep, {
  oxi: 'exec',
  config: { command: ['cat'] },
  record: (i) => `{ "ride": ${i}.50 }`,
  becomes: (i) => [`{"ride":${i}.50}`],
});
covering(describeStep, {
  oxi: 'json',
  config: { query: '.stops[] | select(. != null)' },
  record: (i) => `{"stops":[${i}.50,null,[${i},"a"]]}`,
  becomes: (i) => [`${i}.50`, String(i), '"a"'],
  bad: ['{"lost":1}', '7'],
});
covering(describeStep, {
  oxi: 'flatten',
  record: (i) => `{"ride":${i},"from":{"city":"\\u0042","at":{"lat":${i}.50}},"tags":["a",${i}]}`,
  becomes: (i) => [`{"ride":${i},"from_city":"\\u0042","from_at_lat":${i}.50,"tags":"a,${i}"}`],
});
covering(describeStep, {
  oxi: 'validate',
  config: { fields: { ride: 'int', 'from.city': 'string?' } },
  record: (i) => `{"ride":${i},"from":{"city":${i % 2 === 0 ? '"Berlin"' : 'null'}}}`,
  becomes: (i) => [`{"ride":${i},"from":{"city":${i % 2 === 0 ? '"Berlin"' : 'null'}}}`],
  bad: ['{"lost":1}', '{"ride":1.5}', '{"ride":1,"from":{"city":1}}', '[1]'],
});
covering(describeStep, {
  oxi: 'validate',
  config: { schema: { type: 'object', properties: { ride: { type: 'integer' } }, required: ['ride'] } },
  record: (i) => `{"ride":${i}}`,
  becomes: (i) => [`{"ride":${i}}`],
  bad: ['{"lost":1}', '{"ride":"1"}', '[1]'],
});
covering(describeStep, {
  oxi: 'dedupe',
  config: { key: ['ride', 'city'], within: 100 },
  record: (i) => `{"ride":${Math.floor(i / 3)},"city":"Berlin","n":${i}}`,
  becomes: (i) => (i % 3 === 0 ? [`{"ride":${i / 3},"city":"Berlin","n":${i}}`] : []),
  bad: ['{"ride":1}', '7'],
});
covering(describeStep, {
  oxi: 'limit',
  config: { records: 42 },
  record: (i) => String(i),
  becomes: (i) => (i < 42 ? [String(i)] : []),
});
covering(describeStep, {
  oxi: 'sample',
  config: { every: 10 },
  record: (i) => String(i),
  becomes: (i) => (i % 10 === 0 ? [String(i)] : []),
});
covering(describeStep, {
  oxi: 'format_yaml',
  record: (i) => `{"ride":${i}.50,"stops":["a"]}`,
  becomes: (i) => [`ride: ${i}.50\nstops:\n  - a`],
});
covering(describeStep, {
  oxi: 'format_json',
  config: { sort_keys: true },
  record: (i) => `{"b":${i},"a":1.50}`,
  becomes: (i) => [`{"a":1.50,"b":${i}}`],
});

covering(describeSink, {
  oxi: 'write_file',
  make: (folder) => makeSink('write_file', { path: 'out/rides.ndjson' }, { projectRoot: folder, stepId: 'out' }),
  output: (folder) => {
    const path = join(folder, 'out', 'rides.ndjson');
    return existsSync(path) ? readFileSync(path) : undefined;
  },
  left: (folder) => (existsSync(join(folder, 'out')) ? readdirSync(join(folder, 'out')) : []),
});

for (const [suffix, config, textOf] of [
  ['.gz', {}, (bytes: Buffer) => gunzipSync(bytes)],
  ['.zst', {}, (bytes: Buffer) => zstdDecompressSync(bytes)],
  ['', { encoding: 'utf-16' }, (bytes: Buffer) => Buffer.from(bytes.toString('utf16le').replace('\ufeff', ''))],
  ['.gz', { encoding: 'latin1', compression_level: 9 }, (bytes: Buffer) => gunzipSync(bytes)],
] as const) {
  const file = `rides.ndjson${suffix}`;
  describeSink({
    oxi: 'write_file',
    as: `, ${suffix} ${JSON.stringify(config)}`,
    make: (folder) =>
      makeSink('write_file', { path: `out/${file}`, ...config }, { projectRoot: folder, stepId: 'out' }),
    output: (folder) => {
      const path = join(folder, 'out', file);
      return existsSync(path) ? textOf(readFileSync(path)) : undefined;
    },
    size: (folder) => statSync(join(folder, 'out', file)).size,
    left: (folder) => (existsSync(join(folder, 'out')) ? readdirSync(join(folder, 'out')) : []),
  });
}

describe('standard output', () => {
  let written: Buffer[] = [];
  beforeEach(() => {
    written = [];
    const stdout = new Writable({
      write(chunk: Buffer, _encoding, done) {
        written.push(Buffer.from(chunk));
        done();
      },
    });
    vi.spyOn(process, 'stdout', 'get').mockReturnValue(stdout as unknown as typeof process.stdout);
  });

  covering(describeSink, {
    oxi: 'write_stdout',
    make: (folder) => makeSink('write_stdout', {}, { projectRoot: folder, stepId: 'out' }),
    output: () => Buffer.concat(written),
    left: (folder) => readdirSync(folder),
  });

  const writeAll = async (config: Record<string, unknown>, ...parts: Buffer[]): Promise<string> => {
    const sink = makeSink('write_stdout', config, { projectRoot: '/', stepId: 'out' });
    await sink.open(sinkRun(1), undefined);
    for (const part of parts) await sink.write(part, 1);
    await sink.prepare(1, 'hard');
    await sink.close();
    return Buffer.concat(written).toString();
  };

  test('write_stdout puts its prefix in front of the output, once, and of an empty one too', async () => {
    expect(await writeAll({ prefix: 'rides: ' }, text('1'), text('2'))).toBe('rides: 1\n2\n');
    written = [];
    expect(await writeAll({ prefix: 'rides: ' })).toBe('rides: ');
  });

  test('write_stdout leaves the last line feed away, and no other', async () => {
    expect(await writeAll({ newline: false }, text('1'), text('2', '3'), Buffer.from('4'), text(''))).toBe(
      '1\n2\n3\n4',
    );
  });

  test('write_stdout goes on behind a checkpoint without its prefix, and with the line feed it held back', async () => {
    const config = { newline: false, prefix: '> ' };
    const first = makeSink('write_stdout', config, { projectRoot: '/', stepId: 'out' });
    await first.open(sinkRun(1), undefined);
    await first.write(text('1'), 1);
    const mark = await first.prepare(1, 'soft');
    await first.close();
    const second = makeSink('write_stdout', config, { projectRoot: '/', stepId: 'out' });
    await second.open(sinkRun(2), JSON.parse(JSON.stringify(mark)) as typeof mark);
    await second.write(text('2'), 1);
    await second.close();
    expect(Buffer.concat(written).toString()).toBe('> 1\n2');
  });

  test('write_stdout takes the next bytes only when the last ones were taken', async () => {
    let take: (() => void) | undefined;
    const slow = new Writable({
      write(_chunk, _encoding, done) {
        take = done;
      },
    });
    vi.spyOn(process, 'stdout', 'get').mockReturnValue(slow as unknown as typeof process.stdout);
    const sink = makeSink('write_stdout', {}, { projectRoot: '/', stepId: 'out' });
    await sink.open(sinkRun(1), undefined);
    let isTaken = false;
    const writing = sink.write(text('1'), 1).then(() => {
      isTaken = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(isTaken).toBe(false);
    take?.();
    await writing;
    await sink.close();
  });
});

// They make nodes of the flow, no steps: test/engine/batch.test.ts and tee.test.ts hold them to what they promise.
covered.add('batch').add('tee');

test('every oxi of the registry is held to its contract', () => {
  expect([...registry.keys()].filter((name) => !covered.has(name))).toEqual([]);
});
