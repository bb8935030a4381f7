import { describe, expect, it } from 'vitest';
import { summaryText } from '../../runner/observe/summary.ts';
import { finished } from './story.ts';

describe('the summary', () => {
  it('has a line for each oxi, aligned, and the outputs', () => {
    expect(summaryText('rides', finished(), 81).trimEnd().split('\n')).toEqual([
      'rides: done, 60,000 read, 41,998 written, 2 errors, 4.0 s',
      '  oxi                      in     out  filtered  dropped  failed  records/s  time',
      '  read_file            60,000  60,000         -        -       -     15,000  20 %',
      '  long_rides (filter)  60,000  41,998    18,000        -       2     15,000  80 %',
      '  write_file           41,998  41,998         -        -       -     10,500  <1 %',
      'output/long-rides.ndjson: 41,998 records, 4.44 MB',
    ]);
  });

  it('counts all attempts, and rates only what this one did', () => {
    const whole = finished();
    const { total } = whole.counters;
    const half = { ...whole.counters, attempt: { ...total, added: total.added / 2 } };
    const [, , source] = summaryText('rides', { ...whole, counters: half }, 100).split('\n');
    expect(source).toBe('  read_file            60,000  60,000         -        -       -      7,500  20 %');
  });

  it('cuts names, never numbers, on a narrow terminal', () => {
    const lines = summaryText('rides', finished(), 60).split('\n').slice(1, 5);
    expect(lines[2]).toBe('  long_ri…  60,000  41,998    18,000        -       2     15,000  80 %');
    expect(new Set(lines.map((line) => line.length)).size).toBe(1);
  });

  it.each([
    ['failed', 'rides: failed, '],
    ['interrupted', 'rides: interrupted, '],
    ['cancelled', 'rides: cancelled, '],
  ] as const)('of a run that was not finished says so: %s', (status, text) => {
    expect(summaryText('rides', finished({ status, outputs: [] }), 80).startsWith(text)).toBe(true);
  });

  it('of a run that never began has no table', () => {
    const { counters } = finished();
    const none = finished({ status: 'failed', outputs: [], counters: { ...counters, steps: [] } });
    expect(summaryText('rides', none, 80).split('\n')).toHaveLength(2);
  });
});
