/** What `pipeline info` says of a pipeline: everything that decides how it runs, and why; nothing of a secret. */
import { describe, expect, test } from 'vitest';
import { GOOD_PROJECT } from './cases/case.ts';
import { folder, oxiflow, pipelineOf } from './program.ts';

const read = ['read_file', { path: 'input/orders.ndjson' }] as const;
const ALL = pipelineOf(
  [
    read,
    ['parse_json', {}, { on_error: 'dead_letter' }],
    ['filter', { where: 'total > params.least' }, { limits: { max_batch_size: 100 } }],
    ['dedupe', { key: 'order', within: 10 }],
    ['map', { set: { by: '"shop"' }, threads: 2 }],
    ['tee', { steps: [{ name: 'write_stdout', id: 'screen' }] }],
    ['write_file', { path: 'output/large.ndjson' }],
  ] as never,
  {
    parameters: {
      least: {
        type: 'int',
        default: '9007199254740993',
        description: 'Smaller ones go',
        choices: ['9007199254740993', 5],
      },
      api_key: { default: 'canary-Xw92' },
    },
    max_errors: '1%',
    dead_letter: { path: 'bad.ndjson', max_records: 7 },
    tests: [{ name: 'large orders stay', input: [], expect: { records: [] } }],
  },
);
const FILES = { ...GOOD_PROJECT, 'pipelines/orders.yaml': ALL };

/** The page as one line. */
const flat = (text: string): string => text.replaceAll(/\s+/g, ' ');

describe('info', () => {
  test.concurrent('tells parameters, limits, guarantee, bad records and tests on 80 columns', async () => {
    const { code, stdout, stderr } = await oxiflow(['pipeline', 'info', 'orders', '--param', 'least=5'], {
      cwd: folder(FILES),
    });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    for (const fact of [
      'holds every record at least once: because of "screen"',
      'limits filter: max_batch_size 100 of 1,000,000',
      'errors the run stops beyond 1 % of the records',
      'letters dead letters go to bad.ndjson, 7 at most',
      'param least = 5 (int; default "9007199254740993"; one of 9007199254740993, 5): Smaller ones go',
      'param api_key = *** (string; default ***)',
      'test large orders stay',
    ])
      expect(flat(stdout)).toContain(fact);
    expect(stdout).not.toContain('canary');
    expect(Math.max(...stdout.split('\n').map((one) => one.length))).toBeLessThanOrEqual(80);
  });

  test.concurrent('explains every step and stage', async () => {
    const cwd = folder(FILES);
    const text = await oxiflow(['pipeline', 'info', 'orders', '--explain'], { cwd });
    for (const fact of [
      'filter: values: params.least is nothing that the kernel works with',
      'map: bytes',
      'dedupe: values: it works on whole blocks',
      'ends here: "tee" begins a second chain',
      'a step of it has state that needs every record in order',
    ])
      expect(flat(text.stdout)).toContain(fact);
    const small = await oxiflow(['pipeline', 'info', 'orders', '--explain', '--param', 'least=5'], { cwd });
    expect(flat(small.stdout)).toContain('filter: bytes');
    const { stdout } = await oxiflow(['pipeline', 'info', 'orders', '--explain', '--json'], { cwd });
    const document = JSON.parse(stdout);
    expect(document.explained.flatMap(({ steps }: { steps: { id: string }[] }) => steps.map(({ id }) => id))).toEqual([
      'parse_json',
      'filter',
      'dedupe',
      'map',
    ]);
    expect(document).toMatchObject({
      guarantee: 'at_least_once',
      because: 'screen',
      limits: [{ step: 'filter', limit: 'max_batch_size', value: 100, most: 1_000_000 }],
      tests: ['large orders stay'],
      parameters: [
        { name: 'least', value: '9007199254740993' },
        { name: 'api_key', value: null, default: null },
      ],
    });
    expect(stdout).not.toContain('canary');
  });

  test.concurrent('draws a flowchart whose labels no text can leave', async () => {
    const evil = 'bad"]; click s0 href "javascript:alert(1)" %% \n end #quot; `x` <b>';
    const cwd = folder({
      ...FILES,
      'pipelines/orders.yaml': ALL.replace('bad.ndjson', JSON.stringify(evil).slice(1, -1)),
    });
    const { code, stdout } = await oxiflow(['pipeline', 'info', 'orders', '--format', 'mermaid'], { cwd });
    expect(code).toBe(0);
    const lines = stdout.trimEnd().split('\n');
    expect(lines[0]).toBe('flowchart LR');
    // The grammar of all that may stand in it: a label is plain signs and entities, nothing else.
    const label = String.raw`"(?:[\p{L}\p{M}\p{N} _.,:/-]|#\d+;)*"`;
    const grammar = new RegExp(
      [
        `^ {2}subgraph g\\d+\\[${label}\\]$`,
        '^ {2}end$',
        `^ {2,4}(?:s\\d+|letters)(?:\\[${label}\\]|\\(\\[${label}\\]\\)|\\[\\(${label}\\)\\]|\\{\\{${label}\\}\\})$`,
        '^ {2}(?:s\\d+ --> s\\d+|s\\d+ -\\.-> letters|g\\d+ ==> g\\d+)$',
      ].join('|'),
      'u',
    );
    for (const one of lines.slice(1)) expect(one).toMatch(grammar);
    expect(lines).toEqual(expect.arrayContaining(['  s5 --> s6', '  s5 --> s7', '  s1 -.-> letters']));
  });
});
