/** `oxiflow history [PIPELINE]`: how attempts have ended, the newest first, with figures, from the history in the store. */
import { Command } from 'commander';
import { didYouMean, listNames } from '../config/nearest.ts';
import { OxiError } from '../engine/errors.ts';
import { humanDuration, humanRate, shortCount } from '../observe/human.ts';
import { oneLine } from '../observe/safe-text.ts';
import { type Column, fits, tableLines } from '../observe/table.ts';
import type { HistoryEntry, Json, StateStore } from '../state/store.ts';
import { wholeNumber } from './options.ts';
import { print } from './output.ts';
import { printJson, type StateOptions, withStateOptions, withStore } from './state-store.ts';

const USUAL_COLUMNS = 80;
/** A name that is cut to less can't be told from others. */
const SHORTEST_NAME = 12;

interface Options extends StateOptions {
  limit: number;
  runKey?: string;
}

export function command(): Command {
  return withStateOptions(new Command('history'))
    .description('show how runs have ended, the newest first; an attempt that failed has a line of its own')
    .argument('[pipeline]', 'only those of this pipeline')
    .option('--run-key <key>', 'only those of this run key')
    .option('--limit <n>', 'so many at most', wholeNumber(1), 20)
    .action((pipeline: string | undefined, options: Options) =>
      withStore(options, (store) => show(store, pipeline, options)),
    );
}

async function show(store: StateStore, pipeline: string | undefined, options: Options): Promise<void> {
  const { runKey, limit } = options;
  const entries = await store.history({
    limit,
    ...(pipeline === undefined ? {} : { pipeline }),
    ...(runKey === undefined ? {} : { runKey }),
  });
  if (entries.length === 0 && pipeline !== undefined) await mustExist(store, pipeline, options);
  const ended = entries.map(figures);
  if (options.json === true) return printJson({ backend: store.backend, location: store.location, runs: ended });
  if (ended.length > 0) return print(`${rows(ended, process.stdout.columns || USUAL_COLUMNS).join('\n')}\n`);
  const what =
    runKey !== undefined ? ` with the run key "${runKey}"` : pipeline !== undefined ? ` of "${pipeline}"` : '';
  process.stderr.write(`no run${oneLine(what)} has ended yet in ${store.location}\n`);
}

/** Throws OxiError NO_PIPELINE where neither the project nor its history knows the name. */
async function mustExist(store: StateStore, pipeline: string, { project }: Options): Promise<void> {
  const [{ openProject }, { listPipelines }] = await Promise.all([
    import('./open-project.ts'),
    import('../config/files.ts'),
  ]);
  const { root, settings } = await openProject({ project });
  const known = new Set((await listPipelines(root, settings.pipelineDir)).map(({ name }) => name));
  for (const { pipeline: ended } of await store.history()) known.add(ended);
  if (known.has(pipeline)) return;
  const near = didYouMean(pipeline, known);
  const there = known.size === 0 ? '; there are no pipelines yet' : `; there are: ${listNames([...known], 8)}`;
  throw new OxiError('NO_PIPELINE', `history: no pipeline ${JSON.stringify(pipeline)}${near === '' ? there : near}`, {
    place: { pipeline },
  });
}

/** An attempt as it ended; counts, bytes and the rate are those of this attempt. */
interface Ended {
  run_key: string;
  run_id: string;
  pipeline: string;
  attempt: number;
  status: string;
  exit_code: number;
  started_at: string;
  finished_at: string;
  duration_ms: number;
  records_in: number;
  records_out: number;
  errors: number;
  bytes_in: number;
  bytes_out: number;
  records_per_s: number;
  error?: Json;
  bottleneck?: Json;
}

function figures({ runKey, runId, pipeline, attempt, status, finishedAt, summary }: HistoryEntry): Ended {
  const counted = objectOf(objectOf(summary.counters).attempt);
  const count = (name: string): number => numberOf(counted[name]);
  const duration_ms = numberOf(objectOf(summary.durations).attempt_ms);
  const records_in = count('added');
  return {
    run_key: runKey,
    run_id: runId,
    pipeline,
    attempt,
    status,
    exit_code: numberOf(summary.exit_code),
    started_at: new Date(Date.parse(finishedAt) - duration_ms).toISOString(),
    finished_at: finishedAt,
    duration_ms,
    records_in,
    records_out: count('out'),
    errors: count('dropped') + count('dead_lettered') + count('failed') + count('passed_on_error'),
    bytes_in: count('bytes_in'),
    bytes_out: count('bytes_out'),
    records_per_s: duration_ms > 0 ? Math.round((records_in * 10_000) / duration_ms) / 10 : 0,
    ...(summary.error === undefined ? {} : { error: summary.error }),
    ...(summary.bottleneck === undefined ? {} : { bottleneck: summary.bottleneck }),
  };
}

/** Entries of earlier versions may lack what later ones count. */
function objectOf(value: Json | undefined): { [key: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : {};
}

function numberOf(value: Json | undefined): number {
  return typeof value === 'number' ? value : 0;
}

const STATUS: Readonly<Record<string, string>> = { succeeded: 'done', interrupted: 'stopped' };

/** A head and a line each; columns are left out, the least important first, until they fit, and names are cut. */
function rows(ended: readonly Ended[], width: number): string[] {
  const column = (head: string, cell: (one: Ended) => string): Column => ({ head, cells: ended.map(cell) });
  const names = column('run', ({ run_key }) => oneLine(run_key));
  /** What is told, and how soon it is left out: 0 never. */
  const columns: [Column, number][] = [
    // Of this clock, as `date` tells it.
    [column('ended', ({ finished_at }) => localTime(finished_at)), 0],
    [column('how', ({ status }) => STATUS[status] ?? status), 0],
    [column('took', ({ duration_ms }) => humanDuration(duration_ms)), 0],
    [column('in', ({ records_in }) => shortCount(records_in)), 0],
    [column('out', ({ records_out }) => shortCount(records_out)), 0],
    [column('errors', ({ errors }) => (errors === 0 ? '-' : shortCount(errors))), 1],
    [
      column('rec/s', ({ records_per_s }) =>
        records_per_s < 10 ? humanRate(records_per_s) : shortCount(records_per_s),
      ),
      2,
    ],
    [column('try', ({ attempt }) => String(attempt)), 3],
  ];
  const shown = (most: number): Column[] => columns.filter(([, rank]) => rank <= most).map(([one]) => one);
  // Long names are cut before anything else is.
  const cut: Column = { head: names.head, cells: names.cells.map((name) => name.slice(0, SHORTEST_NAME)) };
  const room = [3, 2, 1].find((most) => fits(cut, shown(most), width)) ?? 0;
  return tableLines(names, shown(room), width);
}

function localTime(iso: string): string {
  const time = new Date(iso);
  const two = (value: number): string => String(value).padStart(2, '0');
  return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())} ${two(time.getHours())}:${two(time.getMinutes())}`;
}
