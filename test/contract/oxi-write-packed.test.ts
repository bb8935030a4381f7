/** `write_file`, packed, encoded or rewritten: the bytes are those of an undisturbed run, whoever dies at whatever moment. */
import { spawnSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync, zstdDecompressSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Mark, Rewrite, Sink } from '../../runner/engine/contracts.ts';
import { MEMBER_BYTES } from '../../runner/oxis/files/members.ts';
import { encoded, readAll, textOf } from '../engine/text-source.ts';
import { randomOf, SEED, SOAK } from '../fault/random.ts';
import { makeSink, sinkRun, text } from './oxi-suite.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'oxiflow-packed-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

type Config = Record<string, unknown>;

const sink = (path: string, config: Config = {}): Sink =>
  makeSink('write_file', { path, ...config }, { projectRoot: folder, stepId: 'out' });
const output = (path: string): Buffer => readFileSync(join(folder, path));

function rides(from: number, to: number): Buffer {
  let records = '';
  for (let i = from; i < to; i++) records += `{"ride":${i},"fare":${(i * 7919) % 100_003},"city":"Zürich"}\n`;
  return Buffer.from(records);
}

/** The file that a run makes which nothing disturbs. */
async function undisturbed(path: string, config: Config, records: Buffer): Promise<Buffer> {
  const one = sink(path, config);
  await one.open(sinkRun(1, { runKey: 'undisturbed' }), undefined);
  await one.write(records, 1);
  await one.finish(await one.prepare(1, 'hard'));
  await one.close();
  const made = output(path);
  rmSync(join(folder, path));
  expect(readdirSync(folder)).toEqual([]);
  return made;
}

const WAYS: readonly [path: string, config: Config, decode: (bytes: Buffer) => Promise<string> | string][] = [
  ['rides.ndjson', {}, String],
  ['rides.ndjson', { encoding: 'utf-16' }, (bytes) => bytes.toString('utf16le').slice(1)],
  ['rides.ndjson.gz', { compression_level: 1 }, (bytes) => gunzipSync(bytes).toString()],
  ['rides.ndjson.zst', { compression_level: 1 }, async (bytes) => (await readAll(textOf(bytes, 'a.zst'))).toString()],
  [
    'rides.ndjson.zst',
    { encoding: 'latin1' },
    async (bytes) => (await readAll(textOf(bytes, 'a.zst', { encoding: 'latin1' }))).toString(),
  ],
  [
    'rides',
    { compression: 'gzip', compression_level: 1, encoding: 'utf-16be' },
    (bytes) => gunzipSync(bytes).swap16().toString('utf16le'),
  ],
];

describe.each(WAYS)('%s %j', (path, config, decode) => {
  test('holds the text, and the same bytes every time', async () => {
    const records = rides(0, 60_000);
    const made = await undisturbed(path, config, records);
    expect(await decode(made)).toBe(records.toString());
    expect((await undisturbed(path, config, records)).equals(made)).toBe(true);
  });

  test(`killed at random, it is byte for byte what it would have been (seed ${SEED})`, async () => {
    const random = randomOf(SEED);
    for (let round = 0; round < 3 * Math.max(1, SOAK); round++) {
      const records = rides(round, round + random.pick([0, 3, 30_000, 60_000]));
      const made = await undisturbed(path, config, records);
      // What the store knows: a mark, and how much of the text it covers.
      let hard: { mark: Mark; at: number } | undefined;
      let soft: typeof hard;
      let n = 0;
      let done = false;
      for (let token = 1; !done; token++) {
        // Now and then the machine dies, which forgets the soft one.
        let last = random.below(4) === 0 ? hard : (soft ?? hard);
        soft = last === hard ? undefined : soft;
        const one = sink(path, config);
        const predecessor = { token: token - 1, provenDead: random.below(3) > 0 };
        const run = sinkRun(token, token === 1 ? {} : { predecessor });
        expect(await one.open(run, last?.mark), `round ${round}, token ${token}`).toEqual({ at: 'mark' });
        let at = last?.at ?? 0;
        const dies = token < 6 ? random.below(8) : Number.POSITIVE_INFINITY;
        for (let step = 0; step <= dies; step++) {
          const size = Math.min(records.length - at, 1 + random.below(random.pick([200, 300_000, 1_500_000])));
          await one.write(Uint8Array.from(records.subarray(at, at + size)), 1);
          at += size;
          const grade = at === records.length ? 'hard' : random.pick(['hard', 'soft'] as const);
          if (at < records.length && random.below(3) === 0) continue;
          const mark = JSON.parse(JSON.stringify(await one.prepare(++n, grade))) as Mark;
          if (step === dies && random.below(2) === 0) break;
          last = { mark, at };
          if (grade === 'hard') {
            hard = last;
            soft = undefined;
          } else soft = last;
          if (step === dies) break;
          await one.published?.(n);
          if (at < records.length) continue;
          done = true;
          break;
        }
        // Its process is gone; nothing more of it is written.
        await one.close();
        if (done && hard !== undefined) {
          for (const next of [token + 1, token + 2]) {
            const two = sink(path, config);
            const finishing = sinkRun(next, { predecessor: { token: next - 1, provenDead: true }, finishing: true });
            expect(await two.open(finishing, hard.mark)).toEqual({ at: 'mark' });
            expect((await two.prepare(n, 'hard')).bytes).toBe(hard.mark.bytes);
            expect(await two.finish(hard.mark)).toMatchObject({ bytes: made.length });
            await two.close();
          }
        }
      }
      expect(output(path).equals(made), `seed ${SEED}, round ${round}`).toBe(true);
      expect(readdirSync(folder)).toEqual([path]);
      rmSync(join(folder, path));
    }
  });

  test('a mark one byte before, at and behind the end of a member is one to go on from', async () => {
    const records = Buffer.concat([rides(0, 45_000)]);
    const made = await undisturbed(path, config, records);
    const perByte = config.encoding === undefined ? 1 : config.encoding === 'latin1' ? 1 : 2;
    for (const around of [-1, 0, 1]) {
      const at = Math.floor(MEMBER_BYTES / perByte) + around;
      const one = sink(path, config);
      await one.open(sinkRun(1), undefined);
      await one.write(records.subarray(0, at), 1);
      const mark = await one.prepare(1, 'soft');
      await one.write(records.subarray(at), 1);
      await one.close();
      const two = sink(path, config);
      expect(await two.open(sinkRun(2, { predecessor: { token: 1, provenDead: false } }), mark)).toEqual({
        at: 'mark',
      });
      await two.write(records.subarray(at), 1);
      await two.finish(await two.prepare(2, 'hard'));
      await two.close();
      expect(output(path).equals(made)).toBe(true);
    }
  });

  describe('rewritten', () => {
    const records = rides(0, 40_000);
    /** A header in front, and every line longer by a sign. */
    const withHeader: Rewrite = async function* (lines) {
      yield Buffer.from('ride,fare,Zürich\n');
      for await (const part of lines)
        yield Buffer.from(Buffer.from(part).toString('latin1').replaceAll('\n', '!\n'), 'latin1');
    };
    const expected = `ride,fare,Zürich\n${records.toString().replaceAll('\n', '!\n')}`;

    async function begun(): Promise<{ one: Sink; mark: Mark }> {
      const one = sink(path, config);
      await one.open(sinkRun(1), undefined);
      await one.write(records.subarray(0, records.length - 1000), 1);
      const mark = await one.prepare(1, 'hard');
      await one.published?.(1);
      await one.write(records.subarray(records.length - 1000), 1);
      return { one, mark };
    }

    async function ends(token: number, mark: Mark, provenDead: boolean): Promise<void> {
      const two = sink(path, config);
      expect(await two.open(sinkRun(token, { predecessor: { token: token - 1, provenDead } }), mark)).toEqual({
        at: 'mark',
      });
      await two.write(records.subarray(records.length - 1000), 1);
      await two.rewrite?.(withHeader);
      const last = await two.prepare(9, 'hard');
      await two.published?.(9);
      await two.finish(last);
      await two.close();
    }

    const isRight = async (): Promise<void> => {
      expect(await decode(output(path))).toBe(expected);
      expect(readdirSync(folder)).toEqual([path]);
    };

    test('it has the bytes that it would have had, written so from the first', async () => {
      const made = await undisturbed(path, config, Buffer.from(expected));
      const { one } = await begun();
      await one.rewrite?.(withHeader);
      const last = await one.prepare(2, 'hard');
      expect(last.bytes).toBe(made.length);
      await one.published?.(2);
      expect(readdirSync(folder)).toHaveLength(1);
      await one.finish(last);
      await one.close();
      await isRight();
      expect(output(path).equals(made)).toBe(true);
    });

    test.each([true, false])(
      'dead while it is rewritten, the old text is there (proven dead: %s)',
      async (provenDead) => {
        const { one, mark } = await begun();
        const halfWay: Rewrite = async function* (lines) {
          for await (const part of lines) {
            yield part;
            throw new Error('dead');
          }
        };
        await expect(one.rewrite?.(halfWay)).rejects.toThrow('dead');
        await one.close();
        expect(readdirSync(folder)).toHaveLength(2);
        await ends(2, mark, provenDead);
        await isRight();
      },
    );

    test.each([true, false])(
      'dead before its mark is saved, the old text is there (proven dead: %s)',
      async (provenDead) => {
        const { one, mark } = await begun();
        await one.rewrite?.(withHeader);
        await one.prepare(2, 'hard');
        await one.close();
        await ends(2, mark, provenDead);
        await isRight();
      },
    );

    test('dead when its mark is saved, the new text is published', async () => {
      const { one } = await begun();
      await one.rewrite?.(withHeader);
      const last = JSON.parse(JSON.stringify(await one.prepare(2, 'hard'))) as Mark;
      await one.close();
      for (const token of [2, 3]) {
        const two = sink(path, config);
        const run = sinkRun(token, { predecessor: { token: token - 1, provenDead: true }, finishing: true });
        expect(await two.open(run, last)).toEqual({ at: 'mark' });
        await two.finish(last);
        await two.close();
        await isRight();
      }
    });

    test('a soft mark of it may be forgotten with the machine: the old text stays until a hard one', async () => {
      const { one, mark } = await begun();
      await one.rewrite?.(withHeader);
      await one.prepare(2, 'soft');
      await one.published?.(2);
      await one.close();
      await ends(2, mark, true);
      await isRight();
    });

    test('given up, it leaves nothing', async () => {
      const { one } = await begun();
      await one.rewrite?.(withHeader);
      await one.abort();
      await one.close();
      expect(readdirSync(folder)).toEqual([]);
    });
  });
});

test.for([
  ['gzip', '.gz'],
  ['zstd', '.zst'],
] as const)('the program %s reads what was written', async ([program, suffix], t) => {
  // Without it node:zlib has to do: every other test here uses that.
  if (spawnSync(program, ['--version']).error !== undefined) t.skip(`no ${program} on this machine`);
  for (const count of [0, 1, 50_000]) {
    const records = rides(0, count);
    const one = sink(`rides${suffix}`);
    await one.open(sinkRun(1), undefined);
    await one.write(records, count);
    await one.finish(await one.prepare(1, 'hard'));
    await one.close();
    const { status, stdout, stderr } = spawnSync(program, ['-dc', join(folder, `rides${suffix}`)], {
      maxBuffer: 1 << 28,
    });
    expect(status, stderr.toString()).toBe(0);
    expect(stdout.equals(records)).toBe(true);
  }
});

describe('append', () => {
  test.each(['.gz', '.zst'])('joins members to a file in %s', async (suffix) => {
    const path = `rides${suffix}`;
    for (const [i, count] of [3, 0, 30_000].entries()) {
      const one = sink(path, { append: true });
      await one.open(sinkRun(i + 1), undefined);
      await one.write(rides(0, count), count);
      await one.finish(await one.prepare(1, 'hard'));
      await one.close();
    }
    const all = Buffer.concat([rides(0, 3), rides(0, 30_000)]);
    expect((await readAll(textOf(output(path), path))).equals(all)).toBe(true);
    expect(readdirSync(folder)).toEqual([path]);
  });

  test.each([
    ['utf-16le', '\ufeff{"ride":0}\n'],
    ['utf-16be', '\ufeff{"ride":0}\n'],
    ['utf-16le', '{"ride":0}\n'],
  ] as const)('in utf-16 goes on as %s and repeats no byte order mark', async (order, before) => {
    for (const [path, old] of [
      ['rides', encoded(before, order)],
      ['rides.gz', gzipSync(encoded(before, order))],
    ] as const) {
      writeFileSync(join(folder, path), old);
      const one = sink(path, { append: true, encoding: 'utf-16' });
      await one.open(sinkRun(1), undefined);
      await one.write(text('{"ride":1}'), 1);
      await one.finish(await one.prepare(1, 'hard'));
      await one.close();
      const all = await readAll(textOf(output(path), path, { encoding: order }));
      expect(all.toString()).toBe(`${before}{"ride":1}\n`);
    }
  });

  test('with a backup, dead while it joins, goes on where it was', async () => {
    const before = gzipSync('{"ride":0}\n');
    writeFileSync(join(folder, 'rides.gz'), before);
    const one = sink('rides.gz', { append: true });
    await one.open(sinkRun(1), undefined);
    await one.write(text('{"ride":1}'), 1);
    const mark = await one.prepare(1, 'hard');
    await one.close();
    appendFileSync(join(folder, 'rides.gz'), Buffer.from(String(mark.data.end), 'base64').subarray(0, 7));
    const two = sink('rides.gz', { append: true });
    await two.open(sinkRun(2, { predecessor: { token: 1, provenDead: true }, finishing: true }), mark);
    await two.finish(mark);
    await two.close();
    expect(gunzipSync(output('rides.gz')).toString()).toBe('{"ride":0}\n{"ride":1}\n');
  });
});

test('a character that latin1 has not is an error that names it and what to set', async () => {
  const one = sink('rides', { encoding: 'ISO-8859-1' });
  await one.open(sinkRun(1), undefined);
  await expect(one.write(text('"5 €"'), 1)).rejects.toMatchObject({
    code: 'RECORD_INVALID',
    message:
      'step "out": rides: the character "€" (U+20AC) does not exist in latin1, so it can\'t be written as latin1: set "encoding: utf-8", or mend the records before',
    place: { step: 'out', field: 'encoding' },
  });
  await one.abort();
  await one.close();
});

test('a character that comes in two pieces is one', async () => {
  const one = sink('rides', { encoding: 'utf-16le' });
  await one.open(sinkRun(1), undefined);
  const bytes = Buffer.from('"😀"\n');
  let mark: Mark | undefined;
  for (const [i, byte] of bytes.entries()) {
    await one.write(Uint8Array.of(byte), 0);
    if (i === 2) mark = JSON.parse(JSON.stringify(await one.prepare(1, 'hard'))) as Mark;
  }
  await one.close();
  const two = sink('rides', { encoding: 'utf-16le' });
  await two.open(sinkRun(2, { predecessor: { token: 1, provenDead: true } }), mark);
  await two.write(Uint8Array.from(bytes.subarray(3)), 0);
  await two.finish(await two.prepare(2, 'hard'));
  await two.close();
  expect(output('rides').toString('utf16le')).toBe('"😀"\n');
});

test('a level that the packing does not have is refused before anything starts', () => {
  expect(() => sink('rides.gz', { compression_level: 12 })).toThrow('"compression_level": goes to 9 for gzip');
  expect(() => sink('rides', { compression_level: 1 })).toThrow('has no effect on a file that is not packed');
  expect(existsSync(join(folder, 'rides'))).toBe(false);
});

test('zstd frames carry a checksum and their size', async () => {
  const one = sink('rides.zst');
  await one.open(sinkRun(1), undefined);
  await one.write(text('{"ride":1}'), 1);
  await one.finish(await one.prepare(1, 'hard'));
  await one.close();
  const bytes = output('rides.zst');
  expect((bytes[4] as number) & 0x24).toBe(0x24);
  expect(zstdDecompressSync(bytes).toString()).toBe('{"ride":1}\n');
});
