/** The runs of the benchmark of the state: W1 with and without soft checkpoints, W5 by one worker and by two. */
import { execFileSync } from 'node:child_process';
import { createReadStream, createWriteStream, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { SOFT_INTERVAL_MS } from '../../runner/engine/barrier-clock.ts';
import { differences } from './compare.ts';
import { buildWithCrashPoints } from './contenders.ts';
import { measureCommand, say } from './ground.ts';
import { runsOf } from './race.ts';
import type { Runs } from './report.ts';
import { MIDDLE, makeProject, pipelineText, UNOBSERVED } from './works.ts';

export interface Ground {
  python: string;
  node: string;
  /** For inputs and outputs. */
  work: string;
  /** On the disk, for projects and their state. */
  disk: string;
  input: string;
}

interface Turn {
  name: string;
  command: string[];
  env: Record<string, string>;
}

const UNMEASURED = 'monitoring: { interval_seconds: 86400 }\n';

/** So many times as many soft checkpoints as usual: machines differ by more than what the usual ones cost. */
export const OFTEN = 20;

/**
 * By backend: W1 on two threads without any checkpoint but the last, with the usual ones, and with `OFTEN` times as many. They
 * take turns, and every other round is in the other order.
 */
export function compareCheckpoints(ground: Ground, redisUrl: string, pairs: number): Runs[][] {
  const { python, node, disk, work, input } = ground;
  const runner = buildWithCrashPoints(node);
  const groups = (['sqlite', 'redis'] as const).map((backend) => {
    const variant = (name: string, settings: string, more: Record<string, string>): Turn => {
      const project = join(disk, `${backend}-${name.replaceAll(' ', '-')}`);
      makeProject(project, { w1: pipelineText('events', MIDDLE.w1) }, settings);
      return {
        name: `${backend}: ${name}`,
        command: [node, runner, 'run', 'w1', '--project', project, '--threads', '2', '-q'],
        env: {
          OXIFLOW_STATE_BACKEND: backend,
          ...(backend === 'redis' ? { OXIFLOW_STATE_URL: redisUrl } : {}),
          ...more,
        },
      };
    };
    return [
      variant('off', UNOBSERVED, { OXIFLOW_SOFT_INTERVAL_MS: '86400000' }),
      variant('usual', UNMEASURED, {}),
      variant(`${OFTEN} times as often`, UNMEASURED, { OXIFLOW_SOFT_INTERVAL_MS: String(SOFT_INTERVAL_MS / OFTEN) }),
    ];
  });
  const runs = groups.map(runsOf);
  const output = join(work, 'checkpoints.ndjson');
  // One more at the start that counts for nothing.
  for (let round = -1; round < pairs; round += 1) {
    for (const [g, turns] of groups.entries()) {
      const inOrder = [...turns.entries()];
      for (const [i, { name, command, env }] of round % 2 === 0 ? inOrder : inOrder.toReversed()) {
        rmSync(output, { force: true });
        const cost = measureCommand(python, name, command, { ...env, INPUT: input, OUTPUT: output });
        if (round >= 0) runs[g]?.[i]?.costs.push(cost);
      }
    }
    if (round >= 0) say(`checkpoints: round ${round + 1}/${pairs}`);
  }
  rmSync(output, { force: true });
  return runs;
}

/** Starts the command behind the two halves once with each of them as its input, at the same time. */
const BOTH_HALVES =
  'a=$1 b=$2; shift 2; INPUT=$a OUTPUT=$OUTPUT.1 "$@" --run-key first & x=$!; ' +
  'INPUT=$b OUTPUT=$OUTPUT.2 "$@" --run-key second & wait $x && wait $!';

/**
 * W5 by one worker and by two, with part files and with one merged file; and, for what the machine itself lets two processes do
 * side by side, two runs that share nothing. Compares what they made.
 */
export async function compareWorkers(
  ground: Ground,
  runner: string,
  rounds: number,
): Promise<{ runs: Runs[]; differences: string[]; parts: number }> {
  const { python, node, disk, work, input } = ground;
  const project = join(disk, 'workers');
  const merged = pipelineText('events', MIDDLE.w5, ', merge: true');
  makeProject(project, { w5: pipelineText('events', MIDDLE.w5), w5_merged: merged });
  const turn = (name: string, pipelineName: string, ...more: string[]): Turn => ({
    name,
    command: [node, runner, 'run', pipelineName, '--project', project, '--threads', '1', '-q', ...more],
    env: {},
  });
  const turns = [
    turn('one worker', 'w5'),
    turn('two workers, part files', 'w5', '--workers', '2'),
    turn('two workers, merge: true', 'w5_merged', '--workers', '2'),
  ];
  execFileSync('split', ['-n', 'l/2', input, join(work, 'half-')]);
  const halves = ['half-aa', 'half-ab'].map((name) => join(work, name));
  const [alone] = turns as [Turn];
  turns.push({
    name: 'two runs of half the input each, which share nothing',
    command: ['bash', '-c', BOTH_HALVES, 'bash', ...halves, ...alone.command],
    env: {},
  });
  const places = turns.map((_, i) => join(work, `workers-${i}`, 'out.ndjson'));
  const runs = runsOf(turns);
  for (let round = 0; round < rounds; round += 1) {
    const inOrder = [...turns.entries()];
    for (const [i, { name, command, env }] of round % 2 === 0 ? inOrder : inOrder.toReversed()) {
      const output = places[i] ?? '';
      rmSync(dirname(output), { recursive: true, force: true });
      mkdirSync(dirname(output));
      const cost = measureCommand(python, name, command, { ...env, INPUT: input, OUTPUT: output });
      runs[i]?.costs.push(cost);
      say(`workers: round ${round + 1}/${rounds}: ${name} ${cost.wall_s.toFixed(2)} s`);
    }
  }
  say('workers: comparing the outputs');
  const parts = partsOf(places[1] ?? '');
  const joined = join(work, 'joined.ndjson');
  await pipeline(bytesOfAll(parts), createWriteStream(joined));
  const both = join(work, 'both.ndjson');
  await pipeline(bytesOfAll(['1', '2'].map((half) => `${places[3]}.${half}`)), createWriteStream(both));
  const paths = [places[0] ?? '', joined, places[2] ?? '', both];
  const found = await differences(turns.map(({ name }, i) => ({ name, same: 'bytes' as const, path: paths[i] ?? '' })));
  for (const place of places) rmSync(dirname(place), { recursive: true, force: true });
  for (const path of [joined, both, ...halves]) rmSync(path);
  return { runs, differences: found, parts: parts.length };
}

async function* bytesOfAll(files: readonly string[]): AsyncGenerator<Buffer> {
  for (const file of files) yield* createReadStream(file) as AsyncIterable<Buffer>;
}

/** The part files of an output, in order. */
function partsOf(output: string): string[] {
  const name = basename(output, '.ndjson');
  return readdirSync(dirname(output))
    .filter((file) => file.startsWith(`${name}-`) && file.endsWith('.ndjson'))
    .sort()
    .map((file) => join(dirname(output), file));
}
