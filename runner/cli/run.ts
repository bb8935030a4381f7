/** `oxiflow run NAME`: one attempt of a run, wired: configuration, state, events, threads, signals. The engine does the work. */
import { resolve } from 'node:path';
import { Command, Option } from 'commander';
import type { Pipeline } from '../config/pipeline.ts';
import type { Project } from '../config/project.ts';
import { EXIT, OxiError } from '../engine/errors.ts';
import type { Plan } from '../engine/plan.ts';
import type { RunResult } from '../engine/run.ts';
import { refuseOverInput } from '../engine/same-place.ts';
import { checkSinks } from '../engine/segment-run.ts';
import { StopRequest } from '../engine/stop.ts';
import { createLog, type Log } from '../observe/log.ts';
import { redactStrings } from '../observe/redaction.ts';
import { summaryText } from '../observe/summary.ts';
import { Terminal } from '../observe/terminal.ts';
import type { EventListener, EventPayloads } from '../observe/types.ts';
import { openStore } from '../state/open.ts';
import type { Sharing } from '../workers/begin.ts';
import { attempt, EVENTS_DEADLINE_MS, sharingNotices } from './attempt.ts';
import { rareOptions } from './help.ts';
import { clean, firstInput, openPipeline, type PipelineOptions, planOf } from './load.ts';
import { LocalWorkers } from './local-workers.ts';
import { openProject } from './open-project.ts';
import { duration, overriding, sizeOf, wholeNumber } from './options.ts';
import { print, refuseClosedOutput } from './output.ts';
import {
  invocationOf,
  rareSharing,
  type SharingOptions,
  sharingOf,
  sharing as sharingWays,
} from './sharing-options.ts';
import { Stopping } from './stopping.ts';
import { storeSettings } from './store-settings.ts';
import { checkSummary, writeSummary } from './summary-file.ts';

interface Options extends PipelineOptions, SharingOptions {
  runKey?: string;
  workerId?: string;
  acceptChanges?: true;
  dryRun?: true;
  events?: string;
  eventsLimit?: number;
  outputLimit?: number;
  logFormat: 'text' | 'json';
  json?: true;
  summary?: string;
  threads: number;
  drainTimeout?: number;
  leaseWait?: number;
  onOrphan: 'auto' | 'drain' | 'continue';
  parentFd?: number;
  whenTold?: true;
  stateBackend?: string;
  verbose?: true;
  quiet?: true;
}

const DRAIN_MS = 10_000;

export function command(): Command {
  const named = new Command('run')
    .description('run a pipeline (a name or the path of a file), or go on where it stopped')
    .argument('<pipeline>')
    .option('--project <dir>', 'folder of the project');
  const verb = sharingWays(overriding(named))
    .option('--run-key <key>', 'what is resumed (default: its name and overrides)')
    .option('--fresh', 'start over, whatever was saved')
    .option('--accept-changes', 'go on although the pipeline was changed')
    .option('--limit <n>', 'read at most n records', wholeNumber(0))
    .option('--dry-run', 'check everything and print the plan; write nothing')
    .option('--threads <n>', 'threads of stages that name none', wholeNumber(1, 64), 1)
    .option('--events <file|fd:N>', 'write events as NDJSON')
    .option('--json', 'print the summary as one JSON document')
    .option('-v, --verbose', 'say more')
    .option('-q, --quiet', 'say only what went wrong');
  return rareOptions(verb, (rare) =>
    rareSharing(rare)
      .option('--invocation <id>', 'names this request: one that has finished is not repeated')
      .option('--worker-id <id>', 'who works (default: host and process)')
      .addOption(
        new Option('--log-format <format>', 'lines for people or machines').choices(['text', 'json']).default('text'),
      )
      .option('--events-limit <size>', 'an event file that grows beyond it begins anew', sizeOf(2 ** 20))
      .option('--output-limit <size>', 'so does a file that output goes to', sizeOf(2 ** 20))
      .option('--summary <file>', 'write the summary as JSON')
      .option('--drain-timeout <time>', 'how long a stop may take (default: 10s)', duration)
      .option('--lease-wait <time>', 'how long to wait for another worker', duration)
      .addOption(
        new Option('--on-orphan <what>', 'when the launcher is gone')
          .choices(['auto', 'drain', 'continue'])
          .default('auto'),
      )
      .option('--parent-fd <n>', 'pipe whose end means that the launcher is gone', wholeNumber(0, 9_999_999))
      .option('--when-told', 'join once the launcher writes to that pipe')
      .option('--state-backend <name>', 'auto, sqlite, file, nfs, redis'),
  ).action(async (name: string, options: Options) => {
    process.exitCode = await run(name, options);
  });
}

async function run(name: string, options: Options): Promise<number> {
  const sharing = sharingOf(options);
  const { project, pipeline } = await load(name, options);
  const redact = (text: string): string => project.secrets.redact(text);
  const terminal = new Terminal(process.stderr, process.env);
  const log = await createLog({
    format: options.logFormat,
    level: options.verbose ? 'debug' : options.quiet ? 'error' : 'info',
    stream: terminal,
    redact,
    now: Date.now,
    timestamps: !terminal.live,
    paint: (colour, text) => terminal.paint(colour, text),
  });
  const notices = [...project.notices, ...pipeline.notices];
  for (const notice of notices) log.debug(notice);
  for (const sentence of project.secrets.inClear) log.warn(sentence);
  notices.push(...project.secrets.inClear);
  const plan = await planOf(project, pipeline, options.threads, { now: Date.now() }).catch((error) => {
    throw clean(error, redact);
  });
  if (options.json && plan.steps.some(({ oxi }) => oxi === 'write_stdout'))
    throw new OxiError('COMMAND_INVALID', 'run: --json and write_stdout both want standard output; use --summary FILE');
  const writer = plan.steps.find(({ oxi }) => oxi === 'write_stdout');
  if (options.json) refuseClosedOutput('--json');
  else if (writer !== undefined && !options.dryRun) refuseClosedOutput(`step "${writer.id}"`);
  if (options.summary !== undefined) await checkSummary(options.summary);
  if (options.dryRun) {
    return await dryRun(plan, project, pipeline, sharing, options, redact).catch((error) => {
      throw clean(error, redact);
    });
  }

  const runKey =
    options.runKey ??
    (pipeline.overridesHash === undefined ? pipeline.name : `${pipeline.name}-${pipeline.overridesHash}`);
  const listeners = await eventListeners(options, project, log);
  using _limited = await outputLimit(options);
  using stopping = new Stopping({
    drainMs: options.drainTimeout ?? DRAIN_MS,
    parentFd: options.parentFd,
    onOrphan: options.onOrphan,
    say: (message) => log.warn(message),
  });
  const invocation = invocationOf(options);
  await using local = new LocalWorkers({
    count: options.workers ?? 1,
    args: joining(name, runKey, invocation, options),
    stop: stopping.stop,
    drainMs: options.drainTimeout ?? DRAIN_MS,
    say: (message) => log.warn(message),
  });
  local.start();
  const result = await attempt({
    project,
    pipeline,
    plan,
    sharing,
    ready: options.whenTold ? () => stopping.told() : undefined,
    joined: () => local.tell(),
    runKey,
    invocation,
    // An empty variable is one that is not set.
    workerId: options.workerId ?? (process.env.OXIFLOW_WORKER_ID || undefined),
    fresh: options.fresh === true,
    acceptChanges: options.acceptChanges === true,
    limit: options.limit ?? Number.POSITIVE_INFINITY,
    threads: options.threads,
    leaseWaitMs: options.leaseWait,
    quiet: options.quiet === true,
    logFormat: options.logFormat,
    log,
    terminal,
    redact,
    listeners,
    stopping,
    notices,
    deliver: (done) => deliver(done, { runKey, pipeline: pipeline.name, options, redact }),
  }).catch(async (error) => {
    if (error instanceof StopRequest) {
      await refuse(listeners, 'STOPPED', error.why);
      return error.exitCode;
    }
    const failure = clean(error, redact);
    if (failure instanceof OxiError) await refuse(listeners, failure.code, failure.message);
    throw failure;
  });
  if (typeof result === 'number') return result;
  if (result.summary.status === 'succeeded') local.over();
  await show(result, runKey, pipeline.name, options, terminal, log, redact);
  return result.summary.exit_code;
}

/** What another worker of this run is started with. */
function joining(name: string, runKey: string, invocation: string | undefined, o: Options): string[] {
  const one = (flag: string, value: string | number | undefined): string[] =>
    value === undefined ? [] : [flag, String(value)];
  return [
    ...['--join', '-q', '--run-key', runKey, ...one('--invocation', invocation), ...one('--project', o.project)],
    ...(o.set ?? []).flatMap((set) => ['--set', set]),
    ...(o.param ?? []).flatMap((param) => ['--param', param]),
    ...one('--env-file', o.envFile),
    ...one('--worker-id', o.workerId),
    ...one('--state-backend', o.stateBackend),
    ...one('--threads', o.threads),
    ...(o.acceptChanges ? ['--accept-changes'] : []),
    ...(o.drainTimeout === undefined ? [] : ['--drain-timeout', `${o.drainTimeout}ms`]),
    ...(o.leaseWait === undefined ? [] : ['--lease-wait', `${o.leaseWait}ms`]),
    '--',
    name,
  ];
}

async function load(name: string, options: Options): Promise<{ project: Project; pipeline: Pipeline }> {
  const project = await openProject(options, name);
  const pipeline = await openPipeline(project, name, options).catch((error) => {
    throw clean(error, (text) => project.secrets.redact(text));
  });
  return { project, pipeline };
}

async function eventListeners(options: Options, { root, monitoring }: Project, log: Log): Promise<EventListener[]> {
  const listeners: EventListener[] = [];
  const warn = (message: string): void => log.warn(message);
  if (options.events !== undefined) {
    const { openEvents } = await import('../observe/writer.ts');
    listeners.push(openEvents(options.events, { warn, limitBytes: options.eventsLimit }));
  }
  const name = monitoring?.metrics_file;
  if (name !== undefined) {
    const { formatOf, MetricsFile } = await import('../observe/metrics-file.ts');
    const format = monitoring?.output_format ?? formatOf(name);
    listeners.push(new MetricsFile({ path: resolve(root, name), name, format, warn }));
  }
  if (process.env.DAGSTER_PIPES_CONTEXT !== undefined) {
    const { pipesListener } = await import('../observe/pipes.ts');
    const pipes = pipesListener(process.env, { warn });
    if (pipes !== undefined) listeners.push(pipes);
  }
  return listeners;
}

async function outputLimit({ outputLimit: bytes }: Options): Promise<Disposable | undefined> {
  if (bytes === undefined) return undefined;
  const { limitOutput } = await import('../observe/output-limit.ts');
  return limitOutput(bytes);
}

/** Whoever was promised news of the run learns that there will be none; who had the whole story is not told again. */
async function refuse(listeners: readonly EventListener[], code: string, message: string): Promise<void> {
  for (const listener of listeners) listener.onRefused?.(code, message);
  await Promise.all(listeners.map((listener) => listener.close?.(EVENTS_DEADLINE_MS)));
}

async function dryRun(
  plan: Plan,
  project: Project,
  pipeline: Pipeline,
  sharing: Sharing | undefined,
  options: Options,
  redact: (text: string) => string,
): Promise<number> {
  const { planDocument, planText } = await import('./plan-text.ts');
  const input = await firstInput(plan);
  await checkSinks(plan);
  const notices = sharing === undefined ? [] : await noticesOf(plan, project, pipeline, sharing);
  const source = plan.segments[0]?.planned?.sources.find(({ step }) => step.id === input.source);
  if (source !== undefined) await refuseOverInput(plan, { index: 0, source, splits: input.splits });
  if (options.json)
    process.stdout.write(`${JSON.stringify(redactStrings(planDocument(pipeline, plan, input, notices), redact))}\n`);
  else if (!options.quiet) process.stderr.write(redact(planText(pipeline.name, plan, input, notices)));
  return EXIT.ok;
}

async function noticesOf(plan: Plan, project: Project, pipeline: Pipeline, sharing: Sharing): Promise<string[]> {
  await using store = await openStore(storeSettings(project));
  return sharingNotices({ plan, pipeline, store, sharing });
}

async function show(
  result: RunResult,
  runKey: string,
  pipeline: string,
  options: Options,
  terminal: Terminal,
  log: Log,
  redact: (text: string) => string,
): Promise<void> {
  const { summary, repeated } = result;
  if (repeated) log.info(`run "${runKey}" has finished under this invocation: nothing to do`);
  if (!options.quiet && options.logFormat === 'text')
    terminal.write(summaryText(pipeline, summary as EventPayloads['run.finished'], terminal.columns));
  if (summary.error !== undefined) log.error(summary.error.message);
  // That of a success got out before the run was marked as finished.
  if (summary.status === 'succeeded' && !repeated) return;
  await deliver(result, { runKey, pipeline, options, redact }).catch((error) => {
    // That it can't be delivered may be what the run failed of; it has been said.
    if (!(error instanceof OxiError) || error.message !== summary.error?.message) throw error;
  });
}

/** The summary as a document, to whom asked for it. Throws OxiError where it does not get there. */
async function deliver(
  { summary, runId, attempt }: RunResult,
  about: { runKey: string; pipeline: string; options: Options; redact(text: string): string },
): Promise<void> {
  const { runKey, pipeline, options, redact } = about;
  if (options.json !== true && options.summary === undefined) return;
  const document = { pipeline, run_key: runKey, run_id: runId, attempt, ...summary };
  const text = `${JSON.stringify(redactStrings(document, redact))}\n`;
  let failure: unknown;
  if (options.summary !== undefined)
    await writeSummary(options.summary, text).catch((error) => {
      failure = error;
    });
  // Of two that are promised, a success is told to both or to none on standard output, which can't be taken back.
  if (options.json && (failure === undefined || summary.status !== 'succeeded')) await print(text);
  if (failure !== undefined) throw failure;
}
