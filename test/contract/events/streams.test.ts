/** The runner's side of what `providers/oxiflow/tests/test_conformance.py` holds the Python side to: the same files, the same verdicts. */
import { readFileSync } from 'node:fs';
import { describe, expect, it, test } from 'vitest';
import { EXIT } from '../../../runner/engine/errors.ts';
import { EVENT_TYPES, type EventType, lineSchema } from '../../../runner/observe/event-schemas.ts';
import { generatedFiles, generatedLines, type Stream, storedFiles, streams } from './generate.ts';

const { retry, no_retry } = JSON.parse(readFileSync(new URL('exit-codes.json', import.meta.url), 'utf8'));

test('the generated files are those of their generator; `npm run events` writes them anew', () => {
  const expected = generatedFiles();
  const stored = storedFiles();
  expect([...stored.keys()].sort()).toEqual([...expected.keys()].sort());
  for (const [name, bytes] of expected) expect(stored.get(name)?.equals(bytes), name).toBe(true);
});

test('every exit code but 0 says whether a retry helps', () => {
  const codes = Object.values(EXIT).filter((code) => code !== 0);
  expect([...retry, ...no_retry].sort()).toEqual(codes.sort());
});

test('there are lines of every type and verdict', () => {
  const seen = new Set(generatedLines().map(({ verdict, what }) => `${what.split(' ')[0]} ${verdict}`));
  for (const type of EVENT_TYPES)
    expect([...seen]).toEqual(expect.arrayContaining([`${type} good`, `${type} newer`, `${type} bad`]));
});

/** What a reader finds, as plainly as it can be written. */
function found(bytes: Buffer): { events: number; malformed: number; lost: number; status: string | undefined } {
  const finding = { events: 0, malformed: 0, lost: 0, status: undefined as string | undefined };
  let seq = 0;
  let from = 0;
  while (from < bytes.length) {
    const feed = bytes.indexOf(10, from);
    const line = bytes.subarray(from, feed < 0 ? bytes.length : feed);
    from = feed < 0 ? bytes.length : feed + 1;
    if (line.length === 0) continue;
    const event = eventOf(line);
    if (event === 'malformed') finding.malformed += 1;
    if (event === 'malformed' || event === 'unknown') continue;
    finding.events += 1;
    finding.lost += event.seq - seq - 1;
    seq = event.seq + (event.left_out ?? 0);
    finding.status = event.type === 'run.finished' ? event.status : undefined;
  }
  return finding;
}

interface Found {
  seq: number;
  type: string;
  status?: string;
  left_out?: number;
}

function eventOf(line: Uint8Array): 'malformed' | 'unknown' | Found {
  try {
    const value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(line));
    if (!EVENT_TYPES.includes(value.type) && value.v === 1) return 'unknown';
    return lineSchema(value.type as EventType).parse(value) as unknown as Found;
  } catch {
    return 'malformed';
  }
}

describe('a stream', () => {
  it.each(streams())('of $what', (stream: Stream) => {
    const { events, malformed, lost, status } = found(stream.bytes);
    expect({ events, malformed, lost }).toEqual({
      events: stream.events,
      malformed: stream.malformed,
      lost: stream.lost,
    });
    const succeeded = stream.exit_code === 0 && status === 'succeeded';
    const outcome = succeeded ? 'succeeded' : no_retry.includes(stream.exit_code) ? 'no retry' : 'retry';
    expect(outcome).toBe(stream.outcome);
  });
});
