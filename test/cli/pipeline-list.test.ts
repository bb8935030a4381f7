/** The pipelines of a project, by tag and by word, and what is known of each. */
import { describe, expect, test } from 'vitest';
import { folder, oxiflow, pipelineOf } from './program.ts';

const read = ['read_file', { path: 'input/orders.ndjson' }] as const;
const write = ['write_file', { path: 'output/orders.ndjson' }] as const;

const PROJECT = {
  'oxiflow.yaml': 'project: { name: shop }\n',
  'pipelines/orders.yaml': pipelineOf(
    [
      read,
      ['parse_json'],
      ['tee', { steps: [{ name: 'write_stdout' }] }],
      ['write_file', { path: '${OUT:-output}/orders.ndjson' }],
    ],
    {
      parameters: {
        day: { type: 'date', default: '2026-03-02', description: 'Orders of this day' },
        most: { type: 'int', default: '90071992547409930' },
      },
      metadata: { description: 'Orders of a Day', version: '1.2.0', author: 'Ada', tags: ['shop', 'nightly'] },
    },
  ),
  'pipelines/night/stock.yaml': pipelineOf([['read_file', { path: ['a.csv', 'b.csv'] }], ['parse_csv'], write], {
    metadata: { description: 'What is left', tags: ['nightly'] },
  }),
  'pipelines/broken.yaml':
    'metadata: { description: Returns of the day, tags: [shop, nightly] }\npipeline:\n  - name: read_file\n    config: { pth: x }\n  - name: fiter\n',
  'pipelines/torn.yaml': 'pipeline: [\n',
};

/** The names in the order in which they are listed. */
async function names(...args: string[]): Promise<string[]> {
  const { code, stdout, stderr } = await oxiflow(['pipeline', 'list', '--json', ...args], { cwd: folder(PROJECT) });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return JSON.parse(stdout).map(({ name }: { name: string }) => name);
}

describe('pipeline list', () => {
  test.concurrent('--tags keeps those that have all of them, also one with errors', async () => {
    expect(await names('--tags', 'nightly')).toEqual(['broken', 'night/stock', 'orders']);
    expect(await names('--tags', 'nightly, shop,')).toEqual(['broken', 'orders']);
  });
  test.concurrent('--filter looks into names and descriptions, in any letter case', async () => {
    expect(await names('--filter', 'DAY')).toEqual(['broken', 'orders']);
    expect(await names('--filter', 'Stock')).toEqual(['night/stock']);
    expect(await names('--filter', 'of', '--tags', 'shop')).toEqual(['broken', 'orders']);
  });
  test.concurrent('that finds nothing says so on stderr, and that is no failure', async () => {
    const cwd = folder(PROJECT);
    expect(await oxiflow(['pipeline', 'list', '--tags', 'Shop'], { cwd })).toMatchObject({
      code: 0,
      stdout: '',
      stderr: 'none of the 4 pipelines in pipelines/ matches\n',
    });
    expect(await oxiflow(['pipeline', 'list', '--filter', 'x', '--json'], { cwd })).toMatchObject({
      code: 0,
      stdout: '[]\n',
    });
    const empty = folder({ 'oxiflow.yaml': '' });
    expect(await oxiflow(['pipeline', 'list', '-v'], { cwd: empty })).toMatchObject({
      code: 0,
      stdout: '',
      stderr: `no pipelines in pipelines/ of ${empty}\n`,
    });
  });
  test.concurrent('--verbose tells what is known, and the first error of one that has any', async () => {
    const { code, stdout, stderr } = await oxiflow(['pipeline', 'list', '--verbose'], {
      cwd: folder(PROJECT),
      env: { OUT: 'out' },
    });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const [broken, stock, orders, torn] = stdout.split('\n\n');
    expect(broken).toBe(`broken
  file         pipelines/broken.yaml
  error        pipelines/broken.yaml:4:15: step "read_file": unknown field "pth"; did you mean "path"? allowed: path, encoding, compression, max_expansion, binary
  description  Returns of the day
  tags         shop, nightly`);
    expect(stock).toBe(`night/stock
  file         pipelines/night/stock.yaml
  description  What is left
  steps        read_file -> parse_csv -> write_file
  tags         nightly
  inputs       a.csv, b.csv
  outputs      output/orders.ndjson`);
    expect(orders).toBe(`orders
  file         pipelines/orders.yaml
  description  Orders of a Day
  steps        read_file -> parse_json -> tee -> write_file
  tags         shop, nightly
  version      1.2.0
  author       Ada
  parameters   day (date, default 2026-03-02): Orders of this day
               most (int, default 90071992547409930)
  inputs       input/orders.ndjson
  outputs      stdout, out/orders.ndjson`);
    expect(torn).toMatch(/^torn\n {2}file {3}pipelines\/torn\.yaml\n {2}error {2}pipelines\/torn\.yaml:\d+:\d+: .+\n$/);
  });
  test.concurrent('--json tells all of it, with null for what is not known', async () => {
    const { stdout } = await oxiflow(['pipeline', 'list', '--json', '--filter', 'order'], { cwd: folder(PROJECT) });
    expect(JSON.parse(stdout)).toEqual([
      {
        name: 'orders',
        file: 'pipelines/orders.yaml',
        description: 'Orders of a Day',
        steps: ['read_file', 'parse_json', 'tee', 'write_file'],
        valid: true,
        error: null,
        tags: ['shop', 'nightly'],
        version: '1.2.0',
        author: 'Ada',
        parameters: [
          { name: 'day', type: 'date', default: '2026-03-02', description: 'Orders of this day' },
          { name: 'most', type: 'int', default: '90071992547409930', description: '' },
        ],
        inputs: ['input/orders.ndjson'],
        outputs: ['stdout', 'output/orders.ndjson'],
      },
    ]);
  });
  test.concurrent('takes a parameter without a default for no error: it is to be given to a run', async () => {
    const parameters = {
      day: { type: 'date', description: 'Orders of this day' },
      size: { type: 'int' },
      shop: { choices: ['north', 'south'] },
    };
    const steps = pipelineOf(
      [
        ['read_file', { path: 'in/${shop}/${day}.ndjson' }],
        ['parse_json'],
        ['batch', { batch_size: '${size}' }],
        write,
      ],
      { parameters },
    );
    const cwd = folder({ 'oxiflow.yaml': '', 'pipelines/daily.yaml': steps });
    const { stdout } = await oxiflow(['pipeline', 'list', '-v'], { cwd });
    expect(stdout).toBe(`daily
  file        pipelines/daily.yaml
  steps       read_file -> parse_json -> batch -> write_file
  parameters  day (date, required): Orders of this day
              size (int, required)
              shop (string, required)
  inputs      in/\${shop}/\${day}.ndjson
  outputs     output/orders.ndjson
`);
    const worse = folder({ 'oxiflow.yaml': '', 'pipelines/daily.yaml': steps.replace('"parse_json"', '"parse_jso"') });
    expect((await oxiflow(['pipeline', 'list'], { cwd: worse })).stdout).toBe(
      'daily  has errors: oxiflow pipeline test\n',
    );
  });
  test.concurrent('never prints a secret that stands in a path or an error', async () => {
    const cwd = folder({
      ...PROJECT,
      'pipelines/orders.yaml': pipelineOf([
        ['read_file', { path: 'in/${API_TOKEN}.ndjson' }],
        ['parse_json', { framing: '${API_TOKEN}' }],
      ]),
    });
    const env = { API_TOKEN: 'hunter2-hunter2' };
    const { stdout, stderr } = await oxiflow(['pipeline', 'list', '-v'], { cwd, env });
    expect(stdout).toContain('framing');
    expect(stdout + stderr).not.toContain('hunter2');
  });
});
