/**
 * Tells Dagster of the run: a listener on the event stream that speaks Dagster Pipes where a launcher opened a session.
 * Logs become logs, checkpoints and progress custom messages, the outputs of a run that succeeded materializations with
 * their row count, and the end, good or bad, `closed`.
 */
import { basename, extname } from 'node:path';
import { errnoOf } from '../engine/errors.ts';
import {
  messageLine,
  metadataText,
  type PipesEnv,
  type PipesMetadata,
  type PipesSession,
  pipesSession,
} from './pipes-protocol.ts';
import type { TextOut } from './terminal.ts';
import type { EventListener, EventPayloads, RunEvent } from './types.ts';

/** Dagster keeps every custom message in memory until the step ends: progress and soft checkpoints come this seldom. */
const REPORT_INTERVAL_MS = 10_000;

type Finished = Extract<RunEvent, { type: 'run.finished' }>;
type Output = EventPayloads['run.finished']['outputs'][number];

export interface PipesOptions {
  /** Where messages go if the launcher reads them from a standard stream. */
  stdout?: TextOut;
  stderr?: TextOut;
  /** Told once when a message can't be sent. */
  warn: (message: string) => void;
}

/** A listener if a Dagster Pipes session is open in `env`. Throws OxiError CONFIG_INVALID for a session it can't speak to. */
export function pipesListener(env: PipesEnv, options: PipesOptions): EventListener | undefined {
  const session = pipesSession(env, {
    stdout: options.stdout ?? process.stdout,
    stderr: options.stderr ?? process.stderr,
  });
  return session === undefined ? undefined : new PipesListener(session, options.warn);
}

class PipesListener implements EventListener {
  readonly #session: PipesSession;
  readonly #warn: (message: string) => void;
  readonly #lastReport = new Map<string, number>();
  #checkpoints = 0;
  #closed = false;
  #lost = false;
  #lastAlert = '';

  constructor(session: PipesSession, warn: (message: string) => void) {
    this.#session = session;
    this.#warn = warn;
    this.#send('opened', { extras: {} });
  }

  onEvent(event: RunEvent): void {
    if (this.#closed) return;
    switch (event.type) {
      case 'log':
        // What crossed a threshold is told to people in the same words, right behind the alert.
        if (event.message === this.#lastAlert) break;
        this.#log(event.level === 'warn' ? 'WARNING' : event.level.toUpperCase(), event.message);
        break;
      case 'alert':
        this.#lastAlert = event.message;
        this.#log(event.severity === 'critical' ? 'ERROR' : 'WARNING', event.message);
        break;
      case 'run.started':
      case 'step.finished':
        this.#send('report_custom_message', { payload: event });
        break;
      case 'checkpoint':
        this.#checkpoints += 1;
        if (event.grade === 'hard' || this.#due(event)) this.#send('report_custom_message', { payload: event });
        break;
      case 'progress':
        if (this.#due(event)) this.#send('report_custom_message', { payload: event });
        break;
      case 'run.finished':
        this.#finish(event);
        break;
      default:
        break;
    }
  }

  onRefused(code: string, message: string): void {
    if (!this.#closed) this.#end(code, message);
  }

  async close(): Promise<void> {
    if (!this.#closed) this.#end('RunEnded', 'the run ended without a result');
  }

  #due({ type, ts }: RunEvent): boolean {
    const at = Date.parse(ts);
    const last = this.#lastReport.get(type);
    if (last !== undefined && at - last < REPORT_INTERVAL_MS) return false;
    this.#lastReport.set(type, at);
    return true;
  }

  #finish(event: Finished): void {
    this.#send('report_custom_message', { payload: event });
    if (event.status !== 'succeeded') {
      this.#end(event.error?.code ?? event.status, event.error?.message ?? `the run was ${event.status}`);
      return;
    }
    for (const [assetKey, outputs] of assignOutputs(this.#session, event.outputs)) {
      const metadata = metadataText(this.#metadata(event, outputs));
      this.#line(
        'report_asset_materialization',
        `{"asset_key":${JSON.stringify(assetKey)},"data_version":${JSON.stringify(event.run_id)},"metadata":${metadata}}`,
      );
    }
    this.#end();
  }

  #metadata(event: Finished, outputs: readonly Output[]): Map<string, PipesMetadata> {
    const { total } = event.counters;
    const metadata = new Map<string, PipesMetadata>([
      ['dagster/row_count', { type: 'int', value: outputs.reduce((sum, { rows }) => sum + rows, 0) }],
      ['oxiflow/records', { type: 'int', value: total.added }],
      ['oxiflow/bytes', { type: 'int', value: outputs.reduce((sum, { bytes }) => sum + bytes, 0) }],
      ['oxiflow/duration_seconds', { type: 'float', value: event.durations.total_ms / 1000 }],
      ['oxiflow/checkpoints', { type: 'int', value: this.#checkpoints }],
      ['oxiflow/filtered', { type: 'int', value: total.filtered }],
      ['oxiflow/dropped', { type: 'int', value: total.dropped }],
      ['oxiflow/dead_lettered', { type: 'int', value: total.dead_lettered }],
      ['oxiflow/run_key', { type: 'text', value: event.run_key }],
      ['oxiflow/attempt', { type: 'int', value: event.attempt }],
    ]);
    if (event.bottleneck !== undefined)
      metadata.set('oxiflow/bottleneck', { type: 'text', value: event.bottleneck.reason });
    outputs.forEach(({ step, path, table }, i) => {
      const key = i === 0 ? 'oxiflow/output' : `oxiflow/output_${step}`;
      if (path !== undefined) metadata.set(key, { type: 'path', value: path });
      else if (table !== undefined) metadata.set(key, { type: 'text', value: table });
    });
    return metadata;
  }

  #log(level: string, message: string): void {
    this.#send('log', { message, level });
  }

  #end(name?: string, message?: string): void {
    this.#send(
      'closed',
      name === undefined ? {} : { exception: { message, stack: [], name, cause: null, context: null } },
    );
    this.#closed = true;
  }

  #send(method: string, params: { [key: string]: unknown }): void {
    this.#line(method, JSON.stringify(params));
  }

  #line(method: string, params: string): void {
    try {
      this.#session.send(messageLine(method, params));
    } catch (error) {
      const errno = errnoOf(error);
      if (errno === undefined) throw error;
      if (!this.#lost) {
        // Set first: the warning comes back as a log event.
        this.#lost = true;
        this.#warn(
          `Dagster Pipes: a message can't be sent (${errno}); the run goes on, Dagster may miss what it reports`,
        );
      }
    }
  }
}

/**
 * Which asset each output materializes. One asset: all outputs. Several: as `extras.oxiflow_assets` says, else the asset whose
 * last part is the output's step, table, or file name without its extension; other outputs belong to none, and Dagster
 * refuses keys that it did not ask for.
 */
function assignOutputs({ assetKeys, assetOfStep }: PipesSession, outputs: readonly Output[]): Map<string, Output[]> {
  const [only] = assetKeys;
  if (only !== undefined && assetKeys.length === 1) return new Map([[only, [...outputs]]]);
  const assigned = new Map<string, Output[]>();
  for (const output of outputs) {
    const names = [output.step, output.table, output.path === undefined ? undefined : stem(output.path)];
    const wanted = assetOfStep.get(output.step);
    const key = assetKeys.find((asset) => (wanted === undefined ? names.includes(lastPart(asset)) : asset === wanted));
    if (key !== undefined) assigned.set(key, [...(assigned.get(key) ?? []), output]);
  }
  return assigned;
}

function lastPart(assetKey: string): string {
  return assetKey.slice(assetKey.lastIndexOf('/') + 1);
}

/** `out/rides.ndjson.gz` is `rides`. */
function stem(path: string): string {
  const name = basename(path).replace(/\.(gz|zst)$/, '');
  return basename(name, extname(name));
}
