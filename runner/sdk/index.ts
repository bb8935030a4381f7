/** What a custom oxi imports: the contracts of sources, steps and sinks, and the error of a bad record. Nothing else is public. */
export type {
  Block,
  BlockStep,
  Encoder,
  FailRecord,
  FieldPath,
  FramedRecords,
  Framer,
  Framing,
  Held,
  MakeContext,
  Mark,
  Output,
  RawBlock,
  RecordStep,
  RecordView,
  Sink,
  SinkRun,
  Source,
  Split,
  Step,
  StepContext,
  StreamInfo,
  StreamKind,
  Verdict,
} from '../engine/contracts.ts';
export { RecordError } from '../engine/contracts.ts';
export type { Grade, Json } from '../state/store.ts';
