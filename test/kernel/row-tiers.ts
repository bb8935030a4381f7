/** The same stage over the same rows of CSV on both tiers, as what can be compared. */
import { vi } from 'vitest';
import type { Block, Tier } from '../../runner/engine/contracts.ts';
import { OxiError } from '../../runner/engine/errors.ts';
import { RowPass } from '../../runner/engine/row-pass.ts';
import { StageProgram } from '../../runner/engine/stage.ts';
import type { OnError, StageResult, StageSpec } from '../../runner/engine/stage-spec.ts';
import { makeSteps } from '../../runner/oxis/make.ts';
import { configOf } from '../contract/oxi-suite.ts';

export interface RowStage {
  parser: Record<string, unknown>;
  /** What becomes of rows that the parser refuses. */
  onError?: OnError;
  steps: readonly { oxi: string; config?: Record<string, unknown>; onError?: OnError }[];
}

/** Where the rows stand in their split. */
const OFFSET = 500;

function rowStage({ parser, onError = 'dead_letter', steps }: RowStage, tier: Tier | undefined): StageSpec {
  const all = [{ oxi: 'parse_csv', config: parser, onError }, ...steps];
  return {
    steps: all.map(({ oxi, config = {}, onError: own = 'dead_letter' }, i) => ({
      id: `${oxi}_${i}`,
      oxi,
      config: configOf(oxi, config),
      onError: own,
      limits: {},
    })),
    projectRoot: '/',
    stream: { framing: 'rows', selected: false },
    splitNames: ['rides.csv'],
    checked: false,
    now: 0,
    params: [],
    env: [],
    tier,
  };
}

function rowPiece(rows: Buffer, columns: readonly string[]): Block {
  return {
    bytes: Buffer.from(rows),
    spans: new Uint32Array(),
    offsets: new Float64Array(),
    count: 0,
    split: 0,
    columns,
    uncut: { offset: OFFSET, broken: [] },
  };
}

/** Without the clocks. */
function shown({ block, counters, failures, letters, cut }: StageResult): unknown {
  const { bytes, spans, offsets, count } = block;
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    records: Array.from(
      { length: count },
      (_, i) => `${offsets[i]}: ${text.toString('latin1', spans[2 * i], spans[2 * i + 1])}`,
    ),
    counters,
    failures,
    letters: letters.map((letter) => ({ ...letter, record: Buffer.from(letter.record).toString('latin1') })),
    cut,
  };
}

export async function rowOutcome(
  tier: Tier,
  stage: RowStage,
  rows: Buffer,
  columns: readonly string[],
): Promise<unknown> {
  const program = new StageProgram(rowStage(stage, tier), makeSteps);
  const once = (): Promise<unknown> =>
    program.process(rowPiece(rows, columns)).then(shown, (error: unknown) => {
      if (!(error instanceof OxiError)) throw error;
      return { error: error.message, place: error.place, cut: program.cut };
    });
  // Of the first piece each step is timed, of the second none.
  return [await once(), await once()];
}

/** What the byte kernel has done in `work`: pieces, records, and those that it has handed on. */
export async function kernelWork(
  work: () => Promise<void>,
): Promise<{ pieces: number; records: number; deferred: number }> {
  const spy = vi.spyOn(RowPass.prototype, 'run');
  try {
    await work();
    const sum = { pieces: 0, records: 0, deferred: 0 };
    for (const { type, value } of spy.mock.results) {
      sum.pieces++;
      if (type !== 'return') continue;
      sum.records += value.records;
      sum.deferred += value.deferred;
    }
    return sum;
  } finally {
    spy.mockRestore();
  }
}
