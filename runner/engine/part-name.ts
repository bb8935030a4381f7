/** What the parts of an output are called, where several workers make it: `NAME-00003-of-00008.ext`. */
import type { Share } from './contracts.ts';

const DIGITS = 5;

/** In front of the whole ending: that of its packing, and the one before it. */
export function partName(path: string, share: Share): string {
  const packing = /(?<=[^/])\.(?:gz|zst)$/i.exec(path)?.[0] ?? '';
  const plain = path.slice(0, path.length - packing.length);
  const format = /(?<=[^/])\.[^/.]+$/.exec(plain)?.[0] ?? '';
  return `${plain.slice(0, plain.length - format.length)}${partNumber(share)}${format}${packing}`;
}

export function partNumber({ index, of }: Share): string {
  return `-${numbered(index)}-of-${numbered(of)}`;
}

function numbered(n: number): string {
  return String(n).padStart(DIGITS, '0');
}
