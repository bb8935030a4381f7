/** Makes a node of the flow of a planned sink: with the encoder that lays records out for it, at the state of its checkpoint. */
import type { Makings } from './assembly.ts';
import type { Encoder, EncoderContext, Join, StreamInfo } from './contracts.ts';
import type { NodeFigures } from './flow-reading.ts';
import type { SinkNode } from './flow-sink.ts';
import { patientUnit } from './patience.ts';
import { type PlannedSink, type Segment, sinksOf } from './plan.ts';
import type { StageProgram } from './stage.ts';

export function sinkNode(m: Makings, planned: PlannedSink, { outside }: NodeFigures): SinkNode {
  const { step, formatter, sink } = planned;
  const { skip } = m.start;
  const figures = m.figures(step.id);
  const encoder = encoderAt(m, planned);
  let program: StageProgram | undefined;
  if (formatter?.layOut === true) {
    // No formatter before it: the sink lays records out by itself, beside the stream that goes on.
    const { id, onError, limits } = step;
    const spec = m.spec([{ id, oxi: formatter.oxi.name, config: formatter.config, onError, limits }], false);
    program = m.program(spec, true);
  }
  return {
    step,
    sink,
    encoder,
    layOut: program === undefined ? undefined : async (block) => (await program.process(block)).block,
    counters: figures.counters,
    splitNames: m.splitNames,
    busy: (ms) => {
      figures.busyMs += ms;
    },
    outside,
    skip: skip.get(step.id) ?? 0,
    unit: patientUnit(m.patience(step), sink.guarantee === 'append'),
    failed: (message) => m.start.recordErrors([message]),
    lettersSent: (letters) => m.start.lettersSent(letters),
  };
}

/** The encoder of a sink, at the state of the checkpoint that is gone on from. */
export function encoderAt(m: Makings, planned: PlannedSink): Encoder | undefined {
  const { stream, from } = m.start;
  const encoder = makeEncoder(planned, stream, m.a.projectRoot);
  const state = from?.encoders[planned.step.id];
  if (encoder !== undefined && state !== undefined) encoder.restore(state);
  return encoder;
}

/** The encoder of a sink, where records are laid out for it. Throws OxiError where its config and the stream do not fit. */
export function makeEncoder(planned: PlannedSink, stream: StreamInfo, projectRoot: string): Encoder | undefined {
  const { formatter } = planned;
  return formatter?.oxi.encoder(formatter.config as never, stream, contextOf(planned, projectRoot));
}

/** How the parts of its output become one, where they were laid out apart. */
export function joinOf(planned: PlannedSink, stream: StreamInfo, projectRoot: string): Join | undefined {
  const { formatter } = planned;
  return formatter?.oxi.join?.(formatter.config as never, stream, contextOf(planned, projectRoot));
}

function contextOf({ step, formatter, sink }: PlannedSink, projectRoot: string): EncoderContext {
  return {
    projectRoot,
    stepId: formatter?.id ?? step.id,
    output: sink.target,
    rewritable: sink.rewrite !== undefined,
    continues: sink.continues === true,
  };
}

/** Makes every encoder once, to find what is wrong before anything is written; the flow makes its own. */
export function checkEncoders(segment: Segment, stream: StreamInfo, projectRoot: string): void {
  for (const sink of sinksOf(segment.nodes)) makeEncoder(sink, stream, projectRoot);
}
