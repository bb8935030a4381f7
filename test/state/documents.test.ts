import { describe, expect, test } from 'vitest';
import {
  type Checkpoint,
  parseRunDocument,
  parseSplitDocument,
  type RunDocument,
} from '../../runner/engine/documents.ts';
import type { Json } from '../../runner/state/store.ts';

const counters = { in: 9, added: 0, out: 8, filtered: 1, dropped: 0, dead_lettered: 0, failed: 0, collected: 0 };

const run: RunDocument = {
  run_key: 'quakes',
  run_id: 'r-1',
  pipeline: 'quakes',
  attempt: 2,
  status: 'interrupted',
  invocation: 'airflow-7',
  plan: { steps: [{ id: 'read', hash: 'aa' }], parameters_hash: 'bb' },
  stream: { framing: 'document', selected: true },
  splits: [
    { index: 0, name: 'a.json', size: 12 },
    { index: 1, name: 'stdin' },
  ],
  started_at: '2026-03-01T10:00:00Z',
  error: { code: 'TERMINATED', message: 'stopped' },
  summary: { records: 9 },
  worker_id: 'w',
  resumed_from: 3,
};
const checkpoint: Checkpoint = {
  n: 3,
  grade: 'hard',
  boot_id: 'b',
  host: 'h',
  at: '2026-03-01T10:00:00Z',
  position: { split: 0, offset: 512, ordinal: 9, framer: null, fingerprint: 'ff', finished: '' },
  snapshots: { limit: { left: 3 } },
  marks: { write: { n: 3, records: 8, bytes: 400, data: { staged: 'out.json.part' } } },
  encoders: { write: 'open' },
  counters: { read: { ...counters, passed_on_error: 0, bytes_in: 1, bytes_out: 2 } },
  records: 9,
  bytes: 512,
  elapsed_ms: 7,
};
type Body = { [key: string]: Json };
const stored = (value: unknown): Body => JSON.parse(JSON.stringify(value)) as Body;

describe('the documents of a run', () => {
  test('are read back as they were written', () => {
    expect(parseRunDocument(stored(run))).toEqual(run);
    for (const split of [
      { checkpoint: {} },
      { checkpoint: { hard: checkpoint }, finishing: true },
      { checkpoint: { hard: checkpoint, soft: { ...checkpoint, n: 4, grade: 'soft' } } },
    ]) {
      expect(parseSplitDocument(stored(split))).toEqual(split);
    }
  });

  const broken: [string, () => unknown, string][] = [
    ['a missing run id', () => parseRunDocument(stored({ ...run, run_id: undefined })), 'run_id'],
    ['an unknown status', () => parseRunDocument(stored({ ...run, status: 'done' })), 'status'],
    [
      'a negative size',
      () => parseRunDocument(stored({ ...run, splits: [{ index: 0, name: 'a', size: -1 }] })),
      'size',
    ],
    ['a field that nobody knows', () => parseRunDocument(stored({ ...run, color: 'red' })), 'color'],
    ['a split document without a checkpoint', () => parseSplitDocument({ finishing: true }), 'checkpoint'],
    [
      'an offset that is a text',
      () =>
        parseSplitDocument(
          stored({ checkpoint: { hard: { ...checkpoint, position: { ...checkpoint.position, offset: '5' } } } }),
        ),
      'checkpoint.hard.position.offset',
    ],
  ];
  test.each(broken)('with %s are corrupt state', (_, parse, named) => {
    expect(parse).toThrow(expect.objectContaining({ code: 'STATE_CORRUPT', exitCode: 74 }));
    expect(parse).toThrow(named);
  });
});
