/**
 * What a run spends its time on: each work once on two threads under V8's profiler, which looks at every thread once a millisecond.
 * The profiler itself makes a run somewhat slower; only shares are told.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Contender } from '../contenders.ts';
import { measure, say } from '../ground.ts';
import type { Ground } from '../race.ts';
import type { Workload } from '../works.ts';

/** Where a sample was taken, as the profile tells. */
export const PLACES = ['kernel', 'JavaScript', 'garbage', 'Node'] as const;
export type Place = (typeof PLACES)[number];

export const PLACE_TEXT: Readonly<Record<Place, string>> = {
  kernel: 'byte kernel (WebAssembly)',
  JavaScript: "the runner's JavaScript",
  garbage: 'garbage collector',
  Node: 'Node and the system: files, messages, start-up',
};

export interface Profile {
  workload: Workload;
  /** Milliseconds of processor by place, of all threads. */
  ms: Record<Place, number>;
  /** Functions of the runner's JavaScript that took most, with their milliseconds. */
  functions: [name: string, ms: number][];
}

/** A part of what V8 writes (https://chromedevtools.github.io/devtools-protocol/tot/Profiler/#type-Profile). */
interface CpuProfile {
  nodes: { id: number; callFrame: { functionName: string; url: string } }[];
  samples: number[];
  /** Microseconds before each sample. */
  timeDeltas: number[];
}

const FUNCTIONS = 5;

/** Where a sample counts; undefined where the thread did nothing. */
function placeOf({ functionName, url }: CpuProfile['nodes'][number]['callFrame']): Place | undefined {
  if (functionName === '(idle)') return undefined;
  if (functionName === '(garbage collector)') return 'garbage';
  if (url.startsWith('wasm:')) return 'kernel';
  return url === '' || url.startsWith('node:') ? 'Node' : 'JavaScript';
}

/** Of the profiles of all threads of one run. */
export function sumUp(workload: Workload, profiles: readonly CpuProfile[]): Profile {
  const ms: Profile['ms'] = { kernel: 0, JavaScript: 0, garbage: 0, Node: 0 };
  const functions = new Map<string, number>();
  for (const { nodes, samples, timeDeltas } of profiles) {
    const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]));
    samples.forEach((id, i) => {
      const frame = frames.get(id);
      const place = frame && placeOf(frame);
      if (frame === undefined || place === undefined) return;
      const took = (timeDeltas[i] ?? 0) / 1000;
      ms[place] += took;
      if (place === 'JavaScript') {
        const name = frame.functionName === '' ? '(no name)' : frame.functionName;
        functions.set(name, (functions.get(name) ?? 0) + took);
      }
    });
  }
  return {
    workload,
    ms,
    functions: [...functions].sort(([, a], [, b]) => b - a).slice(0, FUNCTIONS),
  };
}

export function measureProfile(
  { python, work }: Ground,
  runner: Contender,
  workload: Workload,
  input: string,
): Profile {
  const folder = mkdtempSync(join(work, 'profile-'));
  const output = join(work, 'profile.out');
  const profiled: Contender = {
    ...runner,
    command: (...args) => {
      const [node = '', ...rest] = runner.command(...args);
      return [node, '--cpu-prof', `--cpu-prof-dir=${folder}`, ...rest];
    },
  };
  const { wall_s } = measure(python, profiled, workload, input, output);
  const profiles = readdirSync(folder).map((name): CpuProfile => JSON.parse(readFileSync(join(folder, name), 'utf8')));
  rmSync(folder, { recursive: true });
  rmSync(output, { force: true });
  say(`${workload} under the profiler: ${wall_s.toFixed(2)} s, ${profiles.length} threads`);
  return sumUp(workload, profiles);
}
