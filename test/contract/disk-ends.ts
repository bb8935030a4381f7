/** Ends of a flow in files, which threads read and write by themselves: what a flow in memory has no use for. */
import { closeSync, ftruncateSync, openSync, readFileSync, readSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { DirectInput, Held, Mark, Sink } from '../../runner/engine/contracts.ts';

/** Opens the text for those who read it at any place. */
export function directInput(folder: string, text: Uint8Array): () => Promise<DirectInput> {
  const path = join(folder, 'in');
  writeFileSync(path, text);
  return async () => {
    const fd = openSync(path, 'r');
    return {
      fd,
      read: (at, length) => {
        const bytes = Buffer.alloc(length);
        return bytes.subarray(0, readSync(fd, bytes, 0, length, at));
      },
      check: async () => undefined,
      close: async () => closeSync(fd),
    };
  };
}

/** Writes in order, and lets others do so. */
export class DiskSink implements Sink {
  readonly guarantee = 'truncate';
  readonly target = 'disk';
  readonly #path: string;
  readonly #fd: number;
  #at = 0;
  records = 0;
  /** Writes of others there, by their lane. */
  advances = 0;

  /** `isOpen`: others may write there; otherwise they find that they can't. `text`: what an earlier attempt has left. */
  constructor(folder: string, isOpen = true, text = '') {
    this.#path = join(folder, 'out');
    writeFileSync(this.#path, text);
    this.#at = Buffer.byteLength(text);
    this.#fd = openSync(this.#path, 'r+');
    const fd = isOpen ? this.#fd : openSync(this.#path, 'r');
    this.direct = () => ({ fd, at: this.#at });
    this.close = async () => {
      if (fd !== this.#fd) closeSync(fd);
    };
  }

  readonly direct: () => { fd: number; at: number };
  readonly close: () => Promise<void>;

  /** All that counts, as a sink publishes it: threads may have begun more behind it. Nothing is written from then on. */
  text(): Buffer {
    ftruncateSync(this.#fd, this.#at);
    closeSync(this.#fd);
    return readFileSync(this.#path);
  }

  async open(): Promise<Held> {
    return { at: 'mark' };
  }

  async write(bytes: Uint8Array, records: number): Promise<void> {
    writeSync(this.#fd, bytes, 0, bytes.byteLength, this.#at);
    this.#at += bytes.byteLength;
    this.records += records;
  }

  advance(bytes: number, records: number): void {
    this.#at += bytes;
    this.records += records;
    this.advances++;
  }

  async prepare(n: number): Promise<Mark> {
    return { n, records: this.records, bytes: this.#at, data: {} };
  }

  async finish(): Promise<{ rows: number; bytes: number }> {
    return { rows: this.records, bytes: this.#at };
  }

  async abort(): Promise<void> {}
}
