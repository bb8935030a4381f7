/**
 * Lines that wait for a slow reader, bounded in bytes. When it is full the least important line goes first, the oldest of
 * its rank before newer ones; so the last checkpoint is always kept, and the start and the end of a run always are.
 */
import type { EventType } from './types.ts';

/** 0 goes first; 3 is never dropped, of which an attempt has two lines. A newer checkpoint makes up for an older one. */
function rankOf(type: EventType): 0 | 1 | 2 | 3 {
  switch (type) {
    case 'progress':
    case 'metrics':
    case 'log':
      return 0;
    case 'run.started':
    case 'run.finished':
      return 3;
    case 'checkpoint':
      return 2;
    default:
      return 1;
  }
}

interface Waiting {
  order: number;
  line: Buffer;
}

export class LineQueue {
  readonly #maxBytes: number;
  readonly #ranks: [Waiting[], Waiting[], Waiting[], Waiting[]] = [[], [], [], []];
  #bytes = 0;
  #order = 0;
  #dropped = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Lines that were given up. */
  get dropped(): number {
    return this.#dropped;
  }

  get empty(): boolean {
    return this.#bytes === 0;
  }

  push(type: EventType, line: Buffer): void {
    const rank = rankOf(type);
    this.#ranks[rank].push({ order: this.#order++, line });
    this.#bytes += line.length;
    for (let victim = 0; this.#bytes > this.#maxBytes && victim < 3; ) {
      const lines = this.#ranks[victim as 0 | 1 | 2];
      // The newest checkpoint stays, even where the queue is too small for it.
      if (lines.length > (victim === 2 ? 1 : 0)) this.#drop(lines);
      else victim += 1;
    }
  }

  /** The oldest line that is left. */
  shift(): Buffer | undefined {
    let first: Waiting[] | undefined;
    for (const lines of this.#ranks) {
      const head = lines[0];
      if (head !== undefined && (first?.[0] === undefined || head.order < first[0].order)) first = lines;
    }
    const next = first?.shift();
    if (next !== undefined) this.#bytes -= next.line.length;
    return next?.line;
  }

  /** Takes everything out and returns how many lines that were. */
  clear(): number {
    let lines = 0;
    while (this.shift() !== undefined) lines += 1;
    return lines;
  }

  #drop(lines: Waiting[]): void {
    this.#bytes -= lines.shift()?.line.length ?? 0;
    this.#dropped += 1;
  }
}
