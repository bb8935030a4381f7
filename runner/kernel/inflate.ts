/** An engine of node:zlib, pulled: it works on one piece at a time, on a thread of libuv, and gives out no more than is taken. */
import { constants, createInflateRaw, createZstdDecompress } from 'node:zlib';

/** Bytes that an engine makes at a time. */
const CHUNK_BYTES = 128 << 10;
/** The largest window that zstd uses unasked, 128 MB; a larger one would be the memory of a machine. */
export const WINDOW_LOG = 27;

export class Inflate {
  readonly #stream: ReturnType<typeof createInflateRaw> | ReturnType<typeof createZstdDecompress>;
  #failure: { error: unknown } | undefined;
  #idle = true;
  #wake: (() => void) | undefined;
  /** The packed stream has come to its end; what was fed behind it was not used. */
  ended = false;

  constructor(codec: 'gzip' | 'zstd') {
    this.#stream =
      codec === 'gzip'
        ? createInflateRaw({ chunkSize: CHUNK_BYTES })
        : createZstdDecompress({
            chunkSize: CHUNK_BYTES,
            params: { [constants.ZSTD_d_windowLogMax]: WINDOW_LOG },
          });
    const wake = (): void => this.#wake?.();
    this.#stream.on('readable', wake);
    this.#stream.on('end', () => {
      this.ended = true;
      wake();
    });
    this.#stream.on('error', (error) => {
      this.#failure = { error };
      wake();
    });
  }

  /** Bytes used so far, of all that was fed. */
  get used(): number {
    return this.#stream.bytesWritten;
  }

  /** Takes the next bytes, which have to stay as they are until `next` has returned undefined. */
  feed(bytes: Uint8Array): void {
    this.#idle = false;
    this.#stream.write(bytes, () => {
      this.#idle = true;
      this.#wake?.();
    });
  }

  /** Nothing more is fed: from here on `next` throws where the packed stream is not at its end. */
  finish(): void {
    this.#idle = false;
    this.#stream.end();
  }

  /** The next bytes, the receiver's until the next call; undefined once what was fed is worked off. Throws the error of zlib. */
  async next(): Promise<Buffer | undefined> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure.error;
      const made = this.#stream.read() as Buffer | null;
      if (made !== null) return made;
      if (this.ended || this.#idle) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  close(): void {
    this.#stream.destroy();
  }
}
