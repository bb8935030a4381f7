/**
 * The dead-letter file: what steps gave up, one JSON object a line, kept by a sink that is part of every checkpoint. A letter is
 * in it once, however often the run was killed, and nobody has to trust a log to find the record again.
 */
import { isUtf8 } from 'node:buffer';
import type { Sink } from './contracts.ts';
import { OxiError } from './errors.ts';
import type { Letter } from './letters.ts';

/** Beyond so many bytes a record is shown by its beginning: `record` ends with what is left out. */
const SHOWN_BYTES = 1 << 20;

export class DeadLetterFile {
  readonly sink: Sink;
  readonly #path: string;
  readonly #maxRecords: number;
  readonly #redact: (text: string) => string;
  #records: number;
  /** Several chains give letters up; the sink takes one at a time. */
  #last: Promise<void> = Promise.resolve();

  /** `records`: how many the checkpoint says it holds. */
  constructor(about: { sink: Sink; path: string; maxRecords: number; redact(text: string): string }, records: number) {
    this.sink = about.sink;
    this.#path = about.path;
    this.#maxRecords = about.maxRecords;
    this.#redact = about.redact;
    this.#records = records;
  }

  /** Letters that it holds, those of earlier attempts among them. */
  get records(): number {
    return this.#records;
  }

  /** Throws OxiError DEAD_LETTERS_FULL: the record that has no room any more stops the run, in front of it. */
  write(letters: readonly Letter[]): Promise<void> {
    const written = this.#last.then(() => this.#write(letters));
    this.#last = written;
    written.catch(() => undefined);
    return written;
  }

  async #write(letters: readonly Letter[]): Promise<void> {
    for (const letter of letters) {
      if (this.#records >= this.#maxRecords)
        throw new OxiError(
          'DEAD_LETTERS_FULL',
          `${this.#path} holds ${this.#maxRecords} dead letters and is full ("max_records"); the next would be ${letter.file}: record at byte ${letter.offset}: step "${letter.step}": ${letter.reason}. Mend the data or the pipeline and start again, the run resumes`,
          { place: { step: letter.step, file: letter.file, offset: letter.offset } },
        );
      const text = `${JSON.stringify(document(letter, this.#redact))}\n`;
      await this.sink.write(Buffer.from(text), 1);
      this.#records++;
    }
  }
}

function document(letter: Letter, redact: (text: string) => string): Record<string, unknown> {
  const { step, code, reason, file, offset, record } = letter;
  const shown = record.byteLength > SHOWN_BYTES ? record.subarray(0, SHOWN_BYTES) : record;
  const text = isUtf8(shown) ? { record: Buffer.from(shown).toString('utf8') } : { record_base64: base64(shown) };
  const left = record.byteLength - shown.byteLength;
  return {
    step,
    class: 'data',
    code,
    reason: redact(reason),
    file,
    offset,
    ...text,
    ...(left === 0 ? {} : { left_out_bytes: left }),
  };
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}
