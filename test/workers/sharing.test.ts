/** What workers can't share is refused before anything starts, with a sentence that says why. */
import { describe, expect, test } from 'vitest';
import { registry } from '../../runner/oxis/registry.ts';
import { refuseSharing } from '../../runner/workers/sharing.ts';
import { Scene } from './scene.ts';

const FILES = { 'in/orders.ndjson': '{"order":1}\n' };
const READ = '  - { name: read_file, config: { path: in/orders.ndjson } }\n  - name: parse_json\n';
const WRITE = '  - { name: write_file, config: { path: out/orders.ndjson } }\n';

async function sharing(steps: string, maxErrors?: unknown): Promise<string[]> {
  using scene = new Scene(steps, FILES);
  return refuseSharing(await scene.plan(), { oxis: registry, maxErrors });
}

const REFUSED: [string, string, RegExp][] = [
  ['standard input', `  - name: read_stdin\n  - name: parse_json\n${WRITE}`, /"read_stdin": gives its input once/],
  ['standard output', `${READ}  - name: write_stdout\n`, /"write_stdout": writes to standard output/],
  [
    'limit',
    `${READ}  - { name: limit, config: { records: 5 } }\n${WRITE}`,
    /"limit": counts records over the whole run/,
  ],
  [
    'dedupe',
    `${READ}  - { name: dedupe, config: { key: [order], within: 10 } }\n${WRITE}`,
    /"dedupe": remembers the keys/,
  ],
  ['every n-th', `${READ}  - { name: sample, config: { every: 5 } }\n${WRITE}`, /"sample": counts .*: use "rate"/],
  [
    'one document',
    `${READ}  - { name: format_json, config: { framing: document } }\n${WRITE}`,
    /"format_json": makes one/,
  ],
  [
    'columns: first',
    `${READ}  - { name: format_csv, config: { columns: first } }\n${WRITE}`,
    /"format_csv": writes the/,
  ],
  [
    'append',
    `${READ}${WRITE.replace(' }', ', append: true }')}`,
    /"write_file": appends to one file: set "merge: true"/,
  ],
  [
    'in a second chain',
    `${READ}  - name: tee\n    config:\n      steps:\n        - name: write_stdout\n${WRITE}`,
    /"write_stdout": writes/,
  ],
  [
    'a second source',
    `${READ}${WRITE}  - { name: read_file, id: again, config: { path: in/orders.ndjson } }\n  - { name: write_file, id: copy, config: { path: out/copy } }\n`,
    /"again": begins anew behind the steps before it/,
  ],
];

describe('refused', () => {
  test.each(REFUSED)('%s', async (_, steps, sentence) => {
    const error = await sharing(steps).catch((one) => one);
    expect(error).toMatchObject({ code: 'CONFIG_INVALID', exitCode: 2 });
    expect(error.message).toMatch(sentence);
    expect(error.message).toMatch(/; run it with one worker$/);
  });

  test('every step whose state needs the records in order', () => {
    const config: Record<string, unknown> = {
      limit: { records: 1 },
      dedupe: { key: ['a'], within: 10 },
      sample: { every: 2 },
    };
    for (const oxi of registry.values()) {
      if (oxi.kind !== 'step' || config[oxi.name] === undefined) continue;
      const made = oxi.make(config[oxi.name] as never, { projectRoot: '/', stepId: oxi.name });
      expect(Array.isArray(made) ? undefined : 'state' in made && made.state).toBe('ordered');
      expect(oxi.alone).toBeDefined();
    }
  });
});

describe('shared', () => {
  const SHARED: [string, string][] = [
    ['lines', `${READ}${WRITE}`],
    ['a share by chance', `${READ}  - { name: sample, config: { rate: 0.5 } }\n${WRITE}`],
    ['append with merge', `${READ}${WRITE.replace(' }', ', append: true, merge: true }')}`],
  ];
  test.each(SHARED)('%s', async (_, steps) => {
    expect(await sharing(steps)).toEqual([]);
  });

  test('what is different is said', async () => {
    const steps = `${READ.replace('- name: parse_json', '- { name: parse_json, on_error: dead_letter }')}  - name: batch\n  - { name: exec, config: { command: [cat] } }\n${WRITE}`;
    expect(await sharing(steps, { count: 5 })).toEqual([
      'step "batch": the last batch of each part may be a small one',
      'step "exec": its program is started for each part',
      '"max_errors" counts in each part by itself',
      'dead letters go to one file for each part, "max_records" counts in each',
    ]);
  });
});
