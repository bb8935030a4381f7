/** Does the cost of a run grow as its input does? The same work on inputs of several sizes, in turn. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Contender } from '../contenders.ts';
import { measure, say } from '../ground.ts';
import { type Ground, makeInput } from '../race.ts';
import { type Cost, of, type Runs } from '../report.ts';
import { inputOf, type Workload } from '../works.ts';

/** Inputs, in sizes of the usual one. */
const SIZES = [0.5, 1, 2, 4];

export interface Growth {
  workload: Workload;
  points: { bytes: number; runs: Runs }[];
}

export function measureGrowth(
  { python, work }: Ground,
  runner: Contender,
  workload: Workload,
  bytes: number,
  rounds: number,
): Growth {
  const inputs = SIZES.map((times) => makeInput(work, inputOf(workload), Math.round(bytes * times)));
  const points = inputs.map((input) => ({ bytes: input.bytes, runs: { name: runner.name, costs: [] as Cost[] } }));
  const output = join(work, 'growth.ndjson');
  for (let round = 0; round < rounds; round += 1) {
    for (const [i, { path }] of inputs.entries()) {
      rmSync(output, { force: true });
      const cost = measure(python, runner, workload, path, output);
      points[i]?.runs.costs.push(cost);
      say(`${workload} growth, round ${round + 1}/${rounds}: ${cost.wall_s.toFixed(2)} s`);
    }
  }
  for (const { path } of inputs) rmSync(path);
  rmSync(output, { force: true });
  return { workload, points };
}

/**
 * The power of the size that the cost grows with, 1 where it grows linearly: the slope of the line through the logarithms
 * (least squares) of the medians, less what a run costs before it reads anything. Not a number where a run costs no more.
 */
export function power({ points }: Growth, startCost: number, field: 'wall_s' | 'cpu_s'): number {
  const xs = points.map(({ bytes }) => Math.log(bytes));
  const ys = points.map(({ runs }) => Math.log(of(runs, field) - startCost));
  const mean = (values: number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [x0, y0] = [mean(xs), mean(ys)];
  const along = xs.map((x, i) => (x - x0) * ((ys[i] ?? Number.NaN) - y0));
  return mean(along) / mean(xs.map((x) => (x - x0) ** 2));
}
