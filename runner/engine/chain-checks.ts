/** What may stand where in a chain. Every function throws OxiError with the step that is to blame. */
import type { Sink } from './contracts.ts';
import { OxiError } from './errors.ts';
import type { PlannedNode, PlannedSink, PlannedSource, StepInput } from './plan.ts';
import { locating, stepError } from './step-error.ts';

/** What leaves a step. */
export type Stream = 'nothing' | 'bytes' | 'records' | 'text';

export function needSource(input: StepInput, stream: Stream): void {
  if (stream === 'nothing')
    throw stepError(input, 'nothing comes into this step: begin the pipeline with a source such as read_file');
}

export function needRecords(input: StepInput, stream: Stream, formatter: PlannedSink['formatter']): void {
  if (stream === 'bytes')
    throw stepError(
      input,
      `"${input.oxi}" works on records and bytes come here: put parse_json or parse_csv before it`,
    );
  if (stream === 'text')
    throw stepError(
      input,
      `"${input.oxi}" works on records and text comes here: put it before "${formatter?.id ?? 'the formatter'}"`,
    );
}

/** Fields of a sink that speak of its own formatter, which has nothing to do here. */
export function refuseIdle(input: StepInput, formatter: PlannedSink['formatter'], [field]: readonly string[]): void {
  if (field === undefined) return;
  const by = formatter === undefined ? 'no records come here' : `"${formatter.id}" lays the records out`;
  locating(input, () => {
    throw new OxiError('CONFIG_INVALID', `step "${input.id}", field "${field}": has no effect: ${by}`, {
      place: { step: input.id, field },
    });
  });
}

/** Whether a sink, and what is read for it, can hold every record exactly once. */
export function checkDelivery(input: StepInput, sources: readonly PlannedSource[], sink: Sink): void {
  const once = sources.find(({ source }) => source.kind === 'once');
  if (once !== undefined)
    throw stepError(
      input,
      `"delivery: exactly_once" can't hold: "${once.step.id}" can be read only once`,
      'DELIVERY_IMPOSSIBLE',
    );
  if (sink.guarantee === 'append')
    throw stepError(
      input,
      `"delivery: exactly_once" can't hold: what "${input.id}" has written can't be taken back; write to a file, or say at_least_once`,
      'DELIVERY_IMPOSSIBLE',
    );
}

/** `next`: the source that begins the part behind this chain. */
export function checkEnds(
  { first, last = first, next }: { first: StepInput; last: StepInput | undefined; next: StepInput | undefined },
  { sources, end }: { sources: readonly PlannedSource[]; end: PlannedNode | undefined },
): void {
  if (sources.length === 0) throw stepError(first, 'the pipeline has no source: begin it with read_file or read_stdin');
  if (end?.kind === 'sink') return;
  throw stepError(
    last,
    next === undefined
      ? `the pipeline ends with "${last.oxi}" and what it makes goes nowhere: end it with write_file or write_stdout`
      : `what "${last.oxi}" makes goes nowhere: "${next.id}" behind it is a source and begins anew; end this part with write_file or write_stdout`,
  );
}
