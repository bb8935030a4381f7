/**
 * One segment of an attempt: its input, its sinks at their marks, the flow between them, and the publishing at its end. The
 * attempt around it (`run.ts`) keeps the documents of the run.
 */
import type { Json } from '../state/store.ts';
import { runFlow } from './assemble.ts';
import type { Assembly, FlowStart } from './assembly.ts';
import type { Committer } from './checkpoint.ts';
import type { Mark, Output, Sink, SinkRun, Split, StreamInfo } from './contracts.ts';
import type { Checkpoint } from './documents.ts';
import { EXIT, OxiError } from './errors.ts';
import { detectStream } from './first-look.ts';
import { checkEncoders } from './make-sink.ts';
import { unitOf } from './patience.ts';
import { type Plan, type PlannedSource, type Segment, sinksOf } from './plan.ts';
import { DEAD_LETTERS } from './planner.ts';
import type { RecordedInput } from './resume.ts';
import { withRetry, withTimeout } from './retry.ts';
import { sayIfSlow } from './slow.ts';

/** What can be known to fail before anything starts, of every segment that is planned by now. */
export async function checkSinks({ segments, deadLetters }: Plan): Promise<void> {
  for (const { planned } of segments) for (const { sink } of sinksOf(planned?.nodes ?? [])) await sink.check?.();
  await deadLetters?.sink.check?.();
}

/** A sink and the id under which its mark stands. */
interface NamedSink {
  id: string;
  sink: Sink;
}

export class SegmentRun {
  readonly segment: Segment;
  readonly #deadLetters: Plan['deadLetters'];
  readonly #sinks: readonly NamedSink[];
  readonly skip = new Map<string, number>();

  constructor(segment: Segment, deadLetters: Plan['deadLetters']) {
    this.segment = segment;
    this.#deadLetters = deadLetters;
    this.#sinks = sinksOf(segment.nodes).map(({ step, sink }) => ({ id: step.id, sink }));
  }

  /** The sinks whose marks belong to its checkpoints. */
  get #all(): readonly NamedSink[] {
    const letters = this.#deadLetters;
    return letters === undefined ? this.#sinks : [...this.#sinks, { id: DEAD_LETTERS, sink: letters.sink }];
  }

  /**
   * Opens every sink at its mark. `letters`: the mark of the dead letters when the segment began, or that they are open since an
   * earlier one. Returns why all of them were opened anew, where one has lost what its mark speaks of.
   */
  async open(
    run: (step: string) => SinkRun,
    from: Checkpoint | undefined,
    letters: Mark | undefined | 'open',
  ): Promise<string | undefined> {
    let reason: string | undefined;
    const sinks = letters === 'open' ? this.#sinks : this.#all;
    const begin = letters === 'open' ? undefined : letters;
    for (const { id, sink } of sinks) {
      const mark = (from?.marks[id] ?? (id === DEAD_LETTERS ? begin : undefined)) as Mark | undefined;
      const held = await sink.open(run(id), mark);
      if (held.at === 'lost') reason ??= `step "${id}": ${held.reason}`;
      else if (from !== undefined && mark === undefined) reason ??= `step "${id}" is new and holds nothing`;
      else if (held.at === 'ahead') this.skip.set(id, held.mark.records - (mark?.records ?? 0));
    }
    if (reason === undefined) return undefined;
    this.skip.clear();
    for (const { id, sink } of sinks) {
      // Its letters of earlier segments stay.
      if (id === DEAD_LETTERS && begin !== undefined) await sink.close();
      else await sink.abort();
      const held = await sink.open(run(id), id === DEAD_LETTERS ? begin : undefined);
      if (held.at === 'lost') await sink.open(run(id), undefined);
    }
    return reason;
  }

  /** Lets the flow run. Throws what stopped it. */
  async flow(assembly: Assembly, start: Omit<FlowStart, 'segment' | 'skip'>): Promise<'finished' | 'interrupted'> {
    return runFlow(assembly, { ...start, segment: this.segment, skip: this.skip });
  }

  /** A predecessor had read and written everything: the sinks may hold copies, which the last checkpoint has to speak of. */
  async restate(committer: Committer, from: Checkpoint): Promise<void> {
    const marks: Record<string, Mark> = {};
    for (const { id, sink } of this.#all) marks[id] = await sink.prepare(from.n, 'hard');
    await committer.restate(marks);
  }

  async published(n: number): Promise<void> {
    for (const { sink } of this.#all) await sink.published?.(n);
  }

  /** Makes its outputs visible, those of the dead letters at the end of the run. */
  async publish(last: Checkpoint): Promise<({ step: string } & Output)[]> {
    const outputs: ({ step: string } & Output)[] = [];
    for (const { id, sink } of this.#sinks) {
      const mark = last.marks[id] as Mark | undefined;
      if (mark === undefined) throw new Error(`no mark of "${id}" in the last checkpoint`);
      const columns = columnsOf(last.encoders[id]);
      const output = await sink.finish(mark);
      outputs.push({ step: id, ...output, ...(columns === undefined ? {} : { columns }) });
    }
    return outputs;
  }

  async close(discard: boolean): Promise<void> {
    if (discard) for (const { sink } of this.#sinks) await sink.abort().catch(() => undefined);
    for (const { sink } of this.#sinks) await sink.close();
    for (const { source } of this.segment.sources) await source.close();
  }
}

/** A header that an encoder has learnt is part of what it remembers. */
function columnsOf(state: Json | undefined): string[] | undefined {
  if (typeof state !== 'object' || state === null || Array.isArray(state)) return undefined;
  const { columns } = state;
  return Array.isArray(columns) && columns.every((name) => typeof name === 'string') ? columns : undefined;
}

/** What ends the waiting for an input, and who is told of further attempts. */
export interface InputWaiting {
  signal: AbortSignal;
  say(message: string): void;
  unlessStopped<T>(work: Promise<T>): Promise<T>;
}

/** What a segment reads: the first of its sources that is there. `notices` gets those that are not, and may be missing. */
export async function openInput(
  segment: Segment,
  projectRoot: string,
  notices: string[],
  waiting: InputWaiting,
): Promise<RecordedInput> {
  for (const [index, source] of segment.sources.entries()) {
    const found = await tryInput(segment, source, index, waiting).catch(async (error) => {
      await source.source.close();
      if (!source.step.continues || !mayFail(error)) throw error;
      notices.push(`${error.message}: "${source.step.id}" gives nothing ("continue_on_error")`);
      return undefined;
    });
    if (found === undefined) continue;
    checkEncoders(segment, found.stream, projectRoot);
    return found;
  }
  // Every source may fail, and all of them did: the stream is empty.
  const [source] = segment.sources;
  if (source === undefined) throw new Error('a segment has a source');
  const stream = await detect(segment, source, []);
  checkEncoders(segment, stream, projectRoot);
  return { source, index: 0, splits: [], stream };
}

/** What may be different with another source; a wrong configuration is not. */
const MAY_FAIL: ReadonlySet<number> = new Set([EXIT.failed, EXIT.permission, EXIT.unreachable]);

/** Another source may stand in for the one that fails so. */
export function mayFail(error: unknown): error is OxiError {
  return error instanceof OxiError && MAY_FAIL.has(error.exitCode);
}

async function tryInput(
  segment: Segment,
  source: PlannedSource,
  index: number,
  { signal, say, unlessStopped }: InputWaiting,
): Promise<RecordedInput> {
  const { timeout, retry } = unitOf({ step: source.step, signal, say });
  const find = async (): Promise<RecordedInput> => {
    const splits = await source.source.splits();
    return { source, index, splits, stream: await detect(segment, source, splits) };
  };
  const attempts = source.source.kind === 'once' ? 0 : retry.attempts;
  const found = withRetry(() => withTimeout(find, timeout, signal), { ...retry, attempts });
  return unlessStopped(sayIfSlow(say, `waiting for the first bytes of "${source.step.id}"`, found));
}

/** How records stand in the input, seen from the first bytes of the first split. */
function detect({ parser, select }: Segment, { source }: PlannedSource, splits: readonly Split[]): Promise<StreamInfo> {
  return detectStream(source, splits, parser && { oxi: parser.oxi, config: parser.step.config, select });
}

/** A text that is broken may be one that was rewritten while it was read: then that is what there is to say. */
export async function causeOf(error: unknown, { source, splits }: RecordedInput): Promise<unknown> {
  if (!(error instanceof OxiError) || error.exitCode !== EXIT.data) return error;
  const { file } = error.place;
  for (const split of splits) {
    if (file !== undefined && split.name !== file) continue;
    try {
      await source.source.recheck?.(split);
    } catch (found) {
      if (found instanceof OxiError && found.code === 'INPUT_REWRITTEN') return found;
    }
  }
  return error;
}
