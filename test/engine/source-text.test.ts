/** The text behind a source: the same whatever it was packed with, encoded in or cut into; and from every position on. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import type { TextEncoding } from '../../runner/engine/contracts.ts';
import { OxiError } from '../../runner/engine/errors.ts';
import { SourceText, type SplitPosition } from '../../runner/engine/source-text.ts';
import { LineFramer } from '../../runner/kernel/lines.ts';
import { randomOf, SEED, SOAK } from '../fault/random.ts';
import { encoded, packed, readAll, type Settings, sourceOf, textOf } from './text-source.ts';

const CODECS = ['gzip', 'zstd'] as const;
const SUFFIX = { gzip: '.gz', zstd: '.zst' } as const;
const ENCODINGS: readonly TextEncoding[] = ['utf-8', 'utf-16', 'utf-16le', 'utf-16be', 'latin1'];
const NEVER = new AbortController().signal;

function rides(from: number, to: number, city = 'Zürich'): string {
  let text = '';
  for (let i = from; i < to; i++) text += `{"ride":${i},"city":"${city}"}\n`;
  return text;
}

/** Members of their own, joined as `cat` would. */
function members(parts: readonly string[], codec: 'gzip' | 'zstd'): Buffer {
  return Buffer.concat(parts.map((part) => packed(Buffer.from(part), codec)));
}

async function failure(bytes: Buffer, name: string, settings: Settings = {}): Promise<OxiError> {
  const error = await readAll(textOf(bytes, name, settings)).then(
    (text) => expect.fail(`read as ${text.length} bytes`),
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(OxiError);
  expect((error as OxiError).exitCode).toBe(3);
  return error as OxiError;
}

describe.each(CODECS)('%s', (codec) => {
  const name = `rides.ndjson${SUFFIX[codec]}`;

  test('several members are one text', async () => {
    const parts = [rides(0, 2000), '', rides(2000, 2001), rides(2001, 9000)];
    expect((await readAll(textOf(members(parts, codec), name))).toString()).toBe(parts.join(''));
  });

  test('what the program of the machine packs is read', async (t) => {
    const text = rides(0, 5000);
    const made = spawnSync(codec, ['-c'], { input: text });
    if (made.error !== undefined) t.skip(`no ${codec} on this machine`);
    const again = spawnSync(codec, ['-9', '-c'], { input: text });
    expect((await readAll(textOf(Buffer.concat([made.stdout, again.stdout]), name))).toString()).toBe(text + text);
  });

  test('a file that is cut off anywhere is an error, never an end', async () => {
    const whole = members([rides(0, 20), rides(20, 25)], codec);
    const boundary = packed(Buffer.from(rides(0, 20)), codec).length;
    for (let end = 0; end < whole.length; end++) {
      if (end === boundary) continue;
      const { code, message } = await failure(whole.subarray(0, end), name);
      expect(code, `cut at ${end}`).toBe('DOCUMENT_BROKEN');
      expect(message, `cut at ${end}`).toMatch(/cut off|is empty/);
    }
    expect((await readAll(textOf(whole.subarray(0, boundary), name))).toString()).toBe(rides(0, 20));
  });

  test('garbage behind the last member is an error', async () => {
    const whole = members([rides(0, 20)], codec);
    const { message } = await failure(Buffer.concat([whole, Buffer.from('{"ride":1}\n')]), name);
    expect(message).toContain(`at byte ${whole.length}, stands something else`);
  });

  test('a damaged byte is an error wherever it shows', async () => {
    const whole = packed(Buffer.from(rides(0, 200)), codec);
    for (let at = whole.length - 1; at >= whole.length / 2; at -= 7) {
      const bad = Buffer.from(whole);
      bad[at] = (bad[at] as number) ^ 0x55;
      expect((await failure(bad, name)).message).toMatch(/damaged|cut off|something else|window|dictionary/);
    }
  });

  test('a file that is not packed says so', async () => {
    expect((await failure(Buffer.from(rides(0, 3)), name)).message).toBe(
      `${name}: does not begin as ${codec} does: set "compression: none" on the source if it is not packed`,
    );
  });

  test('a packed file under another name is told how to read it', async () => {
    const bytes = packed(Buffer.from(rides(0, 3)), codec);
    await expect(textOf(bytes, 'rides.bin').peek(100)).rejects.toMatchObject({
      code: 'DOCUMENT_BROKEN',
      message: expect.stringContaining(`set "compression: ${codec}"`),
    });
    expect((await readAll(textOf(bytes, 'rides.bin', { compression: codec }))).toString()).toBe(rides(0, 3));
  });

  test('binary, and compression none, give the bytes as they are', async () => {
    const bytes = packed(Buffer.from(rides(0, 3)), codec);
    for (const settings of [{ binary: true }, { compression: 'none' }] as const)
      expect((await readAll(textOf(bytes, name, settings))).equals(bytes)).toBe(true);
  });

  test('a bomb ends with an error that names the field, unless it is allowed', async () => {
    const zeros = Buffer.alloc(1 << 20, ' ');
    const one = packed(zeros, codec);
    const bomb = Buffer.concat(Array.from({ length: 120 }, () => one));
    expect((await failure(bomb, name)).message).toContain('Raise "max_expansion" on the source');
    let size = 0;
    for await (const { bytes } of textOf(bomb, name, { maxExpansion: 100_000 }).open(
      textOf(bomb, name).begin(0),
      NEVER,
    ))
      size += bytes.length;
    expect(size).toBe(120 << 20);
  });

  test('a byte at a time, and with a reader that stops, it is the same text', async () => {
    const text = rides(0, 300);
    const bytes = members([text.slice(0, 100), text.slice(100, 101), text.slice(101)], codec);
    expect((await readAll(textOf(bytes, name, {}, () => 1))).toString()).toBe(text);
    const stopped = textOf(members([rides(0, 60_000)], codec), name);
    const abort = new AbortController();
    let size = 0;
    for await (const block of stopped.open(stopped.begin(0), abort.signal)) {
      size += block.bytes.length;
      abort.abort();
    }
    expect(size).toBeGreaterThan(0);
    expect(size).toBeLessThan(rides(0, 60_000).length);
    expect(stopped.ended).toBe(false);
  });

  test('goes on one byte before, at and behind every member', async () => {
    const parts = Array.from({ length: 6 }, (_, i) => rides(i * 4000, (i + 1) * 4000));
    const bytes = members(parts, codec);
    const all = Buffer.from(parts.join(''));
    let at = 0;
    const ends = parts.map((part) => {
      at += Buffer.byteLength(part);
      return at;
    });
    const text = textOf(bytes, name);
    const found: SplitPosition[] = [];
    let next = 0;
    const wanted = ends.flatMap((end) => [end - 1, end, end + 1]).filter((end) => end <= all.length);
    for await (const block of text.open(text.begin(0), NEVER))
      for (; next < wanted.length && (wanted[next] as number) <= block.after; next++)
        found.push(text.position(wanted[next] as number));
    expect(found).toHaveLength(wanted.length);
    for (const [i, position] of found.entries()) {
      const tail = await readAll(textOf(bytes, name), JSON.parse(JSON.stringify(position)));
      expect(tail.equals(all.subarray(wanted[i])), `from ${wanted[i]}`).toBe(true);
    }
    // All but the first few begin at a member of their own, not at the first one.
    expect(new Set(found.map(({ text: place }) => place?.raw)).size).toBeGreaterThan(4);
  });
});

test.each([
  ['gzip', 700],
  ['zstd', 1200],
] as const)('what grows out of a small %s file takes no memory: %i MB', (codec, megabytes) => {
  const folder = mkdtempSync(join(tmpdir(), 'oxiflow-grow-'));
  try {
    const path = join(folder, `spaces${SUFFIX[codec]}`);
    const member = packed(Buffer.alloc(100 << 20, ' '), codec);
    writeFileSync(path, Buffer.concat(Array.from({ length: megabytes / 100 }, () => member)));
    const child = spawnSync(process.execPath, [fileURLToPath(new URL('unpack-child.ts', import.meta.url)), path]);
    const { size, peakMb } = JSON.parse(child.stdout.toString() || child.stderr.toString());
    expect(size).toBe(megabytes << 20);
    // What zlib gives out waits for the garbage collection, which comes when it comes.
    expect(peakMb).toBeLessThan(350);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('gzip headers with every optional part are read', async () => {
  const plain = packed(Buffer.from('{"ride":1}\n'), 'gzip');
  const head = Buffer.from(plain.subarray(0, 10));
  head[3] = 2 | 4 | 8 | 16;
  const extra = Buffer.from('\x04\x00ride', 'latin1');
  const bytes = Buffer.concat([
    head,
    extra,
    Buffer.from('rides.ndjson\0of a day\0\x12\x34', 'latin1'),
    plain.subarray(10),
  ]);
  for (const size of [1, 3, 1000])
    expect((await readAll(textOf(bytes, 'rides.gz', {}, () => size))).toString()).toBe('{"ride":1}\n');
});

test('zeros behind a gzip member are padding, to the end', async () => {
  const bytes = packed(Buffer.from('{"ride":1}\n'), 'gzip');
  expect((await readAll(textOf(Buffer.concat([bytes, Buffer.alloc(700)]), 'rides.gz'))).toString()).toBe(
    '{"ride":1}\n',
  );
  expect((await failure(Buffer.concat([bytes, Buffer.alloc(7), bytes]), 'rides.gz')).message).toContain(
    'something else',
  );
});

test('skippable zstd frames are skipped, and a window that is too large is refused before anything is kept', async () => {
  const one = packed(Buffer.from('{"ride":1}\n'), 'zstd');
  const skippable = Buffer.from([0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
  expect((await readAll(textOf(Buffer.concat([skippable, one, skippable, one]), 'rides.zst'))).toString()).toBe(
    '{"ride":1}\n{"ride":1}\n',
  );
  const wide = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, (31 - 10) << 3, 0, 0, 0]);
  expect((await failure(wide, 'rides.zst')).message).toContain('needs a window of 2048 MB');
});

describe('byte order marks', () => {
  const text = '{"city":"Zürich €"}\n';
  const BOM = '\ufeff';
  test.each<[TextEncoding, Buffer]>([
    ['utf-8', encoded(text, 'utf-8')],
    ['utf-8', encoded(BOM + text, 'utf-8')],
    ['utf-16', encoded(text, 'utf-16')],
    ['utf-16', encoded(text, 'utf-16le')],
    ['utf-16', encoded(BOM + text, 'utf-16be')],
    ['utf-16le', encoded(text, 'utf-16le')],
    ['utf-16le', encoded(BOM + text, 'utf-16le')],
    ['utf-16be', encoded(text, 'utf-16be')],
    ['utf-16be', encoded(BOM + text, 'utf-16be')],
  ])('as %s: read, packed or not', async (encoding, bytes) => {
    for (const [name, content] of [
      ['city.json', bytes],
      ['city.json.gz', packed(bytes, 'gzip')],
      ['city.json.zst', packed(bytes, 'zstd')],
    ] as const) {
      const found = textOf(content, name, { encoding });
      const first = Buffer.from(await found.peek(1000)).toString();
      expect(first.replace(BOM, '')).toBe(text);
      expect((await readAll(found)).toString()).toBe(first);
    }
  });

  test.each<[TextEncoding, TextEncoding, Buffer]>([
    ['utf-8', 'utf-16le', encoded(BOM + text, 'utf-16le')],
    ['utf-8', 'utf-16be', encoded(BOM + text, 'utf-16be')],
    ['utf-16le', 'utf-16be', encoded(BOM + text, 'utf-16be')],
    ['utf-16be', 'utf-16le', encoded(BOM + text, 'utf-16le')],
    ['utf-16le', 'utf-8', encoded(BOM + text, 'utf-8')],
    ['latin1', 'utf-8', encoded(BOM + text, 'utf-8')],
  ])('read as %s, the mark of %s is an error that says what to set', async (encoding, mark, bytes) => {
    for (const [name, content] of [
      ['city.json', bytes],
      ['city.json.gz', packed(bytes, 'gzip')],
    ] as const)
      await expect(textOf(content, name, { encoding }).peek(1000)).rejects.toMatchObject({
        code: 'DOCUMENT_BROKEN',
        message: expect.stringContaining(`set "encoding: ${mark}" on the source`),
      });
  });
});

test('a surrogate that stands alone, and half a unit at the end, become bytes that are no UTF-8', async () => {
  const lone = encoded('"\ud83d"\n"\ude00x"\n"\ud83d\ud83d\ude00"\n', 'utf-16le');
  const text = await readAll(
    textOf(Buffer.concat([lone, Buffer.from('7')]), 'a.ndjson', { encoding: 'utf-16le' }, () => 1),
  );
  expect(text.toString('latin1')).toBe('"\xed\xa0\xbd"\n"\xed\xb8\x80x"\n"\xed\xa0\xbd\xf0\x9f\x98\x80"\n\xff');
});

test('a source that is read once shows its text by a first line, and does not wait for more', async () => {
  const bytes = packed(Buffer.from(rides(0, 100_000)), 'gzip');
  const source = sourceOf(bytes, { compression: 'gzip' }, undefined, 'once');
  let asked = 0;
  const { peek } = source;
  source.peek = async (split, length) => {
    asked = Math.max(asked, length);
    return peek(split, length);
  };
  const first = await new SourceText(source, { index: 0, name: 'stdin' }, true).peek(64 << 10);
  expect(Buffer.from(first).toString()).toMatch(/^\{"ride":0,/);
  expect(asked).toBe(1024);
});

test(`random text, packed and encoded at random, is the same text from every saved position (seed ${SEED})`, async () => {
  const random = randomOf(SEED);
  const ALPHABET = [...'{}":,0a \n', 'ü', 'ß'];
  const WIDE = [...ALPHABET, '€', '日', '\u{1f600}', '\ufffd'];
  for (let round = 0; round < 40 * Math.max(1, SOAK); round++) {
    const encoding = random.pick(ENCODINGS);
    const codec = random.pick([undefined, ...CODECS]);
    let text = '';
    const length = random.pick([0, 1, 50, 5000, 300_000]);
    const letters = encoding === 'latin1' ? ALPHABET : WIDE;
    const unit = Array.from({ length: 97 }, () => random.pick(letters));
    while (text.length < length) text += unit.slice(random.below(97)).join('') + random.below(1e9);
    const bytes = encoded(text, encoding);
    const parts: Buffer[] = [];
    for (let at = 0; codec !== undefined && (at < bytes.length || at === 0); ) {
      const end = Math.min(bytes.length, at + 1 + random.below(random.pick([3000, 200_000])));
      parts.push(packed(bytes.subarray(at, end), codec));
      at = Math.max(end, at + 1);
    }
    const content = codec === undefined ? bytes : Buffer.concat(parts);
    const name = `rides${codec === undefined ? '' : SUFFIX[codec]}`;
    const sizes = random.pick([
      [7, 100],
      [1000, 5000],
      [70_000, 200_000],
    ]) as [number, number];
    const small = content.length > 50_000 ? 1000 : 1;
    const piece = (): number => Math.max(small, sizes[0]) + random.below(sizes[1]);
    const why = `seed ${SEED}, round ${round}: ${encoding} ${codec}, ${text.length} characters`;
    const found = textOf(content, name, { encoding }, piece);
    const positions: SplitPosition[] = [];
    const got: Buffer[] = [];
    let pending = 0;
    for await (const block of found.open(found.begin(0), NEVER)) {
      got.push(Buffer.from(block.bytes));
      // As a framer that holds some of it back, and never goes back behind what it had given out.
      pending = random.below(Math.min(block.bytes.length, 100_000) + 1);
      positions.push(JSON.parse(JSON.stringify(found.position(block.after - pending))));
    }
    const all = Buffer.concat(got);
    const mark = encoding === 'utf-16' ? '\ufeff' : '';
    expect(all.equals(Buffer.from(mark + text)), why).toBe(true);
    expect(found.ended, why).toBe(true);
    for (let i = 0; i < Math.min(positions.length, 4); i++) {
      const position = random.pick(positions);
      const at = position.text?.at ?? position.offset;
      const tail = await readAll(textOf(content, name, { encoding }, piece), position);
      expect(tail.equals(all.subarray(at)), `${why}, from ${at}`).toBe(true);
    }
  }
});

describe('every record boundary is a place to go on', () => {
  test.each(ENCODINGS.flatMap((encoding) => [undefined, ...CODECS].map((codec) => [encoding, codec] as const)))(
    '%s, packed as %s',
    async (encoding, codec) => {
      const plain = Buffer.from(rides(0, 60, encoding === 'latin1' ? 'Zürich' : 'Zürich 😀'));
      const raw = encoded(plain.toString(), encoding);
      const cuts = [0, 900, 901, 2000, raw.length];
      const content =
        codec === undefined
          ? raw
          : Buffer.concat(cuts.slice(1).map((end, i) => packed(raw.subarray(cuts[i], end), codec)));
      const name = `rides.ndjson${codec === undefined ? '' : SUFFIX[codec]}`;
      const make = (): SourceText => textOf(content, name, { encoding }, () => 61);
      const records = async (from: SplitPosition): Promise<string[]> => {
        const framer = new LineFramer(from.text?.at ?? from.offset, 1 << 20);
        const found: string[] = [];
        const add = ({ bytes, spans, count }: ReturnType<LineFramer['push']>): void => {
          for (let i = 0; i < count; i++)
            found.push(
              Buffer.from(bytes)
                .toString('utf8', spans[2 * i], spans[2 * i + 1])
                .replace('\ufeff', ''),
            );
        };
        for await (const block of make().open(from, NEVER)) add(framer.push(block.bytes, block.headroom));
        add(framer.end());
        return found;
      };
      const all = await records(make().begin(0));
      expect(all).toEqual(plain.toString().trim().split('\n'));
      // Positions at the ends of all records, in order, as the framer would ask for them.
      const text = make();
      const bytes = await readAll(make());
      const ends: number[] = [];
      for (let at = bytes.indexOf(0x0a); at >= 0; at = bytes.indexOf(0x0a, at + 1)) ends.push(at + 1);
      const positions: SplitPosition[] = [];
      for await (const block of text.open(text.begin(0), NEVER))
        while (positions.length < ends.length && (ends[positions.length] as number) <= block.after)
          positions.push(JSON.parse(JSON.stringify(text.position(ends[positions.length] as number))));
      expect(positions).toHaveLength(60);
      for (const [i, position] of positions.entries())
        expect(await records(position), `behind record ${i}`).toEqual(all.slice(i + 1));
    },
  );
});
