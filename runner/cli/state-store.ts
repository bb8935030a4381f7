/** What the verbs about saved runs have in common: the project's store, its options, and how a run is found. */
import { randomBytes } from 'node:crypto';
import { hostname, userInfo } from 'node:os';
import type { Command } from 'commander';
import { EXIT, OxiError } from '../engine/errors.ts';
import type { LeaseReport, PipelineState } from '../state/pipeline-state.ts';
import type { Holder, PartStanding, StateStore } from '../state/store.ts';

export interface StateOptions {
  project?: string;
  stateBackend?: string;
  json?: boolean;
}

export function withStateOptions(verb: Command): Command {
  return verb
    .option('--project <dir>', 'folder of the project (default: the working directory or one above it)')
    .option('--state-backend <name>', 'where state is kept: auto, sqlite, file, nfs, redis')
    .option('--json', 'print one JSON document');
}

/** Opens the store of the project, and closes it when `work` is done. */
export async function withStore<T>(
  options: StateOptions,
  work: (store: StateStore, project: { root: string }) => Promise<T>,
): Promise<T> {
  const [{ openProject }, { openStore }] = await Promise.all([import('./open-project.ts'), import('../state/open.ts')]);
  const { state, root } = await openProject(options);
  await using store = await openStore(state, { warn: say });
  const { sayIfSlow } = await import('../engine/slow.ts');
  return await sayIfSlow(say, `waiting for the state in ${store.location}`, work(store, { root }));
}

/** The state of a run that has to be there. */
export async function findRun(store: StateStore, runKey: string): Promise<PipelineState> {
  const { readPipelineState } = await import('../state/pipeline-state.ts');
  const state = await readPipelineState(store, runKey);
  if (state !== undefined) return state;
  throw await noRun(store, runKey);
}

/** The parts of a run that has to be there, readable or not. */
export async function mustBeThere(store: StateStore, runKey: string): Promise<PartStanding[]> {
  const parts = await store.parts(runKey);
  if (parts.length === 0) throw await noRun(store, runKey);
  return parts;
}

async function noRun(store: StateStore, runKey: string): Promise<OxiError> {
  const known = (await store.list()).slice(0, 10).map((entry) => quoted(entry.runKey));
  const there = known.length === 0 ? 'there are no runs yet' : `the newest are ${known.join(', ')}`;
  return new OxiError('COMMAND_INVALID', `no run ${quoted(runKey)} in ${store.location}: ${there}`);
}

/** Somebody works on a run with this status, or died doing it. */
export function isAtWork(status: string): boolean {
  return status === 'running' || status === 'finishing';
}

/** Of many, one that is damaged: the others are told all the same, and the exit code says that it is missing. */
export function leftOut(error: OxiError, runKey: string | undefined): void {
  say(`${runKey === undefined ? 'the history' : `run ${quoted(runKey)}`} is damaged and left out: ${error.message}`);
  process.exitCode = EXIT.corruptState;
}

/** For people who read a request. */
export function whoAsks(): string {
  try {
    return `${userInfo().username}@${hostname()}`;
  } catch {
    // A container's user need not have a name.
    return hostname();
  }
}

/** A verb that holds leases for a moment. */
export async function asker(verb: string): Promise<Holder> {
  const { thisHolder } = await import('../state/host.ts');
  return thisHolder(`${verb}-${hostname()}-${process.pid}-${randomBytes(3).toString('hex')}`);
}

/** Foreign text in a sentence for people. */
export function quoted(text: string): string {
  return `"${printable(text)}"`;
}

export function who({ worker_id, host, pid }: Pick<LeaseReport, 'worker_id' | 'host' | 'pid'>): string {
  return printable(`worker ${worker_id} (process ${pid} on ${host})`);
}

export function say(sentence: string): void {
  process.stderr.write(`${sentence}\n`);
}

export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

/** Columns of text, two blanks apart; control characters of foreign text can't reach the terminal. */
export function printRows(rows: readonly (readonly string[])[]): void {
  const clean = rows.map((row) => row.map(printable));
  const columns = Math.max(0, ...clean.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, i) => Math.max(...clean.map((row) => row[i]?.length ?? 0)));
  for (const row of clean) {
    process.stdout.write(
      `${row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd()}\n`,
    );
  }
}

export function printable(text: string): string {
  return text.replaceAll(/\p{Cc}|\p{Cf}|\u2028|\u2029/gu, (char) => JSON.stringify(char).slice(1, -1));
}
