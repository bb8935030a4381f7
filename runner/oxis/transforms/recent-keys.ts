/**
 * The last so many keys, as 128 bits of a hash each: a ring in the order in which they came, and a table that finds them.
 * Memory: 16 bytes a key and 8 to 16 for the table, taken as they come.
 */

/** Words of 32 bits that a key has. */
export const KEY_WORDS = 4;
const FIRST_KEYS = 1024;

export class RecentKeys {
  readonly #most: number;
  #ring: Uint32Array;
  #count = 0;
  /** The oldest key, once the ring is full. */
  #oldest = 0;
  /** Places in the ring, counted from 1; 0 is free. At most half of it is taken. */
  #table: Int32Array;

  constructor(most: number) {
    this.#most = most;
    const first = Math.min(most, FIRST_KEYS);
    this.#ring = new Uint32Array(KEY_WORDS * first);
    this.#table = new Int32Array(tableSize(first));
  }

  get count(): number {
    return this.#count;
  }

  /** Remembers the key `words`, in the place of the oldest one where there are as many as there may be. False: it is there. */
  add(words: Uint32Array): boolean {
    if (this.#find(words) !== 0) return false;
    let place = this.#count;
    if (place < this.#most) {
      if (KEY_WORDS * place === this.#ring.length) this.#grow();
      this.#count++;
    } else {
      place = this.#oldest;
      this.#remove(place);
      this.#oldest = (place + 1) % this.#most;
    }
    this.#ring.set(words, KEY_WORDS * place);
    this.#enter(place);
    return true;
  }

  /** All of them, the oldest first. */
  snapshot(): string {
    const from = this.#count < this.#most ? 0 : this.#oldest;
    const bytes = Buffer.allocUnsafe(4 * KEY_WORDS * this.#count);
    let at = 0;
    for (let i = 0; i < this.#count; i++) {
      const place = (from + i) % this.#most;
      for (let w = 0; w < KEY_WORDS; w++) at = bytes.writeUInt32LE(this.#ring[KEY_WORDS * place + w] as number, at);
    }
    return bytes.toString('base64');
  }

  /** Of more keys than fit the newest stay. */
  restore(text: string): void {
    const bytes = Buffer.from(text, 'base64');
    const size = 4 * KEY_WORDS;
    const words = new Uint32Array(KEY_WORDS);
    for (let at = Math.max(0, bytes.length - size * this.#most); at + size <= bytes.length; at += size) {
      for (let w = 0; w < KEY_WORDS; w++) words[w] = bytes.readUInt32LE(at + 4 * w);
      this.add(words);
    }
  }

  /** The slot of the key, plus 1; 0 where it is not there. */
  #find(words: Uint32Array): number {
    const mask = this.#table.length - 1;
    for (let slot = (words[0] as number) & mask; this.#table[slot] !== 0; slot = (slot + 1) & mask) {
      const at = KEY_WORDS * ((this.#table[slot] as number) - 1);
      let w = 0;
      while (w < KEY_WORDS && this.#ring[at + w] === words[w]) w++;
      if (w === KEY_WORDS) return slot + 1;
    }
    return 0;
  }

  #home(place: number): number {
    return (this.#ring[KEY_WORDS * place] as number) & (this.#table.length - 1);
  }

  #enter(place: number): void {
    const mask = this.#table.length - 1;
    let slot = this.#home(place);
    while (this.#table[slot] !== 0) slot = (slot + 1) & mask;
    this.#table[slot] = place + 1;
  }

  /** Takes a key out of the table, and moves those behind it up: a search ends at the first free slot. */
  #remove(place: number): void {
    const table = this.#table;
    const mask = table.length - 1;
    let free = this.#home(place);
    while (table[free] !== place + 1) free = (free + 1) & mask;
    for (let slot = (free + 1) & mask; table[slot] !== 0; slot = (slot + 1) & mask) {
      const home = this.#home((table[slot] as number) - 1);
      // It may move where the free slot lies between its home and itself.
      if (((slot - home) & mask) < ((slot - free) & mask)) continue;
      table[free] = table[slot] as number;
      free = slot;
    }
    table[free] = 0;
  }

  #grow(): void {
    const places = Math.min(this.#most, (this.#ring.length / KEY_WORDS) * 2);
    const ring = new Uint32Array(KEY_WORDS * places);
    ring.set(this.#ring);
    this.#ring = ring;
    const size = tableSize(places);
    if (size === this.#table.length) return;
    this.#table = new Int32Array(size);
    for (let i = 0; i < this.#count; i++) this.#enter(i);
  }
}

/** The next power of two above twice as many. */
function tableSize(places: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(2, 2 * places)));
}
