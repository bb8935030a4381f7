/**
 * Names what holds a flow back, and why. In a chain that runs at its best, one node is at work all the time: those before it
 * wait for room, those behind it for input. Where nothing stands out, nothing is named.
 */
import { availableParallelism } from 'node:os';
import type { FlowReading, NodeReading } from './flow-reading.ts';

export interface Bottleneck {
  step: string;
  /** One sentence for people. */
  reason: string;
}

export interface Processors {
  /** That the process may use. */
  count: number;
  /** That it uses on the average. */
  used: number;
}

/** What the readings of the flow tell of the process. */
export function theProcess({ elapsedMs, cpuMicros }: FlowReading): Processors {
  return { count: availableParallelism(), used: elapsedMs > 0 ? cpuMicros / 1000 / elapsedMs : 0 };
}

/** Less tells nothing. */
const SHORTEST_MS = 10;
/** Whoever is less at work than this holds nobody back. */
const LEAST = 0.5;
/** From here on the main thread keeps those who wait on it waiting; what they seem to wait for outside is that. */
const FULL = 0.85;
/** A wait that is worth a word. */
const NOTABLE = 0.1;

interface Candidate extends Bottleneck {
  /** Share of the time, 0 to 1. */
  load: number;
}

export function bottleneckOf(reading: FlowReading, processors: Processors): Bottleneck | undefined {
  if (reading.elapsedMs < SHORTEST_MS) return undefined;
  const pools = reading.nodes.map((node) => busyPool(reading, node, processors));
  const pool = greatest(pools);
  const main = busyMain(reading, processors);
  // On few processors both are busy: threads that always have input hold up the main thread, not the other way round.
  const isPool = pool !== undefined && pool.load >= FULL && !starved(reading, pool);
  const waiting = reading.nodes.map((node) => outside(reading, node));
  const found = isPool ? pool : reading.main >= FULL ? main : greatest([...pools, main, ...waiting]);
  if (found === undefined || found.load < LEAST) return undefined;
  return { step: found.step, reason: found.reason };
}

function greatest(candidates: readonly (Candidate | undefined)[]): Candidate | undefined {
  let best: Candidate | undefined;
  for (const one of candidates) if (one !== undefined && (best === undefined || one.load > best.load)) best = one;
  return best;
}

function starved({ nodes }: FlowReading, { step }: Candidate): boolean {
  const node = nodes.find(({ steps }) => steps.some((one) => one.step === step));
  return node !== undefined && node.waitInput > NOTABLE;
}

/** A stage whose own threads are busy. */
function busyPool(reading: FlowReading, node: NodeReading, { count, used }: Processors): Candidate | undefined {
  const heaviest = node.pool === 0 ? undefined : heaviestOf([node]);
  if (heaviest === undefined) return undefined;
  const part = node.steps.length > 1 ? ` (${percent(heaviest.share)} of its stage)` : '';
  const remedy = used >= count * FULL ? `; all ${plural(count, 'processor')} are at work` : '; give it more threads';
  return {
    step: heaviest.step,
    load: node.busy,
    reason: `step "${heaviest.step}"${part} is busy ${percent(node.busy)} of the time on ${plural(node.pool, 'thread')}${whoWaits(reading, node)}${remedy}`,
  };
}

/** The main thread reads, writes, and does the work of stages that have no threads. */
function busyMain({ nodes, main }: FlowReading, { count, used }: Processors): Candidate | undefined {
  const heaviest = heaviestOf(nodes.filter(({ pool, beside }) => pool === 0 && !beside));
  if (heaviest === undefined) return undefined;
  const { kind, ordered } = heaviest.node;
  const remedy = kind === 'stage' && !ordered && used < count * FULL ? '; give it threads' : '';
  const does = { source: ', which cuts records', stage: '', sink: ', which lays records out' }[kind];
  return {
    step: heaviest.step,
    load: main,
    reason: `the main thread is busy ${percent(main)} of the time, most of all with step "${heaviest.step}" (${percent(heaviest.share)} of its work)${does}${remedy}`,
  };
}

/**
 * Those who wait for something outside: the input, what a sink writes to, what a step calls. While the main thread is at work
 * nobody can tell whether they wait for that or for it, so this time does not count.
 */
function outside(reading: FlowReading, node: NodeReading): Candidate | undefined {
  const last = node.steps.at(-1)?.step;
  if (last === undefined || node.pool > 0) return undefined;
  const free = node.alive - node.waitRoom - node.waitInput;
  const load = Math.max(0, free - reading.main);
  switch (node.kind) {
    case 'source':
      return { step: last, load, reason: `the input: every step waits for "${last}", ${percent(load)} of the time` };
    case 'sink': {
      const waits = whoWaits(reading, node);
      return {
        step: last,
        // Somebody waits for room, so it is this sink that they wait for.
        load: waits === '' ? Math.max(0, node.outside - reading.main) : node.outside,
        reason: `the sink "${last}" waits ${percent(node.outside)} of the time for what it writes to${waits}`,
      };
    }
    case 'stage': {
      const step = heaviestOf([node])?.step ?? last;
      return { step, load, reason: `step "${step}" waits ${percent(load)} of the time for something outside` };
    }
  }
}

function heaviestOf(nodes: readonly NodeReading[]): { step: string; share: number; node: NodeReading } | undefined {
  let all = 0;
  let best: { step: string; busyMs: number; node: NodeReading } | undefined;
  for (const node of nodes)
    for (const { step, busyMs } of node.steps) {
      all += busyMs;
      if (best === undefined || busyMs > best.busyMs) best = { step, busyMs, node };
    }
  return best === undefined ? undefined : { step: best.step, share: all > 0 ? best.busyMs / all : 0, node: best.node };
}

/** `, and "read_file" waits for room`, where somebody before it does. */
function whoWaits({ nodes }: FlowReading, node: NodeReading): string {
  for (const from of node.from) {
    const before = nodes[from];
    const step = before?.steps.at(-1)?.step;
    if (before !== undefined && step !== undefined && before.waitRoom >= NOTABLE)
      return `, and "${step}" waits for room`;
  }
  return '';
}

function percent(share: number): string {
  return `${Math.round(100 * Math.min(1, Math.max(0, share)))} %`;
}

function plural(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}
