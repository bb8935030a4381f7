/**
 * Lays a compact JSON text out as YAML 1.2. Numbers and literals keep their text, which means the same in YAML's core schema;
 * texts stand plain where nothing could take them for anything else, in double quotes elsewhere.
 */
import { decodeString } from './decode.ts';
import { skipString, skipValue } from './grammar.ts';
import type { ByteWriter } from './writer.ts';

const STEP = 2;
/** Beyond this YAML needs a mark in front of a key. */
const LONG_KEY = 1000;
const PLAIN = /^[A-Za-z_][\w.-]*(?: [\w.-]+)*$/;
const RESERVED = /^(?:true|false|null|yes|no|on|off|y|n|nan|inf)$/i;
const UNPRINTABLE = /[\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/g;

/** Writes the valid compact JSON text `b[start, end)`; its first line begins where `out` stands, the others at column `indent`. */
export function layOutYaml(b: Buffer, start: number, end: number, indent: number, out: ByteWriter): void {
  const c = b[start];
  if (!isFull(b, start)) {
    if (c === 0x22) out.text(scalarText(decodeString(b, start, end)));
    else out.copy(b, start, end);
    return;
  }
  const newLine = `\n${' '.repeat(indent)}`;
  if (c === 0x5b) {
    let p = start + 1;
    for (let i = 0; ; i++) {
      const stop = skipValue(b, p, end, 0);
      if (i > 0) out.text(newLine);
      out.text('- ');
      layOutYaml(b, p, stop, indent + STEP, out);
      if (b[stop] !== 0x2c) return;
      p = stop + 1;
    }
  }
  let first = true;
  for (const [key, [from, to]] of members(b, start, end)) {
    if (!first) out.text(newLine);
    first = false;
    const name = scalarText(key);
    const isLong = name.length > LONG_KEY;
    out.text(isLong ? `? ${name}${newLine}:` : `${name}:`);
    out.text(!isLong && isFull(b, from) ? `${newLine}${' '.repeat(STEP)}` : ' ');
    layOutYaml(b, from, to, indent + STEP, out);
  }
}

/** An object or an array with something in it. */
function isFull(b: Buffer, p: number): boolean {
  return (b[p] === 0x7b && b[p + 1] !== 0x7d) || (b[p] === 0x5b && b[p + 1] !== 0x5d);
}

/** Values by key; of a key that stands twice the last one, at the place of the first: YAML knows no other. */
function members(b: Buffer, start: number, end: number): Map<string, readonly [number, number]> {
  const found = new Map<string, readonly [number, number]>();
  let p = start;
  do {
    const keyEnd = skipString(b, p + 2, end);
    const stop = skipValue(b, keyEnd + 1, end, 0);
    found.set(decodeString(b, p + 1, keyEnd), [keyEnd + 1, stop]);
    p = stop;
  } while (b[p] === 0x2c);
  return found;
}

function scalarText(text: string): string {
  if (PLAIN.test(text) && !RESERVED.test(text)) return text;
  return JSON.stringify(text).replaceAll(UNPRINTABLE, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
