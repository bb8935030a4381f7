/** What the main thread and a thread of a pool say to each other. Blocks travel as transferred bytes, never as objects. */
import type { Block } from '../engine/contracts.ts';
import type { ErrorCode, ErrorPlace } from '../engine/errors.ts';
import { OxiError } from '../engine/errors.ts';
import type { StageResult, StageSpec } from '../engine/stage.ts';

export interface ThreadStart {
  role: 'stage';
  spec: StageSpec;
}

export interface WorkMessage {
  id: number;
  block: Block;
}

export type AnswerMessage = { id: number; result: StageResult } | { id: number; error: ThrownError };

/** An error as it crosses a thread border. */
export interface ThrownError {
  code?: ErrorCode;
  place?: ErrorPlace;
  message: string;
  stack?: string;
}

export function packError(error: unknown): ThrownError {
  if (error instanceof OxiError) return { code: error.code, place: error.place, message: error.message };
  if (error instanceof Error)
    return { message: error.message, ...(error.stack === undefined ? {} : { stack: error.stack }) };
  return { message: String(error) };
}

export function unpackError(packed: ThrownError): Error {
  if (packed.code !== undefined) return new OxiError(packed.code, packed.message, { place: packed.place ?? {} });
  const error = new Error(packed.message);
  if (packed.stack !== undefined) error.stack = packed.stack;
  return error;
}

/** A block whose arrays own their memory whole, and the list that gives it away. */
export function packBlock(block: Block): { block: Block; transfer: ArrayBuffer[] } {
  const bytes = owned(block.bytes);
  const spans = owned(block.spans);
  const offsets = owned(block.offsets);
  return { block: { ...block, bytes, spans, offsets }, transfer: [bytes.buffer, spans.buffer, offsets.buffer] };
}

interface View {
  readonly buffer: ArrayBufferLike;
  readonly byteLength: number;
}

/** The view itself where nothing else shares its memory, else a copy. Small Buffers live in a shared pool: never given away. */
function owned<T extends Uint8Array | Uint32Array | Float64Array>(view: T & View): T & { buffer: ArrayBuffer } {
  if (view.buffer instanceof ArrayBuffer && view.byteLength === view.buffer.byteLength)
    return view as T & { buffer: ArrayBuffer };
  // Not `slice`: for a Buffer that would be a view again.
  const bytes = new Uint8Array(view.byteLength);
  bytes.set(new Uint8Array(view.buffer, view.byteOffset, view.byteLength));
  if (view instanceof Uint32Array) return new Uint32Array(bytes.buffer) as T & { buffer: ArrayBuffer };
  if (view instanceof Float64Array) return new Float64Array(bytes.buffer) as T & { buffer: ArrayBuffer };
  return bytes as T & { buffer: ArrayBuffer };
}
