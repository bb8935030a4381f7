/**
 * Events as the runner's code sees them: types only, nothing of zod is loaded. The engine emits through `EventSink`;
 * who listens (a file, an orchestrator, a progress line) is no concern of its own.
 */
import type { infer as Infer } from 'zod';
import type { counters, EventType, envelope, payloads } from './event-schemas.ts';

export type { EventType };

/** What each type of event carries beside the envelope. */
export type EventPayloads = { [T in EventType]: Infer<(typeof payloads)[T]> };

/** Records and bytes of one step, or of a run taken as one step. */
export type EventCounters = Infer<typeof counters>;

/** Which attempt of which run an event belongs to. */
export type EventIdentity = Omit<Infer<typeof envelope>, 'v' | 'ts' | 'seq' | 'type'>;

/** One whole event, as it is written. */
export type RunEvent = {
  [T in EventType]: Omit<Infer<typeof envelope>, 'type'> & { type: T } & EventPayloads[T];
}[EventType];

/** Where the engine puts its events. Never throws, never waits. */
export interface EventSink {
  emit<T extends EventType>(type: T, payload: EventPayloads[T]): void;
}

/** Someone who is told of every event, in order. */
export interface EventListener {
  onEvent?(event: RunEvent): void;
  /** Every progress report, also those too frequent for the event stream. */
  onProgress?(progress: EventPayloads['progress']): void;
  /** No attempt was begun, and why: there will be no events. */
  onRefused?(code: string, message: string): void;
  /** No more events: gives up what it holds after `deadlineMs`. */
  close?(deadlineMs: number): Promise<void>;
}
