/** Makes a node of the flow of a planned stage, with its pool once there is work for one. */
import type { Makings } from './assembly.ts';
import { letterOf, recordMessage, stopError } from './bad-record.ts';
import { checkErrors } from './chain-ends.ts';
import { noCounters } from './counters.ts';
import { cutsLater } from './cuts-later.ts';
import type { Barrier } from './flow.ts';
import { type NodeFigures, noteUsage } from './flow-reading.ts';
import type { StageNode } from './flow-stage.ts';
import { HelpingPool } from './helping-pool.ts';
import { Lane, type LaneSpec } from './lane.ts';
import { OnlyRecord, onlyKey } from './only-record.ts';
import { unitOf } from './patience.ts';
import { type PlannedStage, stageSteps } from './plan.ts';
import type { Pool } from './pool.ts';
import { SideBySide } from './side-by-side.ts';
import type { StageProgram } from './stage.ts';
import type { StageResult, StageSpec } from './stage-spec.ts';
import type { WatchedNode } from './watch.ts';

/** `lane`: to the sink that is all that comes behind it. `enough`: nothing that comes from here on leaves the stage. */
export function stageNode(
  m: Makings,
  stage: PlannedStage,
  watched: WatchedNode | undefined,
  measured: NodeFigures,
  lane: LaneSpec | undefined,
  enough: () => void,
): StageNode {
  const spec: StageSpec = { ...m.spec(stageSteps(stage), stage.checked), tier: stage.forced, lane };
  const { from } = m.start;
  const { keeps } = stage;
  let program: StageProgram | undefined;
  let pool: Pool | undefined;
  const steps = stage.steps.map(({ id }) => m.figures(id));
  const cuts = cutsLater(m) && stage === m.start.segment.nodes[0];
  const programOf = (): StageProgram => {
    if (program === undefined) {
      program = m.program(spec);
      program.restore(from?.snapshots ?? {});
    }
    return program;
  };
  return {
    steps: stage.steps.map(({ id }) => id),
    counters: steps.map((step) => step.counters),
    threads: stage.ordered ? 1 : stage.threads,
    keepsOrder: stage.keepsOrder,
    apart: stage.place !== 'main',
    ordered: stage.ordered,
    program: programOf,
    startPool: () => {
      const started = startPool(m, spec, stage, programOf, watched);
      pool = started;
      if (!measured.beside) measured.pool = stage.place === 'main' ? stage.threads - 1 : stage.threads;
      m.own(started);
      return (block) => {
        watched?.atWork(1);
        return started.run(block).finally(() => watched?.atWork(-1));
      };
    },
    end: async () => {
      await program?.end();
      await pool?.end?.();
    },
    done: (result) => {
      if (result.cut !== undefined) noteCut(m, result.cut);
      steps.forEach((step, i) => {
        step.busyMs += result.stepMs[i] ?? 0;
        step.sampled = result.sampled[i] === true;
      });
      for (const usage of result.usage ?? []) noteUsage(measured, usage);
      checkErrors(m, false);
    },
    found: (cut) => noteCut(m, cut),
    failed: (failures) => m.start.recordErrors(failures.map(({ message }) => message)),
    lettersSent: (letters) => m.start.lettersSent(letters),
    countedTo: (barrier) => {
      if (cuts) countTo(m, barrier);
    },
    refuse: (result, broken) => {
      const [step] = stage.steps;
      const [counters] = result.counters;
      if (step === undefined || counters === undefined) return;
      for (const { error, offset, split } of broken) {
        const file = m.splitNames[split] ?? '';
        if (step.onError === 'stop') throw stopError(step, file, offset, error);
        counters.in++;
        if (step.onError === 'dead_letter') {
          counters.dead_lettered++;
          result.letters.push(letterOf(step, file, split, offset, error, new Uint8Array()));
        } else counters.dropped++;
        if (result.failures.length < 3)
          result.failures.push({ step: step.id, message: recordMessage(step, file, offset, error) });
      }
    },
    enough,
    lane: lane && new Lane(lane),
    only:
      keeps !== undefined && stage.steps.at(-1)?.id === keeps.id
        ? new OnlyRecord(keeps.id, keeps.fields, m.stateOf(onlyKey(keeps.id)))
        : undefined,
  };
}

function noteCut(m: Makings, { records, broken }: NonNullable<StageResult['cut']>): void {
  const { figures, source } = m.start;
  const { counters } = m.figures(source.step.id);
  counters.added += records + broken.length;
  counters.out += records + broken.length;
  figures.records += records + broken.length;
}

/** What the first stage has cut is all that was read before the barrier. */
function countTo(m: Makings, barrier: Barrier): void {
  const { figures, source } = m.start;
  const { id } = source.step;
  const { added, out } = m.figures(id).counters;
  barrier.counters.set(id, { ...(barrier.counters.get(id) ?? noCounters()), added, out });
  barrier.position = { ...barrier.position, records: figures.records - figures.earlierRecords };
}

function startPool(
  m: Makings,
  spec: StageSpec,
  stage: PlannedStage,
  program: () => StageProgram,
  watched: WatchedNode | undefined,
): Pool {
  const { steps, threads, place } = stage;
  const [step] = steps;
  if (place === 'beside' && step !== undefined) {
    const { timeout, retry } = unitOf(m.patience(step));
    return new SideBySide({
      spec,
      makeSteps: m.a.makeSteps,
      instances: threads,
      timeout,
      retry,
      findsPoison: step.timeLimited,
      say: (message) => m.a.say(message),
      begins: () => {
        watched?.atWork(1);
        watched?.atWork(-1);
      },
    });
  }
  const apart = place === 'apart';
  const started = apart ? threads : threads - 1;
  const pool = m.a.startPool(spec, {
    threads: started,
    mayLoop: apart,
    deadlineMs: least(steps.map(({ limits }) => limits.maxProcessingTimeMs)),
    restarts: Math.max(0, ...steps.map(({ retries }) => retries.attempts)),
    heapMb: apart ? least(steps.map(({ limits }) => limits.maxMemoryMb)) : undefined,
    say: (message) => m.a.say(message),
  });
  return apart ? pool : new HelpingPool(pool, started, program, spec.lane !== undefined);
}

/** The smallest of those that are there. */
function least(numbers: readonly (number | undefined)[]): number | undefined {
  const known = numbers.filter((n) => n !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
}
