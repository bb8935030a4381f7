/** A project in a folder of its own whose pipeline is run by one worker, or cut and run group by group, in this process. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { openPipeline, planOf } from '../../runner/cli/load.ts';
import { openProject } from '../../runner/cli/open-project.ts';
import type { CutWish, Share, Source, Split } from '../../runner/engine/contracts.ts';
import type { Checkpoint } from '../../runner/engine/documents.ts';
import type { Plan, Segment } from '../../runner/engine/plan.ts';
import type { RunSummary } from '../../runner/engine/report.ts';
import type { RecordedInput } from '../../runner/engine/resume.ts';
import { executeRun, type RunOptions } from '../../runner/engine/run.ts';
import { openInput } from '../../runner/engine/segment-run.ts';
import { StopRequest } from '../../runner/engine/stop.ts';
import { makeSteps } from '../../runner/oxis/make.ts';
import { openFileStore } from '../../runner/state/file.ts';
import { thisHolder } from '../../runner/state/host.ts';
import type { StateStore } from '../../runner/state/store.ts';
import { SILENT } from '../../runner/testing/apart.ts';
import { StagePool } from '../../runner/threads/pool.ts';
import { cutInput } from '../../runner/workers/cut.ts';
import { mergeParts } from '../../runner/workers/merge.ts';

const NOW = Date.UTC(2026, 10, 30);

/** Id of the run whose groups they are. */
const SHARED_RUN = 'run-1';

/** Of one read, where a run is stopped often. */
const READ_BYTES = 30_011;

export class Scene implements Disposable {
  readonly folder: string;
  #threads = 1;

  /** `steps`: of the pipeline, as YAML. */
  constructor(steps: string | undefined, files: Readonly<Record<string, string | Uint8Array>>, folder?: string) {
    this.folder = folder ?? mkdtempSync(join(tmpdir(), 'oxiflow-splits-'));
    if (steps === undefined) return;
    this.write({ 'oxiflow.yaml': 'project: { name: shop }\n', 'pipelines/orders.yaml': `pipeline:\n${steps}` });
    this.write(files);
  }

  /** One that is there already. */
  static at(folder: string): Scene {
    return new Scene(undefined, {}, folder);
  }

  threads(threads: number): this {
    this.#threads = threads;
    return this;
  }

  write(files: Readonly<Record<string, string | Uint8Array>>): void {
    for (const [name, content] of Object.entries(files)) {
      mkdirSync(dirname(join(this.folder, name)), { recursive: true });
      writeFileSync(join(this.folder, name), content);
    }
  }

  read(name: string): Buffer {
    return readFileSync(join(this.folder, name));
  }

  list(folder: string): string[] {
    return readdirSync(join(this.folder, folder)).sort();
  }

  async plan(share?: Share): Promise<Plan> {
    const project = await openProject({ project: this.folder });
    const pipeline = await openPipeline(project, 'orders', {});
    return planOf(project, pipeline, this.#threads, { now: NOW, ...(share === undefined ? {} : { share }) });
  }

  /** Its first segment, and what that reads. */
  async input(plan?: Plan): Promise<{ segment: Segment; input: RecordedInput }> {
    const segment = await (plan ?? (await this.plan())).segments[0]?.plan(new Map());
    if (segment === undefined) throw new Error('the pipeline has no segment');
    const waiting = {
      signal: new AbortController().signal,
      say: () => undefined,
      unlessStopped: <T>(work: Promise<T>) => work,
    };
    return { segment, input: await openInput(segment, this.folder, [], waiting) };
  }

  async cut(wish: CutWish): Promise<Split[][]> {
    const { segment, input } = await this.input();
    return cutInput({ ...input, parser: segment.parser, select: segment.select }, wish);
  }

  async whole(): Promise<RunSummary> {
    return this.#run(await this.plan());
  }

  /** One group after the other. */
  async shared(groups: readonly Split[][]): Promise<RunSummary[]> {
    const { input } = await this.input();
    const summaries: RunSummary[] = [];
    for (const [index, splits] of groups.entries()) {
      const plan = await this.plan({ index, of: groups.length });
      summaries.push(await this.#run(plan, { input: { source: 0, splits, stream: input.stream } }));
    }
    return summaries;
  }

  /**
   * A group in many attempts: each is stopped after so many small reads. Returns the positions that they went on from. `attempts`: at
   * most so many. `direct`: the threads of the stage read, and what counts are their pieces.
   */
  async interrupted(
    groups: readonly Split[][],
    index: number,
    store: StateStore,
    most: number,
    {
      sharedRun = SHARED_RUN,
      attempts = Number.POSITIVE_INFINITY,
      direct = false,
    }: { sharedRun?: string; attempts?: number; direct?: boolean } = {},
  ): Promise<{ summary: RunSummary; positions: Checkpoint['position'][] }> {
    const stream = (await this.input()).input.stream;
    const positions: Checkpoint['position'][] = [];
    for (let attempt = 1; ; attempt++) {
      const plan = await this.plan({ index, of: groups.length });
      const stop = new AbortController();
      const source = plan.segments[0]?.planned?.sources[0]?.source;
      if (source === undefined) throw new Error('the pipeline has no source');
      const open = source.open.bind(source);
      const openDirect = source.direct?.bind(source);
      let reads = 0;
      const readThere: Source['direct'] = async (split) => {
        if (openDirect === undefined) throw new Error('the source is only read here');
        const input = await openDirect(split);
        const read: typeof input.read = (at, length) => {
          if (++reads === most) stop.abort(new StopRequest('a test'));
          return input.read(at, length);
        };
        return { ...input, read };
      };
      Object.defineProperty(source, 'direct', { value: direct ? readThere : undefined });
      source.open = async function* (...args) {
        for await (const { bytes, after } of open(...args))
          for (let at = 0; at < bytes.length; at += READ_BYTES) {
            const piece = new Uint8Array(bytes.subarray(at, at + READ_BYTES));
            if (++reads === most) stop.abort(new StopRequest('a test'));
            yield { bytes: piece, after: after - bytes.length + at + piece.length };
            if (stop.signal.aborted) return;
          }
      };
      const summary = await this.#run(plan, {
        input: { source: 0, splits: groups[index] ?? [], stream },
        store,
        invocation: sharedRun,
        fresh: false,
        stop: stop.signal,
        observe: async () => ({
          ...SILENT,
          started: ({ resumedFrom }) => {
            if (resumedFrom !== undefined) positions.push(resumedFrom.position);
          },
        }),
      });
      if (summary.status !== 'interrupted' || attempt >= attempts) return { summary, positions };
    }
  }

  /** Puts the outputs together, as whoever commits the last group does. */
  async merge(summaries: readonly Pick<RunSummary, 'outputs'>[], token = 1): Promise<RunSummary['outputs']> {
    const plan = await this.plan();
    const { input } = await this.input(plan);
    return mergeParts({
      plan,
      stream: input.stream,
      projectRoot: this.folder,
      run: { runKey: 'orders', runId: SHARED_RUN, pipeline: 'orders', token },
      groups: summaries.map(({ outputs }) => outputs),
      mustHold: async () => undefined,
    });
  }

  async #run(plan: Plan, more: Partial<RunOptions> = {}): Promise<RunSummary> {
    const project = await openProject({ project: this.folder });
    const pipeline = await openPipeline(project, 'orders', {});
    const state = mkdtempSync(join(tmpdir(), 'oxiflow-splits-state-'));
    await using store = openFileStore(state);
    try {
      const { summary } = await executeRun({
        plan,
        pipeline: pipeline.name,
        projectRoot: this.folder,
        store,
        holder: thisHolder('test'),
        runKey: 'orders',
        invocation: SHARED_RUN,
        fresh: true,
        acceptChanges: false,
        limit: Number.POSITIVE_INFINITY,
        params: pipeline.params,
        env: pipeline.environment,
        maxErrors: pipeline.maxErrors,
        lockTimeoutMs: 60_000,
        leaseWaitMs: 0,
        softIntervalMs: Number.POSITIVE_INFINITY,
        hardIntervalMs: Number.POSITIVE_INFINITY,
        makeSteps,
        startPool: (spec, pool) => new StagePool(spec, pool),
        keepLease: () => ({ [Symbol.asyncDispose]: async () => undefined }),
        observe: async () => SILENT,
        deliver: async () => undefined,
        say: () => undefined,
        redact: (text) => text,
        stop: new AbortController().signal,
        kill: new AbortController().signal,
        now: () => new Date(NOW),
        ...more,
      });
      return summary;
    } finally {
      rmSync(state, { recursive: true, force: true });
    }
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
