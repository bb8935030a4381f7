/** The manifest of a project: the same bytes for the same files, whatever the machine has set, and without any input there. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, test } from 'vitest';
import { manifestJsonSchema } from '../../runner/cli/manifest-schema.ts';
import { folder, oxiflow, pipelineOf, REPOSITORY, snapshot } from './program.ts';

const RIDES = pipelineOf(
  [
    ['read_file', { path: '${INBOX}/rides-${day}.csv' }, { id: 'rides' }],
    ['parse_csv', { headers: false, columns: ['ride', 'km'], types: { km: 'float' } }],
    ['map', { set: { of: '"${steps.rides.filename}"', 'tax.rate': '19' }, rename: { km: 'distance' }, drop: ['ride'] }],
    ['validate', { fields: { of: 'string' } }, { on_error: 'dead_letter' }],
    ['format_csv'],
    ['write_file', { path: 'out/${steps.rides.filename}' }, { id: 'table' }],
    ['read_file', { path: '${steps.table.path}' }, { id: 'again' }],
    ['parse_json'],
    ['write_stdout'],
  ] as never,
  {
    metadata: { description: 'Rides of a day', author: 'The bike hire', version: '2', tags: ['csv'] },
    max_errors: '0.5%',
    parameters: { day: { type: 'date' }, password: { default: 'canary-Qd71' } },
  },
);
const FILES = {
  'oxiflow.yaml': 'project: { name: bikes }\n',
  'pipelines/rides.yaml': RIDES,
  'pipelines/broken.yaml': 'pipeline:\n  - name: read_fil\n',
};

describe('pipeline manifest', () => {
  test.concurrent('columns that a header will tell stand for themselves: no file is looked at', async () => {
    const steps = pipelineOf([
      ['read_file', { path: 'rides.csv' }],
      ['parse_csv'],
      ['map', { set: { names: '"${steps.parse_csv.columns}"' } }],
      ['write_file', { path: 'out/rides.ndjson' }],
    ]);
    const cwd = folder({ 'oxiflow.yaml': 'project: { name: bikes }\n', 'pipelines/rides.yaml': steps });
    const { code, stdout, stderr } = await oxiflow(['pipeline', 'manifest'], { cwd });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(JSON.parse(stdout).pipelines).toMatchObject([{ name: 'rides' }]);
  });

  test.concurrent('tells what is read, written and asked for, before anything is there', async () => {
    const cwd = folder(FILES);
    const { code, stdout, stderr } = await oxiflow(['pipeline', 'manifest', 'rides'], { cwd });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const document = JSON.parse(stdout);
    const validate = new Ajv2020({ strict: false }).compile(manifestJsonSchema());
    expect(validate(document) ? [] : validate.errors).toEqual([]);
    expect(document).toMatchObject({
      manifest_version: 1,
      project: { name: 'bikes' },
      errors: [],
      pipelines: [
        {
          name: 'rides',
          file: 'pipelines/rides.yaml',
          author: 'The bike hire',
          tags: ['csv'],
          inputs: [
            {
              step: 'rides',
              paths: ['${INBOX}/rides-${day}.csv'],
              format: 'csv',
              columns: [
                { name: 'ride', type: null },
                { name: 'km', type: 'float' },
              ],
            },
            { step: 'again', paths: ['${steps.table.path}'], format: 'json', columns: null },
          ],
          outputs: [
            {
              step: 'table',
              path: 'out/${steps.rides.filename}',
              format: 'csv',
              guarantee: 'truncate',
              columns: [
                { name: 'of', type: 'string' },
                { name: 'tax', type: 'object' },
                { name: 'distance', type: 'float' },
              ],
              validations: [{ step: 'validate', on_error: 'dead_letter' }],
            },
            { step: 'write_stdout', path: null, guarantee: 'append', columns: null, validations: [] },
          ],
          max_errors: '0.5%',
          dead_letters: { path: 'output/dead_letters/rides.ndjson', max_records: 1_000_000 },
          parameters: [
            { name: 'day', type: 'date', required: true, default: null },
            { name: 'password', required: false, default: null, secret: true },
          ],
          environment: ['INBOX'],
          resumable: true,
        },
      ],
    });
    expect(stdout).not.toContain('canary');
  });

  test.concurrent('a parameter that has a default is in a path as it would run, and beside it as it is written', async () => {
    const parameters = { day: { type: 'date', default: '2026-01-01' }, region: {}, most: { type: 'int', default: 3 } };
    const cwd = folder({
      'oxiflow.yaml': 'project: { name: bikes }\n',
      'pipelines/a.yaml': pipelineOf(
        [
          ['read_file', { path: ['in/${day}.csv', 'in/all.csv'] }],
          ['parse_csv'],
          ['write_file', { path: 'out/${region}/${day}-${most}.ndjson' }],
        ],
        { parameters },
      ),
      // A field that takes no text, or few words, has something that it takes.
      'pipelines/b.yaml': pipelineOf(
        [
          ['read_file', { path: 'in/all.csv' }],
          ['parse_csv'],
          ['limit', { records: '${most}' }],
          ['write_file', { path: 'out/${region}/${day}-${most}.ndjson' }],
        ],
        { parameters },
      ),
      'pipelines/c.yaml': pipelineOf(
        [
          ['read_file', { path: 'in/all.csv' }],
          ['parse_csv', { headers: '${headers}' }],
          ['batch', { batch_size: '${size}', strategy: 'any', flush_interval_ms: '${wait}', emit: 'array' }],
          ['write_file', { path: 'out/${size}.ndjson' }],
        ],
        { parameters: { size: { type: 'int' }, wait: { type: 'int' }, headers: { type: 'bool' } } },
      ),
      'pipelines/d.yaml': pipelineOf(
        [
          ['read_file', { path: 'in/all.csv' }],
          ['parse_csv'],
          ['format_json', { framing: '${framing}' }],
          ['write_file', { path: 'out/${day}-${framing}.json' }],
        ],
        { parameters: { ...parameters, framing: { default: 'array' } } },
      ),
    });
    const { code, stdout, stderr } = await oxiflow(['pipeline', 'manifest'], { cwd });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const document = JSON.parse(stdout);
    const validate = new Ajv2020({ strict: false }).compile(manifestJsonSchema());
    expect(validate(document) ? [] : validate.errors).toEqual([]);
    const [a, b, c, d] = document.pipelines;
    expect(a.inputs).toMatchObject([
      { paths: ['in/2026-01-01.csv', 'in/all.csv'], templates: ['in/${day}.csv', 'in/all.csv'] },
    ]);
    const path = 'out/${region}/2026-01-01-3.ndjson';
    expect(a.outputs).toMatchObject([{ path, template: 'out/${region}/${day}-${most}.ndjson' }]);
    expect(b.outputs).toMatchObject([{ path, template: 'out/${region}/${day}-${most}.ndjson' }]);
    expect(c.outputs).toMatchObject([{ path: 'out/${size}.ndjson' }]);
    expect(c.parameters.map(({ name, required }: { name: string; required: boolean }) => [name, required])).toEqual([
      ['size', true],
      ['wait', true],
      ['headers', true],
    ]);
    expect(d.outputs).toMatchObject([{ path: 'out/2026-01-01-array.json', template: 'out/${day}-${framing}.json' }]);
    expect(b.inputs[0]).not.toHaveProperty('templates');
  });

  test.concurrent('is the same whatever the shell has set, and in any folder', async () => {
    const texts = await Promise.all(
      [{}, { INBOX: '/data', password: 'canary-Env1', TZ: 'Asia/Tokyo' }].map(async (env) => {
        const cwd = folder(FILES);
        const { code } = await oxiflow(['pipeline', 'manifest', 'rides', '-o', 'manifest.json'], { cwd, env });
        expect(code).toBe(0);
        return snapshot(cwd)['manifest.json'];
      }),
    );
    expect(texts[0]).toContain('"plan_hash"');
    expect(texts[1]).toBe(texts[0]);
  });

  test.concurrent('lists pipelines with mistakes apart; the exit code is 2 unless they are allowed', async () => {
    const cwd = folder(FILES);
    const [strict, lenient] = await Promise.all(
      [[], ['--allow-errors']].map((more) => oxiflow(['pipeline', 'manifest', ...more], { cwd })),
    );
    expect([strict?.code, lenient?.code]).toEqual([2, 0]);
    expect(strict?.stdout).toBe(lenient?.stdout);
    expect(JSON.parse(strict?.stdout ?? '')).toMatchObject({
      pipelines: [{ name: 'rides' }],
      errors: [
        { pipeline: 'broken', file: 'pipelines/broken.yaml', messages: [expect.stringContaining('"read_fil"')] },
      ],
    });
  });

  test.concurrent('a file whose name no pipeline can have is a mistake of its own, and none of the others', async () => {
    const cwd = folder({ ...FILES, 'pipelines/broken.yaml': RIDES, 'pipelines/.#rides.yaml': RIDES });
    const { code, stdout } = await oxiflow(['pipeline', 'manifest'], { cwd });
    expect(code).toBe(2);
    expect(JSON.parse(stdout)).toMatchObject({
      pipelines: [{ name: 'broken' }, { name: 'rides' }],
      errors: [
        {
          pipeline: '.#rides',
          file: 'pipelines/.#rides.yaml',
          messages: [expect.stringContaining('has a name that no pipeline can have')],
        },
      ],
    });
  });

  test.concurrent('its JSON Schema in the repository is the one that "schema manifest" prints', async () => {
    const { stdout } = await oxiflow(['schema', 'manifest'], { cwd: folder({}) });
    const file = readFileSync(join(REPOSITORY, 'runner/cli/schemas/manifest.json'), 'utf8');
    expect(JSON.parse(file), 'npx oxiflow schema manifest > runner/cli/schemas/manifest.json').toEqual(
      JSON.parse(stdout),
    );
  });
});
