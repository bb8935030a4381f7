/** A run beside the real ones: the same engine, with its state in a folder that is gone afterwards. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Pipeline } from '../config/pipeline.ts';
import type { Plan } from '../engine/plan.ts';
import type { RunObserver } from '../engine/report.ts';
import { executeRun, type RunResult } from '../engine/run.ts';
import { makeSteps } from '../oxis/make.ts';
import { openFileStore } from '../state/file.ts';
import { thisHolder } from '../state/host.ts';
import { StagePool } from '../threads/pool.ts';

export interface ApartRun {
  plan: Plan;
  pipeline: Pick<Pipeline, 'name' | 'params' | 'environment' | 'maxErrors'>;
  projectRoot: string;
  redact(text: string): string;
  observer?: Partial<RunObserver>;
  say?(message: string): void;
  /** Aborted: it ends at once. */
  kill?: AbortSignal;
  /** Start of the run, which expressions call now(); milliseconds since the epoch. */
  now: number;
}

/** Longer than any of them: nobody else asks for its lease. */
const LEASE_MS = 86_400_000;

/** Nobody listens. */
export const SILENT: RunObserver = {
  started: () => undefined,
  checkpoint: () => undefined,
  recordErrors: () => undefined,
  deadLettered: () => undefined,
  finished: () => undefined,
};

export async function runApart(run: ApartRun): Promise<RunResult> {
  const { plan, pipeline, projectRoot, redact } = run;
  const folder = await mkdtemp(join(tmpdir(), 'oxiflow-apart-'));
  try {
    await using store = await openFileStore(folder);
    return await executeRun({
      plan,
      pipeline: pipeline.name,
      projectRoot,
      store,
      holder: thisHolder('apart'),
      runKey: 'apart',
      invocation: undefined,
      fresh: true,
      acceptChanges: false,
      limit: Number.POSITIVE_INFINITY,
      params: pipeline.params,
      env: pipeline.environment,
      maxErrors: pipeline.maxErrors,
      lockTimeoutMs: LEASE_MS,
      leaseWaitMs: 0,
      softIntervalMs: Number.POSITIVE_INFINITY,
      hardIntervalMs: Number.POSITIVE_INFINITY,
      makeSteps,
      startPool: (spec, options) => new StagePool(spec, options),
      keepLease: () => ({ [Symbol.asyncDispose]: async () => undefined }),
      observe: async () => ({ ...SILENT, ...run.observer }),
      deliver: async () => undefined,
      say: (message) => run.say?.(message),
      redact,
      stop: new AbortController().signal,
      kill: run.kill ?? new AbortController().signal,
      now: () => new Date(run.now),
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
