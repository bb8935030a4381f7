/** Input of any size for a runner's standard input, made as it is taken: no disk is needed. */
import { eventBlocks } from '../fixtures/generate.ts';

const LF = 0x0a;
const COMMA = 0x2c;

/** The events as one JSON array, in pieces of about a megabyte. */
export function* asArray(bytes: number): Generator<Uint8Array | string> {
  let isFirst = true;
  for (const block of eventBlocks({ seed: 7, bytes })) {
    yield isFirst ? '[' : ',';
    isFirst = false;
    for (let at = block.indexOf(LF); at >= 0 && at < block.length - 1; at = block.indexOf(LF, at + 1))
      block[at] = COMMA;
    yield block;
  }
  yield isFirst ? '[]' : ']';
}

/** About so many bytes of CSV with quoted cells, in pieces of about a megabyte; a block of rows comes again and again. */
export function* asRows(bytes: number): Generator<Uint8Array | string> {
  yield 'seq,ts,amount,country,name,note\n';
  const rows: string[] = [];
  for (let i = 0; i < 8000; i += 1)
    rows.push(
      `${i},2026-03-01T12:${String(i % 60).padStart(2, '0')}:00Z,${i % 977}.${i % 10},DE,"Müller, ${i}","said ""yes""\nand went"\n`,
    );
  const block = Buffer.from(rows.join(''));
  for (let sent = 0; sent < bytes; sent += block.length) yield block;
}
