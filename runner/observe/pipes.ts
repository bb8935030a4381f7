/**
 * Tells Dagster of the run: a listener on the event stream that speaks Dagster Pipes where a launcher opened a session.
 * Logs become logs, checkpoints and progress custom messages, the outputs of a run that succeeded materializations with
 * their row count, the checks that were asked for their results, and the end, good or bad, `closed`.
 */
import { basename, extname } from 'node:path';
import { errnoOf, OxiError } from '../engine/errors.ts';
import { type Finished, materialized, type Output, verdictOf } from './pipes-figures.ts';
import { messageLine, metadataText, type PipesEnv, type PipesSession, pipesSession } from './pipes-protocol.ts';
import type { TextOut } from './terminal.ts';
import type { EventListener, RunEvent } from './types.ts';

/** Dagster keeps every custom message in memory until the step ends: progress and checkpoints, soft and hard, come this seldom. */
const REPORT_INTERVAL_MS = 10_000;

export interface PipesOptions {
  /** Where messages go if the launcher reads them from a standard stream. */
  stdout?: TextOut;
  stderr?: TextOut;
  /** Told once when a message can't be sent. */
  warn: (message: string) => void;
}

/** Environments whose session somebody speaks in: it is opened once, and closed once. */
const spoken = new WeakSet<PipesEnv>();

/** A listener if a Dagster Pipes session is open in `env`. Throws OxiError CONFIG_INVALID for a session it can't speak to. */
export function pipesListener(env: PipesEnv, options: PipesOptions): EventListener | undefined {
  const session = pipesSession(env, {
    stdout: options.stdout ?? process.stdout,
    stderr: options.stderr ?? process.stderr,
  });
  if (session === undefined) return undefined;
  spoken.add(env);
  return new PipesListener(session, options.warn);
}

/** What is wrong with the start: nothing where a listener has told what there was to tell, or nobody can be told. */
export function refuseInPipes(env: PipesEnv, code: string, message: string, options: PipesOptions): void {
  if (spoken.has(env)) return;
  let listener: EventListener | undefined;
  try {
    listener = pipesListener(env, options);
  } catch (error) {
    // That the session is none is told to people.
    if (error instanceof OxiError) return;
    throw error;
  }
  listener?.onRefused?.(code, message);
}

class PipesListener implements EventListener {
  readonly #session: PipesSession;
  readonly #warn: (message: string) => void;
  readonly #lastReport = new Map<string, number>();
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
        if (this.#due(event, event.grade)) this.#send('report_custom_message', { payload: event });
        break;
      case 'progress':
        if (this.#due(event, '')) this.#send('report_custom_message', { payload: event });
        break;
      case 'run.finished':
        this.#finish(event);
        break;
      default:
        break;
    }
  }

  onRefused(code: string, message: string): void {
    if (this.#closed) return;
    this.#log('ERROR', message);
    this.#end(code, message);
  }

  async close(): Promise<void> {
    if (!this.#closed) this.#end('RunEnded', 'the run ended without a result');
  }

  #due({ type, ts }: RunEvent, kind: string): boolean {
    const at = Date.parse(ts);
    const last = this.#lastReport.get(type + kind);
    if (last !== undefined && at - last < REPORT_INTERVAL_MS) return false;
    this.#lastReport.set(type + kind, at);
    return true;
  }

  #finish(event: Finished): void {
    this.#send('report_custom_message', { payload: event });
    if (event.status !== 'succeeded') {
      this.#checks(event);
      this.#end(event.error?.code ?? event.status, event.error?.message ?? `the run was ${event.status}`);
      return;
    }
    for (const [assetKey, outputs] of assignOutputs(this.#session, event.outputs)) {
      const metadata = metadataText(materialized(event, outputs));
      this.#line(
        'report_asset_materialization',
        `{"asset_key":${JSON.stringify(assetKey)},"data_version":${JSON.stringify(event.run_id)},"metadata":${metadata}}`,
      );
    }
    this.#checks(event);
    this.#end();
  }

  /** Those that the launcher named, each of an asset that it asked for. */
  #checks(event: Finished): void {
    for (const { assetKey, name, of } of this.#session.checks) {
      const verdict = verdictOf(event, of);
      if (verdict === undefined || !this.#session.assetKeys.includes(assetKey)) continue;
      const { passed, severity, metadata } = verdict;
      const head = JSON.stringify({ asset_key: assetKey, check_name: name, passed, severity });
      this.#line('report_asset_check', `${head.slice(0, -1)},"metadata":${metadataText(metadata)}}`);
    }
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
