import { describe, expect, it } from 'vitest';
import { configOf, load } from './fixtures.ts';

const ORDERS = `
pipeline:
  - name: read_file
    id: orders
    config: { path: "\${INPUT:-input/orders.csv}", threads: 2 }
  - name: parse_csv
    config: { has_headers: "true", delimiter: ";" }
    retry_attempts: 3
    timeout_seconds: 1.5
  - name: filter
    config: { where: "total > 10" }
  - name: filter
    config:
      where: "country == 'DE'"
    on_error: dead_letter
    ordered: false
    limits: { max_batch_size: 100 }
  - name: write_file
    config:
      path: output/\${steps.orders.metadata.filename:-orders}.csv
metadata: { name: Orders, description: Orders of a day, version: 1.0, tags: [shop] }
max_errors: "1%"
dead_letter: { path: bad.ndjson, max_records: 10 }
x-owner: { team: shop }
`;

describe('a pipeline', () => {
  it('has typed steps with defaults, ids and places', async () => {
    const pipeline = await load(ORDERS);
    expect(pipeline.steps.map((step) => step.id)).toEqual(['orders', 'parse_csv', 'filter', 'filter_2', 'write_file']);
    expect(configOf(pipeline, 'orders')).toEqual({ path: 'input/orders.csv', encoding: 'utf-8', binary: false });
    expect(configOf(pipeline, 'parse_csv')).toEqual({ headers: true, delimiter: ';', skip_rows: 0 });
    const [orders, csv, , second, write] = pipeline.steps;
    expect(orders).toMatchObject({
      threads: 2,
      onError: 'stop',
      ordered: true,
      retryAttempts: 0,
      retryDelaySeconds: 1,
      continueOnError: false,
    });
    expect(csv).toMatchObject({ threads: undefined, retryAttempts: 3, timeoutSeconds: 1.5 });
    expect(second).toMatchObject({ onError: 'dead_letter', ordered: false, limits: { max_batch_size: 100 } });
    expect(second?.locate('where')).toMatchObject({ file: 'pipelines/orders.yaml', line: 14, column: 14 });
    expect(write?.references.map(({ reference, field }) => ({ ...reference, field }))).toEqual([
      { step: 'orders', path: ['filename'], field: 'path' },
    ]);
    expect(pipeline).toMatchObject({
      description: 'Orders of a day',
      delivery: 'at_least_once',
      maxErrors: { share: 0.01 },
      deadLetter: { path: 'bad.ndjson', maxRecords: 10 },
      metadata: { version: '1.0', tags: ['shop'] },
      overridesHash: undefined,
    });
  });

  it('resolves references to steps once their metadata is known', async () => {
    const write = (await load(ORDERS)).steps.at(-1);
    expect(write?.resolve(new Map([['orders', { filename: 'monday', size: 4 }]]))).toMatchObject({
      path: 'output/monday.csv',
    });
    expect(write?.resolve(new Map())).toMatchObject({ path: 'output/orders.csv' });
  });
});
