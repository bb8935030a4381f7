/**
 * Makes events of what the engine emits and tells every listener. Invariants: `seq` counts from 1 without a gap; every string
 * is redacted before any listener sees it; `run.finished` is the last event; no listener can disturb the run or another one.
 */
import { type Redact, redactStrings } from './redaction.ts';
import type { EventIdentity, EventListener, EventPayloads, EventSink, EventType, RunEvent } from './types.ts';

/** A progress report becomes an event at most this often; listeners to `onProgress` get all of them. */
const PROGRESS_INTERVAL_MS = 1000;

export interface BusOptions {
  identity: EventIdentity;
  redact: Redact;
  /** Milliseconds since the epoch. */
  now: () => number;
  listeners: readonly EventListener[];
  /** Told once about each listener that failed and is no longer served. */
  warn: (message: string) => void;
}

export class EventBus implements EventSink {
  readonly #identity: EventIdentity;
  readonly #redact: Redact;
  readonly #now: () => number;
  readonly #warn: (message: string) => void;
  readonly #listeners: Set<EventListener>;
  #seq = 0;
  #finished = false;
  #publishing = false;
  readonly #waiting: (() => void)[] = [];
  #lastProgress = Number.NEGATIVE_INFINITY;

  constructor(options: BusOptions) {
    this.#redact = options.redact;
    this.#identity = redactStrings(options.identity, options.redact);
    this.#now = options.now;
    this.#warn = options.warn;
    this.#listeners = new Set(options.listeners);
  }

  emit<T extends EventType>(type: T, payload: EventPayloads[T]): void {
    // A listener may make the log speak, which emits again: that waits, or later listeners would see the events out of order.
    this.#waiting.push(() => this.#publish(type, payload));
    if (this.#publishing) return;
    this.#publishing = true;
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) next();
    this.#publishing = false;
  }

  #publish<T extends EventType>(type: T, payload: EventPayloads[T]): void {
    if (this.#finished) return;
    const now = this.#now();
    const clean = redactStrings(payload, this.#redact);
    if (type === 'progress') {
      this.#tell((listener) => listener.onProgress?.(clean as EventPayloads['progress']));
      if (now - this.#lastProgress < PROGRESS_INTERVAL_MS) return;
      this.#lastProgress = now;
    }
    this.#finished = type === 'run.finished';
    this.#seq += 1;
    const head = { v: 1, ts: new Date(now).toISOString(), seq: this.#seq, type, ...this.#identity } as const;
    // The payload belongs to the type by the signature; the compiler can't follow that through the spread.
    const event = { ...head, ...clean } as unknown as RunEvent;
    this.#tell((listener) => listener.onEvent?.(event));
  }

  /** No more events: closes the listeners, all at the same time, each within `deadlineMs`. */
  async close(deadlineMs: number): Promise<void> {
    this.#finished = true;
    const closing = [...this.#listeners].map(async (listener) => {
      try {
        await listener.close?.(deadlineMs);
      } catch (error) {
        this.#forget(listener, error);
      }
    });
    await Promise.all(closing);
  }

  #tell(call: (listener: EventListener) => void): void {
    for (const listener of this.#listeners) {
      try {
        call(listener);
      } catch (error) {
        // Whatever a listener throws, observation must not stop the run: it is told no more.
        this.#forget(listener, error);
      }
    }
  }

  #forget(listener: EventListener, error: unknown): void {
    this.#listeners.delete(listener);
    this.#warn(
      `an event listener failed and gets no more events: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}
