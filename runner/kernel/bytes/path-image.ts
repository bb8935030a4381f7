/** The paths of a program as the kernel looks keys up: nodes, what each of them wants, and tables of hashes. */
import { MAX_SLOTS } from '../wasm/memory.ts';
import type { FormPath } from './forms.ts';
import type { Image } from './image.ts';
import { MAX_KEY_BYTES } from './layout.ts';
import { Unfit } from './unfit.ts';

/** A key or an element that some path goes through. */
export interface Wanted {
  readonly slot: number;
  readonly children: Map<string | number, Wanted>;
}

const NODE_BYTES = 32;
const WANT_BYTES = 48;
const NO_INDEX = 0xffffffff;
const MULTIPLIER = 0x9e3779b97f4a7c15n;
const TRIES = 100;

export class Paths {
  readonly root: Wanted = { slot: -1, children: new Map() };
  slots = 0;

  /** Throws Unfit where there are too many. */
  add(path: FormPath): Wanted {
    let at = this.root;
    for (const part of path) {
      let next = at.children.get(part);
      if (next === undefined) {
        if (this.slots >= MAX_SLOTS) throw new Unfit(`its steps touch more than ${MAX_SLOTS} fields`);
        next = { slot: this.slots++, children: new Map() };
        at.children.set(part, next);
      }
      at = next;
    }
    return at;
  }

  /** Returns the address of the root's node; 0 where there are no paths. */
  write(image: Image): number {
    return this.root.children.size === 0 ? 0 : writeNode(this.root, image);
  }
}

function writeNode(wanted: Wanted, image: Image): number {
  const node = image.reserve(NODE_BYTES);
  const wants = image.reserve(WANT_BYTES * wanted.children.size);
  const keys: { hash: bigint; want: number }[] = [];
  let want = wants;
  for (const [part, child] of wanted.children) {
    const key = Buffer.from(typeof part === 'string' ? `"${part}"` : '');
    if (key.length > MAX_KEY_BYTES) throw new Unfit(`a field has a name of more than ${MAX_KEY_BYTES} bytes`);
    const head = key.subarray(0, 8);
    head.copy(image.bytes, want - image.base);
    image.word(want + 8, key.length);
    image.word(want + 12, image.put(key));
    image.word(want + 16, child.slot);
    image.word(want + 20, child.children.size === 0 ? 0 : writeNode(child, image));
    image.word(want + 32, typeof part === 'number' ? part : NO_INDEX);
    if (typeof part === 'string') {
      const first = Buffer.alloc(8);
      head.copy(first);
      keys.push({ hash: BigInt.asUintN(64, first.readBigUInt64LE() + BigInt(key.length)), want });
    }
    want += WANT_BYTES;
  }
  const bits = Math.max(2, Math.ceil(Math.log2(keys.length + 1)) + 1);
  const multiplier = multiplierFor(
    keys.map(({ hash }) => hash),
    bits,
  );
  // No key has a length of 0: a place that nobody has leads to a want that nothing matches.
  const nobody = image.reserve(WANT_BYTES);
  const table = image.reserve(4 << bits);
  for (let i = 0; i < 1 << bits; i++) image.word(table + 4 * i, nobody);
  for (const { hash, want: at } of keys) {
    const place = table + 4 * placeOf(hash, multiplier, bits);
    const before = image.wordAt(place);
    image.word(at + 36, before === nobody ? 0 : before);
    image.word(place, at);
  }
  image.word(node, wants);
  image.word(node + 4, want);
  image.long(node + 8, multiplier);
  image.word(node + 16, table);
  image.word(node + 20, 64 - bits);
  return node;
}

function placeOf(hash: bigint, multiplier: bigint, bits: number): number {
  return Number(BigInt.asUintN(64, hash * multiplier) >> BigInt(64 - bits));
}

/** One with which no two keys fall together, or few. */
function multiplierFor(hashes: readonly bigint[], bits: number): bigint {
  let candidate = MULTIPLIER;
  let best = candidate;
  let most = -1;
  for (let i = 0; i < TRIES && most < hashes.length; i++) {
    const places = new Set(hashes.map((hash) => placeOf(hash, candidate, bits))).size;
    if (places > most) {
      most = places;
      best = candidate;
    }
    candidate = BigInt.asUintN(64, candidate * 6364136223846793005n + 1442695040888963407n) | 1n;
  }
  return best;
}
