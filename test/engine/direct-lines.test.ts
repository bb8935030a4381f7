/** Where the pieces of a file of lines end, and what becomes of a file that changes under those who read them. */
import { describe, expect, test } from 'vitest';
import type { DirectInput } from '../../runner/engine/contracts.ts';
import { DirectSplit, nextPiece } from '../../runner/engine/direct-lines.ts';
import { randomOf } from '../fault/random.ts';

const PIECE = 896 << 10;

function inputOf(text: () => Buffer): DirectInput & { checks: number; reads: number; closed: number } {
  return {
    fd: -1,
    checks: 0,
    reads: 0,
    closed: 0,
    read(at, length) {
      this.reads += length;
      return text().subarray(at, at + length);
    },
    async check() {
      this.checks++;
    },
    async close() {
      this.closed++;
    },
  };
}

async function piecesOf(text: Buffer, from: number, to: number, longest: number): Promise<Buffer[] | undefined> {
  const input = inputOf(() => text);
  const pieces: Buffer[] = [];
  for (let at = from; ; ) {
    const piece = await nextPiece(input, at, to, longest);
    if (piece === undefined) return at < Math.min(to, text.length) ? undefined : pieces;
    expect(piece.at).toBe(at);
    pieces.push(text.subarray(at, at + piece.size));
    at += piece.size;
    if (piece.isLast) break;
  }
  // What is looked at is little beside what is read.
  if (text.length > 10 * PIECE) expect(input.reads).toBeLessThan(text.length / 4);
  return pieces;
}

describe('pieces of a file of lines', () => {
  test.each([
    ['short lines', 60, '\n'],
    ['lines of many lengths', 9000, '\n'],
    ['a last line without its line feed', 300, ''],
    ['lines longer than what is looked at first', 60_000, '\n'],
  ])('%s: whole lines each, all of the file together', async (_what, longest, end) => {
    const random = randomOf(longest);
    let text = '';
    while (text.length < 4_000_000) text += `${'x'.repeat(random.below(longest))}\n`;
    const bytes = Buffer.from(`${text}last${end}`);
    const from = text.indexOf('\n') + 1;
    const pieces = await piecesOf(bytes, from, Number.POSITIVE_INFINITY, 1 << 20);
    expect(Buffer.concat(pieces ?? []).equals(bytes.subarray(from))).toBe(true);
    for (const piece of (pieces ?? []).slice(0, -1)) {
      expect(piece.at(-1)).toBe(0x0a);
      expect(piece.length).toBeLessThanOrEqual(PIECE);
    }
    // A range ends where it is told to, at the end of a line.
    const to = text.lastIndexOf('\n', text.length / 2) + 1;
    const half = await piecesOf(bytes, from, to, 1 << 20);
    expect(Buffer.concat(half ?? []).equals(bytes.subarray(from, to))).toBe(true);
  });

  test('a line longer than a piece is a piece of its own; one longer than is allowed is left to others', async () => {
    const long = Buffer.from(`a\n${'x'.repeat(3 * PIECE)}\nb\n`);
    const pieces = await piecesOf(long, 0, Number.POSITIVE_INFINITY, 4 * PIECE);
    expect(Buffer.concat(pieces ?? []).equals(long)).toBe(true);
    expect(await piecesOf(long, 0, Number.POSITIVE_INFINITY, PIECE)).toBeUndefined();
  });

  test('an empty file has none, and one that has become shorter is looked at before that is taken for its end', async () => {
    expect(await piecesOf(Buffer.alloc(0), 0, Number.POSITIVE_INFINITY, 100)).toEqual([]);
    const short = inputOf(() => Buffer.from('a\nb\n'));
    expect(await nextPiece(short, 2, Number.POSITIVE_INFINITY, 100)).toEqual({ at: 2, size: 2, isLast: true });
    expect(short.checks).toBeGreaterThan(0);
    expect(await nextPiece(short, 40, Number.POSITIVE_INFINITY, 100)).toBeUndefined();
  });

  test('an open split is closed when it has ended and all of its pieces are read, once', async () => {
    const input = inputOf(() => Buffer.alloc(0));
    const split = new DirectSplit(input, () => undefined);
    const [one, two] = [split.hold(), split.hold()];
    await one();
    split.end();
    expect(input.closed).toBe(0);
    await two();
    expect(input.closed).toBe(1);
  });

  test('the last who reads a piece finds what was rewritten meanwhile, and the split is closed all the same', async () => {
    const input = inputOf(() => Buffer.alloc(0));
    input.check = async () => {
      throw new Error('another program wrote to it');
    };
    const split = new DirectSplit(input, () => undefined);
    const [one, two] = [split.hold(), split.hold()];
    split.end();
    await one();
    await expect(two()).rejects.toThrow('another program wrote to it');
    expect(input.closed).toBe(1);
  });
});
