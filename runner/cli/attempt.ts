/** One attempt of a run, wired: the state, its keeper, threads, events and signals. The engine, or the crew, does the work. */
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import type { Pipeline } from '../config/pipeline.ts';
import type { Project } from '../config/project.ts';
import { SOFT_INTERVAL_MS } from '../engine/barrier-clock.ts';
import { softInterval, stuckAfter } from '../engine/crashpoint.ts';
import { PauseGate } from '../engine/pause.ts';
import type { Plan } from '../engine/plan.ts';
import type { RunObserver } from '../engine/report.ts';
import { executeRun, type RunOptions, type RunResult } from '../engine/run.ts';
import { sayIfSlow } from '../engine/slow.ts';
import { Watch } from '../engine/watch.ts';
import { EventBus } from '../observe/bus.ts';
import type { Log } from '../observe/log.ts';
import { ProgressLine } from '../observe/progress.ts';
import { RunReporter } from '../observe/report.ts';
import type { Terminal } from '../observe/terminal.ts';
import type { EventListener } from '../observe/types.ts';
import { stepMaker } from '../oxis/make.ts';
import { registry } from '../oxis/registry.ts';
import { thisHolder } from '../state/host.ts';
import { openStore } from '../state/open.ts';
import type { StateStore } from '../state/store.ts';
import { type Keeper, startKeeper } from '../threads/keeper.ts';
import { StagePool } from '../threads/pool.ts';
import type { Sharing } from '../workers/begin.ts';
import { planOf } from './load.ts';
import type { Stopping } from './stopping.ts';
import { storeSettings } from './store-settings.ts';
import { ThisWorker } from './this-worker.ts';
import { version } from './version.ts';

export interface AttemptInput {
  project: Project;
  pipeline: Pipeline;
  plan: Plan;
  /** How the run is shared with other workers; undefined: this one does it all. */
  sharing: Sharing | undefined;
  /** Nothing is left to do before it joins the others but what this waits for. */
  ready?: (() => Promise<void>) | undefined;
  /** It has joined the others. */
  joined?: (() => void) | undefined;
  runKey: string;
  invocation: string | undefined;
  workerId: string | undefined;
  fresh: boolean;
  acceptChanges: boolean;
  /** Records to read at most. */
  limit: number;
  /** Threads of stages that name none. */
  threads: number;
  leaseWaitMs: number | undefined;
  quiet: boolean;
  logFormat: 'text' | 'json';
  log: Log;
  terminal: Terminal;
  redact(text: string): string;
  listeners: EventListener[];
  stopping: Stopping;
  notices: readonly string[];
  /** Hands out the result of a success. */
  deliver(result: RunResult): Promise<void>;
}

const METRICS_INTERVAL_SECONDS = 10;
/** Beyond the lease: what its holder may need to be noticed as gone. */
const LEASE_WAIT_EXTRA_MS = 5000;
/** Events that still wait when the run is over. */
export const EVENTS_DEADLINE_MS = 5000;
const POLL_MS = 1000;

export async function attempt(a: AttemptInput): Promise<RunResult> {
  const { project, pipeline, plan, runKey, log, redact, stopping } = a;
  const settings = storeSettings(project);
  await using store = await openStore(settings, { warn: (message) => log.warn(message) });
  const workerId = `${a.workerId ?? hostname()}-${process.pid}-${randomBytes(3).toString('hex')}`;
  const { lockTimeoutMs } = project;
  const holder = thisHolder(workerId);
  let bus: EventBus | undefined;
  // Disposed behind the keeper, which takes a watch that says nothing for a thread that is blocked.
  using watch = new Watch({ stuckAfterMs: stuckAfter(project.stuckAfterMs) });
  const stuck = new AbortController();
  watch.start((error, table) => {
    log.error(`nothing moves:\n${table}`);
    stuck.abort(error);
    stopping.stuck();
  });
  const notices = [...a.notices];
  const pause = new PauseGate();
  const requests = await store.requests(runKey);
  const worker = new ThisWorker(
    { worker_id: workerId, run_key: runKey, pipeline: pipeline.name, capacity: capacityOf(plan) },
    stopping,
    pause,
    requests,
  );
  const keep = (delayMs?: number): Keeper =>
    startKeeper(
      {
        settings,
        runKey,
        holder,
        ttlMs: lockTimeoutMs,
        renewMs: Math.min(project.heartbeatIntervalMs, lockTimeoutMs / 3),
        pollMs: Math.min(POLL_MS, lockTimeoutMs / 6),
        watch: Number.isFinite(watch.everyMs) ? { memory: watch.board.memory, everyMs: watch.everyMs } : undefined,
      },
      {
        requests: (now) => worker.obey(now),
        trouble: (message) => log.warn(`state: ${message}`),
      },
      delayMs,
    );
  const observe = async (identity: { runId: string; attempt: number }): Promise<RunObserver> => {
    const { runId: run_id, attempt } = identity;
    const listeners = [...a.listeners, ...(await progressOf(a))];
    bus = new EventBus({
      identity: { run_key: runKey, run_id, attempt, worker_id: workerId, pipeline: pipeline.name },
      redact,
      now: Date.now,
      listeners,
      warn: (message) => log.warn(message),
    });
    log.attach(bus);
    const reporter = new RunReporter({
      events: bus,
      backend: { name: store.backend, location: store.location },
      process: { pid: process.pid, host: hostname(), version: version() },
      notices,
      metricsIntervalMs: 1000 * (project.monitoring?.interval_seconds ?? METRICS_INTERVAL_SECONDS),
      alerts: project.monitoring?.alerts ?? {},
      now: Date.now,
      warn: (message) => log.warn(message),
    });
    return saying(reporter, log);
  };
  const options: Omit<RunOptions, 'keepLease'> = {
    plan,
    pipeline: pipeline.name,
    projectRoot: project.root,
    store,
    holder,
    runKey,
    invocation: a.invocation,
    fresh: a.fresh,
    acceptChanges: a.acceptChanges,
    limit: a.limit,
    params: pipeline.params,
    env: pipeline.environment,
    maxErrors: pipeline.maxErrors,
    lockTimeoutMs,
    leaseWaitMs: a.leaseWaitMs ?? lockTimeoutMs + LEASE_WAIT_EXTRA_MS,
    softIntervalMs: softInterval(SOFT_INTERVAL_MS),
    hardIntervalMs: project.checkpointIntervalMs,
    makeSteps: stepMaker((message, step) => log.debug(message, { step })),
    startPool: (spec, pool) => new StagePool(spec, pool),
    observe,
    deliver: (result) => {
      // On a terminal, standard output goes where the live line is.
      a.terminal.draw('');
      return a.deliver(result);
    },
    say: (message) => log.info(message),
    redact,
    stop: stopping.stop,
    kill: AbortSignal.any([stopping.kill, stuck.signal]),
    pause,
    watch,
    now: () => new Date(),
  };
  try {
    // A pause that stands holds this attempt up before its first record; from then on the keeper tells.
    const standing = requests.find(({ kind }) => kind === 'pause');
    if (standing !== undefined) pause.close(standing.from);
    const { sharing } = a;
    if (sharing === undefined) return await alone(options, keep, worker);
    const found = await sharingNotices({ plan, pipeline, store, sharing });
    for (const notice of found) log.info(notice);
    notices.push(...found);
    await using keeper = keep(0);
    worker.reportTo(keeper);
    const { runCrew } = await import('../workers/crew.ts');
    await a.ready?.();
    return await runCrew({
      ...options,
      sharing,
      pause,
      keeper,
      requests: worker,
      planFor: (share) => planOf(project, pipeline, a.threads, { now: Date.now(), share }),
      capacity: capacityOf(plan),
      joined: ({ giveAhead }) => {
        worker.joined(() => void giveAhead().catch((error) => log.debug(String(error))));
        a.joined?.();
      },
      about: (news) => worker.about(news),
    });
  } finally {
    if (bus !== undefined)
      await sayIfSlow((text) => log.info(text), 'handing out the last events', bus.close(EVENTS_DEADLINE_MS));
  }
}

/** What is different when the run is shared, as sentences. Throws OxiError where it can't be. */
export async function sharingNotices({
  plan,
  pipeline,
  store,
  sharing,
}: Pick<AttemptInput, 'plan' | 'pipeline'> & { store: StateStore; sharing: Sharing }): Promise<string[]> {
  const { refuseLocalState, refuseSharing } = await import('../workers/sharing.ts');
  await refuseLocalState(store, sharing);
  return refuseSharing(plan, { oxis: registry, maxErrors: pipeline.maxErrors });
}

/** The whole run by this worker. Its keeper begins with the lease: requests to whoever had it before are not for this one. */
function alone(options: Omit<RunOptions, 'keepLease'>, keep: () => Keeper, worker: ThisWorker): Promise<RunResult> {
  return executeRun({
    ...options,
    keepLease: (lease, lost) => {
      const keeper = keep();
      keeper.keep(lease, lost);
      worker.reportTo(keeper);
      worker.forget();
      worker.joined(() => undefined);
      return keeper;
    },
    observe: async (identity) => {
      const observer = await options.observe(identity);
      const tell = ({ records, bytes }: { records: number; bytes: number }): void =>
        worker.about({ run_id: identity.runId, state: worker.state, splits: [0], done: 0, records, bytes });
      return {
        started: (start) => {
          tell(start.figures);
          observer.started(start);
        },
        checkpoint: (checkpoint, splits) => {
          tell(checkpoint);
          observer.checkpoint(checkpoint, splits);
        },
        finished: (summary) => observer.finished(summary),
        recordErrors: (messages) => observer.recordErrors(messages),
        deadLettered: (letters) => observer.deadLettered(letters),
      };
    },
  });
}

/** Threads that its widest stage may use. */
function capacityOf({ segments }: Plan): number {
  const stages = segments.flatMap(({ planned }) => planned?.nodes ?? []);
  return Math.max(1, ...stages.map((node) => (node.kind === 'stage' ? node.threads : 1)));
}

async function progressOf(a: AttemptInput): Promise<EventListener[]> {
  if (a.quiet) return [];
  const { project, terminal, pipeline, log } = a;
  const below =
    project.monitoring?.real_time_dashboard === true && terminal.live
      ? (await import('../observe/dashboard.ts')).dashboardLines
      : undefined;
  // Whoever reads JSON lines reads nothing else.
  const write = a.logFormat === 'json' ? (line: string): void => log.info(line) : undefined;
  return [new ProgressLine(terminal, { now: Date.now, label: pipeline.name, below, write })];
}

/** Notices of the start are told to people as well. */
function saying(reporter: RunReporter, log: Log): RunReporter {
  const started: RunReporter['started'] = (start) => {
    RunReporter.prototype.started.call(reporter, start);
    for (const notice of start.notices) log.info(notice);
    const { resumedFrom } = start;
    if (resumedFrom !== undefined)
      log.info(`going on from checkpoint ${resumedFrom.n}: ${resumedFrom.records} records are done`);
  };
  return Object.assign(reporter, { started });
}
