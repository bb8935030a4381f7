/** One meaning: what comes of rows of CSV on the byte kernel is what comes of them on the value tier, errors and counters too. */
import { expect, test } from 'vitest';
import { CELL_FORMS, CELLS, RandomRows } from './random-rows.ts';
import { kernelWork, type RowStage, rowOutcome } from './row-tiers.ts';

async function expectSame(stage: RowStage, rows: Buffer, columns: readonly string[]): Promise<void> {
  const expected = await rowOutcome('values', stage, rows, columns);
  for (const tier of ['bytes', 'spans'] as const)
    expect(await rowOutcome(tier, stage, rows, columns), JSON.stringify([tier, stage, columns])).toEqual(expected);
}

const SEED = Number(process.env.OXIFLOW_SEED ?? 20_261_130);

test.each([
  ['plain', 0],
  ['odd here and there', 5],
  ['mostly odd', 70],
] as const)('random rows, %s, mean the same on both', { timeout: 120_000 }, async (_what, odd) => {
  const random = new RandomRows(SEED + odd, odd);
  let rows = 0;
  const { pieces, records, deferred } = await kernelWork(async () => {
    for (let round = 0; round < 120; round++) {
      const table = random.table(250);
      rows++;
      const onError = random.pick(['dead_letter', 'drop', 'dead_letter', 'stop'] as const);
      const steps = random.steps(table.columns).map((step) => ({
        ...step,
        onError: random.pick(['dead_letter', 'drop', 'dead_letter', 'pass'] as const),
      }));
      await expectSame({ parser: table.config, onError, steps }, table.rows, table.columns);
    }
  });
  process.stdout.write(`seed ${SEED}: ${pieces} pieces, ${records} rows, ${deferred} of them deferred\n`);
  expect(pieces).toBe(4 * rows);
});

test('every form of cell means the same in a column of every type, at every place of a block', {
  timeout: 120_000,
}, async () => {
  const types = ['int', 'float', 'decimal', 'bool', 'string', 'text', 'infer', 'text or null'];
  for (const type of types) {
    const parser: Record<string, unknown> =
      type === 'infer' ? { types: 'infer' } : type.startsWith('text') ? {} : { types: { x: type } };
    if (type === 'text or null') parser.empty = 'null';
    for (const form of CELL_FORMS) {
      const rows: Buffer[] = [];
      for (const cell of CELLS[form] as readonly string[])
        for (let before = 0; before < 66; before++) {
          rows.push(Buffer.from(`${'p'.repeat(before)},${cell},"${'q'.repeat(before % 5)}"\n`));
          if (before % 13 === 0) rows.push(Buffer.from(`${'p'.repeat(before)},,${cell}\r\n`));
        }
      await expectSame({ parser, steps: [] }, Buffer.concat(rows), ['p', 'x', 'q']);
    }
  }
});
