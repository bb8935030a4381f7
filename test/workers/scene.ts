/** A project in a folder of its own whose pipeline is run by one worker, or cut and run group by group, in this process. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { openPipeline, planOf } from '../../runner/cli/load.ts';
import { openProject } from '../../runner/cli/open-project.ts';
import type { CutWish, Share, Split } from '../../runner/engine/contracts.ts';
import type { Plan, Segment } from '../../runner/engine/plan.ts';
import type { RunSummary } from '../../runner/engine/report.ts';
import type { RecordedInput } from '../../runner/engine/resume.ts';
import { openInput } from '../../runner/engine/segment-run.ts';
import { runApart } from '../../runner/testing/apart.ts';
import { cutInput } from '../../runner/workers/cut.ts';
import { mergeParts } from '../../runner/workers/merge.ts';

const NOW = Date.UTC(2026, 10, 30);

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

  /** One group after the other; `order`: another one than theirs. */
  async shared(groups: readonly Split[][], order: readonly number[] = [...groups.keys()]): Promise<RunSummary[]> {
    const summaries: RunSummary[] = [];
    for (const index of order) {
      const plan = await this.plan({ index, of: groups.length });
      const source = plan.segments[0]?.planned?.sources[0]?.source;
      if (source === undefined) throw new Error('the pipeline has no source');
      source.splits = async () => groups[index] ?? [];
      summaries[index] = await this.#run(plan);
    }
    return summaries;
  }

  /** Puts the outputs together, as whoever commits the last group does. */
  async merge(summaries: readonly Pick<RunSummary, 'outputs'>[], token = 1): Promise<RunSummary['outputs']> {
    const plan = await this.plan();
    const { input } = await this.input(plan);
    return mergeParts({
      plan,
      stream: input.stream,
      projectRoot: this.folder,
      run: { runKey: 'apart', runId: 'run-1', pipeline: 'orders', token },
      groups: summaries.map(({ outputs }) => outputs),
      mustHold: async () => undefined,
    });
  }

  async #run(plan: Plan): Promise<RunSummary> {
    const project = await openProject({ project: this.folder });
    const pipeline = await openPipeline(project, 'orders', {});
    const { summary } = await runApart({
      plan,
      pipeline,
      projectRoot: this.folder,
      redact: (text) => text,
      now: NOW,
    });
    return summary;
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
