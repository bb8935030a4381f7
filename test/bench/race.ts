/** Runs of several contenders in turn, the comparison of what they wrote, start-ups, and peaks with a large input. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { generateFile } from '../fixtures/generate.ts';
import type { Made } from '../fixtures/lines.ts';
import { generateTaxiFile } from '../fixtures/taxi.ts';
import { differences } from './compare.ts';
import type { Contender } from './contenders.ts';
import { diskFolder, measure, SEED, say, untilTheEnd, workFolder } from './ground.ts';
import type { Race, Runs } from './report.ts';
import { type Input, inputOf, type Workload } from './works.ts';

/** Room for an output of W2, in sizes of its input. */
const OUTPUT_COPIES = 3;
const START_WARMUPS = 2;

/** With what and where contenders run. */
export interface Ground {
  python: string;
  node: string;
  /** For inputs and outputs. */
  work: string;
}

export interface MadeInput extends Made {
  path: string;
}

const GENERATE = { events: generateFile, taxi: generateTaxiFile } as const;

export function makeInput(folder: string, input: Input, bytes: number): MadeInput {
  say(`making ${(bytes / 1e6).toFixed(1)} MB of ${input} in ${folder}`);
  const path = join(folder, `${bytes}-${input === 'taxi' ? 'taxi.csv' : 'events.ndjson'}`);
  return { path, ...GENERATE[input](path, { seed: SEED, bytes }) };
}

export function runsOf(those: readonly { name: string }[]): Runs[] {
  return those.map(({ name }) => ({ name, costs: [] }));
}

/** Each contender once a round, one after the other; then their outputs, compared with that of the first. */
export async function race(
  { python, work }: Ground,
  workload: Workload,
  those: readonly Contender[],
  input: MadeInput,
  rounds: number,
): Promise<Race> {
  const runs = runsOf(those);
  const outputs = those.map((contender, i) => ({
    contender,
    name: contender.name,
    same: contender.same(workload),
    path: join(work, `${workload}-${i}.ndjson`),
  }));
  for (let round = 0; round < rounds; round += 1) {
    outputs.forEach(({ contender, path }, i) => {
      rmSync(path, { force: true });
      const cost = measure(python, contender, workload, input.path, path);
      runs[i]?.costs.push(cost);
      say(`${workload} round ${round + 1}/${rounds}: ${contender.name} ${cost.wall_s.toFixed(2)} s`);
    });
  }
  say(`${workload}: comparing the outputs`);
  const found = await differences(outputs);
  for (const { path } of outputs) rmSync(path, { force: true });
  return { workload, inputBytes: input.bytes, records: input.records, runs, differences: found };
}

/** `node -e 0` and ten records through W1, in turn; the first runs fill caches and do not count. */
export function startUps({ python, node, work }: Ground, runner: Contender, starts: number): Runs[] {
  const ten = join(work, 'ten.ndjson');
  generateFile(ten, { seed: SEED, records: 10 });
  const starters: Contender[] = [
    { ...runner, name: '`node -e 0`', command: () => [node, '-e', '0'] },
    { ...runner, name: 'oxiflow, ten records' },
  ];
  const runs = runsOf(starters);
  for (let round = -START_WARMUPS; round < starts; round += 1) {
    starters.forEach((starter, i) => {
      const cost = measure(python, starter, 'w1', ten, join(work, 'ten.out'));
      if (round >= 0) runs[i]?.costs.push(cost);
    });
  }
  return runs;
}

/** By runner, the peak of each work with an input of so many bytes, once, in kilobytes. One input and output at a time. */
export function largePeaks(
  python: string,
  runners: readonly Contender[],
  workloads: readonly Workload[],
  bytes: number,
): Map<string, Map<Workload, number>> {
  const from = untilTheEnd(workFolder(bytes));
  const to = join(untilTheEnd(diskFolder(bytes * OUTPUT_COPIES)), 'large.ndjson');
  const peaks = new Map(runners.map(({ name }) => [name, new Map<Workload, number>()]));
  for (const kind of ['events', 'taxi'] as const) {
    const those = workloads.filter((workload) => inputOf(workload) === kind);
    if (those.length === 0) continue;
    const { path } = makeInput(from, kind, bytes);
    for (const workload of those) {
      for (const runner of runners) {
        const cost = measure(python, runner, workload, path, to);
        rmSync(to, { force: true });
        peaks.get(runner.name)?.set(workload, cost.peak_kb);
        const megabytes = Math.round((cost.peak_kb * 1024) / 1e6);
        say(`${workload} large: ${runner.name} ${cost.wall_s.toFixed(2)} s, ${megabytes} MB`);
      }
    }
    rmSync(path);
  }
  return peaks;
}
