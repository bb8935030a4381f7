import { describe, expect, it } from 'vitest';
import { summaryText } from '../../runner/observe/summary.ts';
import { finished } from './story.ts';

describe('the summary', () => {
  it('has a line for each oxi, aligned, and the outputs', () => {
    expect(summaryText('rides', finished(), 81).trimEnd().split('\n')).toEqual([
      'rides: done, 60,000 read, 41,998 written, 2 errors, 4.0 s',
      '  oxi                      in     out  filtered  failed  records/s  time',
      '  read_file            60,000  60,000         -       -     15,000  20 %',
      '  long_rides (filter)  60,000  41,998    18,000       2     15,000  80 %',
      '  write_file           41,998  41,998         -       -     10,500  <1 %',
      'output/long-rides.ndjson: 41,998 records, 4.44 MB',
    ]);
  });

  it('tells records that were passed on from those that failed', () => {
    const whole = finished();
    const [read, filter, write] = whole.counters.steps;
    if (read === undefined || filter === undefined || write === undefined) throw new Error('three steps');
    const passing = { ...filter, counters: { ...filter.counters, passed_on_error: 7 } };
    const counters = { ...whole.counters, steps: [read, passing, write] };
    const lines = summaryText('rides', { ...whole, counters }, 100).split('\n');
    expect(lines[1]).toContain('filtered  failed  passed on  records/s');
    expect(lines[3]).toContain('18,000       2          7     15,000');
  });

  it('counts all attempts, and rates only what this one did', () => {
    const whole = finished();
    const { total } = whole.counters;
    const half = { ...whole.counters, attempt: { ...total, added: total.added / 2 } };
    const [, , source] = summaryText('rides', { ...whole, counters: half }, 100).split('\n');
    expect(source).toBe('  read_file            60,000  60,000         -       -      7,500  20 %');
  });

  it('cuts names, never numbers, on a narrow terminal', () => {
    const lines = summaryText('rides', finished(), 52).split('\n').slice(1, 5);
    expect(lines[2]).toBe('  long_ri…  60,000  41,998    18,000       2     15,000  80 %');
    expect(new Set(lines.map((line) => line.length)).size).toBe(1);
  });

  it('tells what each stage waited for where there is room, marks what was sampled, and names the bottleneck', () => {
    const whole = finished();
    const [read, filter, write] = whole.counters.steps;
    if (read === undefined || filter === undefined || write === undefined) throw new Error('three steps');
    const stage = { ...filter, sampled: true, wait_input_ms: 1000, wait_room_ms: 100 };
    const steps = [
      { ...read, wait_room_ms: 3000 },
      { ...stage, step: 'parse_json', oxi: 'parse_json' },
      stage,
      { ...write, wait_input_ms: 300, wait_outside_ms: 200 },
    ];
    const bottleneck = { step: 'long_rides', reason: 'step "long_rides" is busy 97 % of the time on 1 thread' };
    const waited = { ...whole, counters: { ...whole.counters, steps }, bottleneck };
    const lines = summaryText('rides', waited, 100).trimEnd().split('\n');
    expect(lines.slice(1, 6)).toEqual([
      '  oxi                      in     out  filtered  failed  records/s   time   waits for',
      '  read_file            60,000  60,000         -       -     15,000   11 %   room 75 %',
      '  parse_json           60,000  41,998    18,000       2     15,000  ~44 %  input 25 %',
      '  long_rides (filter)  60,000  41,998    18,000       2     15,000  ~44 %',
      '  write_file           41,998  41,998         -       -     10,500   <1 %           -',
    ]);
    expect(lines.at(-1)).toBe('bottleneck: step "long_rides" is busy 97 % of the time on 1 thread');
    expect(summaryText('rides', waited, 80)).not.toContain('waits for');
    const short = { ...waited, durations: { attempt_ms: 40, total_ms: 40 } };
    expect(summaryText('rides', short, 100)).not.toContain('bottleneck');
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
