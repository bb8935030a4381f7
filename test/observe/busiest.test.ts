import { expect, it } from 'vitest';
import { BusiestStep } from '../../runner/observe/busiest.ts';
import { clock } from './story.ts';

const steps = (parse: number, map: number) => [
  { id: 'parse_csv', busyMs: parse },
  { id: 'map', busyMs: map },
];

it('the busiest step is the one that works most of late, not since the beginning', () => {
  const time = clock();
  const busiest = new BusiestStep(time.now);
  time.forward(1000);
  expect(busiest.read(steps(900, 100))).toEqual({ step: 'parse_csv', busy_percent: 90 });
  // From now on the other one works.
  const seen: (string | undefined)[] = [];
  for (let i = 1; i <= 20; i++) {
    time.forward(500);
    seen.push(busiest.read(steps(900, 100 + 450 * i))?.step);
  }
  expect(seen.at(0)).toBe('parse_csv');
  expect(seen.at(-1)).toBe('map');
  expect(seen.filter((step, i) => i > 0 && step !== seen[i - 1])).toHaveLength(1);
});

it('threads work more than all of the time, and a run that waits has no busiest step', () => {
  const time = clock();
  const busiest = new BusiestStep(time.now);
  time.forward(1000);
  expect(busiest.read(steps(0, 1900))).toEqual({ step: 'map', busy_percent: 190 });
  for (let i = 0; i < 60; i++) {
    time.forward(200);
    busiest.read(steps(0, 1900));
  }
  expect(busiest.read(steps(0, 1900))).toBeUndefined();
});

it('a clock that stands still or was set back tells nothing new', () => {
  const time = clock();
  const busiest = new BusiestStep(time.now);
  expect(busiest.read(steps(5, 0))).toBeUndefined();
  time.forward(-1000);
  expect(busiest.read(steps(10, 0))).toBeUndefined();
});
