/** What the main thread and a thread of a pool say to each other. Blocks travel as transferred bytes, never as objects. */
import type { Block } from '../engine/contracts.ts';
import type { ErrorCode, ErrorPlace } from '../engine/errors.ts';
import { OxiError } from '../engine/errors.ts';
import type { StageResult, StageSpec } from '../engine/stage-spec.ts';
import { isShared } from '../kernel/buffers.ts';

export interface ThreadStart {
  role: 'stage';
  spec: StageSpec;
  /** One number: the place, among the steps of the stage, of the one at work. Read when the thread is dead. */
  at: SharedArrayBuffer;
}

export interface WorkMessage {
  id: number;
  block: Block;
  /** Memory for what comes of it: that of earlier results comes back so. */
  spare?: SharedArrayBuffer;
}

/** Answers come in the order in which the work was given. `ready`: the steps are made. */
export type AnswerMessage = { ready: true } | { id: number; result: StageResult } | { id: number; error: ThrownError };

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

/** A block that can be given to another thread, and what is given away with it. */
export function packBlock(block: Block): { block: Block; transfer: ArrayBuffer[] } {
  const transfer: ArrayBuffer[] = [];
  const bytes = isShared(block.bytes) || isOwn(block.bytes) ? block.bytes : new Uint8Array(block.bytes);
  // A view of a part would be copied with all of its memory.
  const spans = block.spans.byteLength === block.spans.buffer.byteLength ? block.spans : block.spans.slice();
  const offsets = block.offsets.byteLength === block.offsets.buffer.byteLength ? block.offsets : block.offsets.slice();
  // Empty ones may be everybody's.
  for (const { buffer } of [bytes, spans, offsets])
    if (buffer instanceof ArrayBuffer && buffer.byteLength > 0) transfer.push(buffer);
  return { block: { ...block, bytes, spans, offsets }, transfer };
}

/** Nothing else lives in its memory: small Buffers share Node's pool, everything larger belongs to its block alone. */
function isOwn(bytes: Uint8Array): boolean {
  return bytes.buffer instanceof ArrayBuffer && bytes.buffer.byteLength > Buffer.poolSize;
}
