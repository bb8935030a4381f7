/** Results made outside of a stage: of records that nobody could work on, and of a block that went through in parts. */
import { joinBlocks } from '../kernel/blocks.ts';
import type { Block, BlockStep, RecordError } from './contracts.ts';
import type { OxiError } from './errors.ts';
import { StageProgram } from './stage.ts';
import { addAll, type StageResult, type StageSpec } from './stage-spec.ts';

const EMPTY = { bytes: new Uint8Array(), spans: new Uint32Array(), offsets: new Float64Array(), count: 0 };

/**
 * Whoever worked on these records was ended, or died: they count as refused by the step that had them, and its `on_error`
 * decides, as if the step had said so itself. The result of `block` (which may be used no more) where step `owner` of the stage
 * fails every record of it with `error`; the steps before it let them pass. Rejects with OxiError RECORD_INVALID where that stops the run.
 */
export async function failRecords(
  spec: StageSpec,
  block: Block,
  owner: number,
  error: RecordError,
): Promise<StageResult> {
  const step = (process: BlockStep['process']): BlockStep => ({
    form: 'block',
    cardinality: 'one',
    state: 'none',
    process,
  });
  const steps = spec.steps.map((_, i) =>
    step((records, _context, fail) => {
      if (i !== owner) return records;
      for (let index = 0; index < records.count; index++) fail(index, error);
      return { ...records, ...EMPTY };
    }),
  );
  // No step of it does anything, so nothing is left to the framer either.
  const stream = { ...spec.stream, selected: false };
  return new StageProgram({ ...spec, stream }, () => steps).process(block);
}

/** The result of `block` where its one step could not work on it for good and lets it pass as it came in (continue_on_error). */
export async function passRecords(spec: StageSpec, block: Block, error: OxiError): Promise<StageResult> {
  const pass: BlockStep = { form: 'block', cardinality: 'one', state: 'none', process: (records) => records };
  const result = await new StageProgram(spec, () => spec.steps.map(() => pass)).process(block);
  const [counters] = result.counters;
  const [step] = spec.steps;
  if (counters !== undefined) counters.passed_on_error += counters.in;
  if (step !== undefined)
    result.failures.push({
      step: step.id,
      message: `${error.message}: ${result.block.count} records go on as they came`,
    });
  return result;
}

/** What came of the parts of a block, as one result. */
export function joinResults(results: readonly [StageResult, ...StageResult[]]): StageResult {
  const [first, ...others] = results;
  const counters = first.counters.map((one) => ({ ...one }));
  for (const other of others) addAll(counters, other.counters);
  return {
    ...first,
    block: joinBlocks([first.block, ...others.map(({ block }) => block)]),
    counters,
    letters: results.flatMap(({ letters }) => letters),
    failures: results.flatMap(({ failures }) => failures).slice(0, KEPT_FAILURES),
    busyMs: results.reduce((sum, { busyMs }) => sum + busyMs, 0),
    stepMs: first.stepMs.map((_, i) => results.reduce((sum, { stepMs }) => sum + (stepMs[i] ?? 0), 0)),
    usage: results.flatMap(({ usage }) => usage ?? []),
  };
}

/** As many as a stage keeps of one block. */
const KEPT_FAILURES = 3;
