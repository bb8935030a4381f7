/** The saved state: whether it opens and is whole, what holds its leases, and which runs wait for somebody. */
import { dirname, isAbsolute } from 'node:path';
import type { StateSettings } from '../config/state-settings.ts';
import { OxiError } from '../engine/errors.ts';
import { humanDuration } from '../observe/human.ts';
import { quote } from '../state/faults.ts';
import { networkFileSystem } from '../state/file-system.ts';
import type { LeaseStanding, StateStore, StoredDocument } from '../state/store.ts';
import { type Check, ok, warning, wrong } from './check.ts';

type Runs = Awaited<ReturnType<StateStore['list']>>;

/** Reading all of the history finds what is damaged in it; this is more than a month of it. */
const MOST_HISTORY = 100_000;
/** Runs that have a line of their own. */
const MOST_RUNS = 10;

export interface StateFound {
  checks: Check[];
  /** When the newest document was written, in milliseconds since the epoch. */
  saved: number | undefined;
}

export async function checkState(
  store: StateStore,
  stuckAfterMs: number,
  now: number,
  networkOf: typeof networkFileSystem = networkFileSystem,
): Promise<StateFound> {
  const checks: Check[] = [];
  let runs: Runs = [];
  try {
    runs = await store.list();
    const history = await store.history({ limit: MOST_HISTORY });
    const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`;
    const text = `${store.backend} in ${store.location}: whole, ${count(runs.length, 'run')}, ${count(history.length, 'ended attempt')}`;
    checks.push(ok('state', text));
    if (isAbsolute(store.location)) checks.push(await checkPlace(store, networkOf));
  } catch (error) {
    if (!(error instanceof OxiError)) throw error;
    checks.push(wrong('state', error.message));
  }
  checks.push(...(await checkRuns(store, runs, stuckAfterMs, now)));
  const times = runs.map(({ run }) => Date.parse(run?.writtenAt ?? '')).filter((time) => !Number.isNaN(time));
  return { checks, saved: times.length === 0 ? undefined : Math.max(...times) };
}

async function checkPlace(store: StateStore, networkOf: typeof networkFileSystem): Promise<Check> {
  const kind = await networkOf(dirname(store.location));
  if (kind === undefined) return ok('file system', 'the state is on a disk of this machine');
  if (store.backend !== 'sqlite')
    return ok('file system', `the state is on ${kind}, which "${store.backend}" is made for`);
  return warning(
    'file system',
    `the state is an SQLite database on ${kind}, where its locks are not safe`,
    'set state_manager.backend to file, or put state_manager.sqlite.path on a disk of this machine',
  );
}

/** The backends of other machines that the settings name: none is part of this program yet. */
export function checkConnections(state: StateSettings): Check {
  const named = [
    ['redis', state.redis.connectionUrl],
    ['http', state.http.baseUrl],
    ['database', state.database.connectionUrl ?? state.database.type],
  ] as const;
  const configured = named.filter(([, address]) => address !== undefined).map(([name]) => name);
  const unused = configured.filter((name) => name !== state.backend);
  if (unused.length === 0) return ok('connections', `state backend "${state.backend}", no other one configured`);
  return warning(
    'connections',
    `state backend "${state.backend}"; configured and not used: ${unused.join(', ')}`,
    'choose it with state_manager.backend, or take its section out',
  );
}

async function checkRuns(store: StateStore, runs: Runs, stuckAfterMs: number, now: number): Promise<Check[]> {
  const found: Check[] = [];
  let finished = 0;
  let working = 0;
  for (const { runKey, run, error } of runs) {
    if (error !== undefined || run === undefined) {
      found.push(wrong(`run ${runKey}`, error ?? 'it has no document'));
      continue;
    }
    if (run.body.status === 'finished') {
      finished++;
      continue;
    }
    const check = await checkRun(store, runKey, run, stuckAfterMs, now);
    if (check.verdict === 'ok') working++;
    else found.push(check);
  }
  const more = found.length - MOST_RUNS;
  const told = found.slice(0, MOST_RUNS);
  if (more > 0) told.push(warning('runs', `${more} more ask for somebody`, 'oxiflow state list --active shows them'));
  return [ok('runs', `${finished} finished, ${working} at work, ${found.length} to look at`), ...told];
}

async function checkRun(
  store: StateStore,
  runKey: string,
  run: StoredDocument,
  stuckAfterMs: number,
  now: number,
): Promise<Check> {
  const name = `run ${runKey}`;
  const { status, pipeline, error } = run.body;
  const again = commandFor(runKey, String(pipeline));
  let lease: LeaseStanding | undefined;
  let written = run.writtenAt;
  try {
    lease = await store.standing(runKey, 'split-0');
    const position = await store.read(runKey, 'split-0');
    if (position !== undefined && position.writtenAt > written) written = position.writtenAt;
  } catch (failure) {
    if (!(failure instanceof OxiError)) throw failure;
    return wrong(name, failure.message);
  }
  const ago = humanDuration(Math.max(0, now - Date.parse(written)));
  if (lease !== undefined && !lease.over) {
    const { workerId, host, pid } = lease.holder;
    const who = `${workerId} (process ${pid} on ${host})`;
    if (stuckAfterMs > 0 && now - Date.parse(written) > stuckAfterMs)
      return warning(
        name,
        `held by ${who}, which has saved nothing for ${ago}`,
        `oxiflow cancel --run-key ${quote(runKey)} asks it to end`,
      );
    return ok(name, `at work: ${who}, saved ${ago} ago`);
  }
  if (status === 'running' || status === 'finishing') {
    const stale =
      lease === undefined ? '' : lease.provenDead ? '; its stale lease is taken at once' : '; its lease is over';
    return warning(name, `its worker is gone, it saved last ${ago} ago${stale}`, again);
  }
  const why = isError(error) ? ` (${error.code})` : '';
  return warning(name, `unfinished: ${String(status)}${why} ${ago} ago`, again);
}

/** What starts the next attempt; the key of a run with overrides ends in a hash of them. */
function commandFor(runKey: string, pipeline: string): string {
  const key = runKey === pipeline ? '' : ` --run-key ${quote(runKey)}`;
  const isOverridden = /^-[0-9a-f]{12}$/.test(runKey.slice(pipeline.length)) && runKey.startsWith(pipeline);
  const given = isOverridden ? ' with the same --set and --param' : '';
  return `oxiflow run ${quote(pipeline)}${key}${given} goes on, --fresh starts over`;
}

function isError(value: unknown): value is { code: string } {
  return typeof value === 'object' && value !== null && 'code' in value && typeof value.code === 'string';
}
