/**
 * A bounded channel between two nodes: one sends, one receives, in order. Full in records or in bytes, it holds its sender:
 * that is the whole of back-pressure. A failure on either side wakes the other.
 */

import { type QueueGauge, WaitClock } from './gauge.ts';

export interface ChannelBounds {
  bytes: number;
  records: number;
}

/** Told when an end of a channel begins to wait for the other, and when it goes on. */
export interface ChannelEnd {
  waitsForInput(waits: boolean): void;
  waitsForRoom(waits: boolean): void;
  ended(): void;
}

export class Channel<T> implements QueueGauge {
  readonly waits = { input: new WaitClock(), room: new WaitClock() };
  /** Who sends and who receives, where somebody watches them. */
  sender: ChannelEnd | undefined;
  receiver: ChannelEnd | undefined;
  readonly #bounds: ChannelBounds;
  readonly #items: { item: T; bytes: number; records: number }[] = [];
  #bytes = 0;
  #records = 0;
  #closed = false;
  #failure: { error: unknown } | undefined;
  #wakeReceiver: (() => void) | undefined;
  #wakeSender: (() => void) | undefined;
  #closedAt: number | undefined;
  #endedAt: number | undefined;

  constructor(bounds: ChannelBounds) {
    this.#bounds = bounds;
  }

  /** What waits in it, in bytes. */
  get fill(): { bytes: number; records: number } {
    return { bytes: this.#bytes, records: this.#records };
  }

  get share(): number {
    // What waits for room may be large: then a full channel is not full to the last byte.
    if (this.#wakeSender !== undefined) return 1;
    const { bytes, records } = this.#bounds;
    return Math.min(1, Math.max(this.#bytes / bytes, this.#records / records));
  }

  get closedAt(): number | undefined {
    return this.#closedAt;
  }

  get endedAt(): number | undefined {
    return this.#endedAt;
  }

  /** Resolves when the item has a place; a single item larger than the bounds gets one when nothing else waits. */
  async send(item: T, weight: ChannelBounds): Promise<void> {
    while (this.#failure === undefined && this.#items.length > 0 && this.#isFull(weight)) {
      this.sender?.waitsForRoom(true);
      this.waits.room.begin();
      await new Promise<void>((resolve) => {
        this.#wakeSender = resolve;
      });
      this.waits.room.end();
      this.sender?.waitsForRoom(false);
    }
    if (this.#failure !== undefined) throw this.#failure.error;
    this.#items.push({ item, ...weight });
    this.#bytes += weight.bytes;
    this.#records += weight.records;
    this.#wake();
  }

  #isFull(weight: ChannelBounds): boolean {
    return this.#bytes + weight.bytes > this.#bounds.bytes || this.#records + weight.records > this.#bounds.records;
  }

  /** The next item, or undefined after the last one. */
  async receive(): Promise<T | undefined> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure.error;
      const next = this.#items.shift();
      if (next !== undefined) {
        this.#bytes -= next.bytes;
        this.#records -= next.records;
        this.#wakeSender?.();
        this.#wakeSender = undefined;
        return next.item;
      }
      if (this.#closed) {
        this.#endedAt ??= performance.now();
        this.receiver?.ended();
        return undefined;
      }
      this.receiver?.waitsForInput(true);
      this.waits.input.begin();
      await new Promise<void>((resolve) => {
        this.#wakeReceiver = resolve;
      });
      this.waits.input.end();
      this.receiver?.waitsForInput(false);
    }
  }

  /** No more items will be sent. */
  close(): void {
    this.#closed = true;
    this.#closedAt ??= performance.now();
    this.sender?.ended();
    this.#wake();
  }

  /** Both sides fail with `error` from here on. */
  fail(error: unknown): void {
    this.#failure ??= { error };
    this.#wake();
    this.#wakeSender?.();
    this.#wakeSender = undefined;
  }

  #wake(): void {
    this.#wakeReceiver?.();
    this.#wakeReceiver = undefined;
  }
}
