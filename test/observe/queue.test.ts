import { describe, expect, it } from 'vitest';
import { LineQueue } from '../../runner/observe/queue.ts';
import type { EventType } from '../../runner/observe/types.ts';

/** Pushes lines of ten bytes, `p1`, `c2` ..., and returns what is left of them, in order. */
function left(maxBytes: number, events: readonly [EventType, string][]): { lines: string[]; dropped: number } {
  const queue = new LineQueue(maxBytes);
  for (const [type, name] of events) queue.push(type, Buffer.from(name.padEnd(10)));
  const lines: string[] = [];
  for (let line = queue.shift(); line !== undefined; line = queue.shift()) lines.push(line.toString().trim());
  expect(queue.empty).toBe(true);
  return { lines, dropped: queue.dropped };
}

describe('lines that wait for a slow reader', () => {
  it('come out in the order in which they went in', () => {
    const { lines } = left(100, [
      ['run.started', 's'],
      ['checkpoint', 'c1'],
      ['log', 'l1'],
      ['checkpoint', 'c2'],
    ]);
    expect(lines).toEqual(['s', 'c1', 'l1', 'c2']);
  });

  it('go in the order of their importance: reports and logs, then bad records, then older checkpoints', () => {
    const events: [EventType, string][] = [
      ['run.started', 's'],
      ['progress', 'p'],
      ['record.dead_lettered', 'd'],
      ['checkpoint', 'c1'],
      ['log', 'l'],
      ['checkpoint', 'c2'],
      ['metrics', 'm'],
      ['run.finished', 'f'],
    ];
    const kept = [80, 70, 60, 50, 40, 30].map((maxBytes) => left(maxBytes, events).lines.join(' '));
    expect(kept).toEqual([
      's p d c1 l c2 m f',
      's d c1 l c2 m f',
      's d c1 c2 m f',
      's d c1 c2 f',
      's c1 c2 f',
      's c2 f',
    ]);
  });

  it('always keep the start, the newest checkpoint and the end, however small the bound', () => {
    const checkpoints = Array.from({ length: 50 }, (_, i): [EventType, string] => ['checkpoint', `c${i + 1}`]);
    const { lines, dropped } = left(1, [['run.started', 's'], ...checkpoints, ['log', 'l'], ['run.finished', 'f']]);
    expect(lines).toEqual(['s', 'c50', 'f']);
    expect(dropped).toBe(50);
  });
});
