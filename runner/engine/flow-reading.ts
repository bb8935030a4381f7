/** Readings of a running flow: all clocks at one moment, and what the nodes did between two moments, as shares of the time. */

import { type QueueGauge, type ThreadUsage, threadMicros, WaitClock } from './gauge.ts';

/** One node of the flow, live, of this attempt. */
export interface NodeFigures {
  readonly kind: 'source' | 'stage' | 'sink';
  /** It needs every block in order, so it can have no more than one thread. */
  readonly ordered: boolean;
  /** It waits for something outside most of the time: being busy is no work of the main thread. */
  readonly beside: boolean;
  readonly steps: readonly { readonly id: string; readonly busyMs: number }[];
  /** By `performance.now()`. */
  readonly startedAt: number;
  /** Threads of its own that were started; with none it works on the main thread. */
  pool: number;
  /** Processor time of these, in microseconds. */
  cpuMicros: number;
  /** Memory of each of them, in bytes. */
  readonly memory: Map<number, number>;
  /** Waiting for what it writes to. */
  readonly outside: WaitClock;
}

/** What is measured of a flow; nodes and queues of later segments join when they start. */
export interface FlowFigures {
  readonly nodes: NodeFigures[];
  readonly queues: { readonly from: NodeFigures; readonly to: NodeFigures; readonly gauge: QueueGauge }[];
}

export function newNode(
  about: Pick<NodeFigures, 'kind' | 'steps'> & Partial<Pick<NodeFigures, 'ordered' | 'beside'>>,
): NodeFigures {
  return {
    ordered: false,
    beside: false,
    ...about,
    startedAt: performance.now(),
    pool: 0,
    cpuMicros: 0,
    memory: new Map(),
    outside: new WaitClock(),
  };
}

/** Takes in what a thread of a node's pool says of itself. */
export function noteUsage(node: NodeFigures, { thread, cpuMicros, memoryBytes }: ThreadUsage): void {
  node.cpuMicros += cpuMicros;
  if (memoryBytes !== undefined) node.memory.set(thread, memoryBytes);
}

interface NodeMoment {
  busyMs: number;
  steps: readonly number[];
  waitInputMs: number;
  waitRoomMs: number;
  outsideMs: number;
  /** From its start to its end. */
  aliveMs: number;
  cpuMicros: number;
}

/** All clocks of a flow at one moment; milliseconds since the process began. */
export interface FlowMoment {
  at: number;
  /** Of the main thread. */
  mainBusyMs: number;
  mainCpuMicros: number;
  /** Of the whole process. */
  cpuMicros: number;
  nodes: readonly NodeMoment[];
}

export function momentOf(figures: FlowFigures, at = performance.now()): FlowMoment {
  const { user, system } = process.cpuUsage();
  return {
    at,
    mainBusyMs: performance.eventLoopUtilization().active,
    mainCpuMicros: threadMicros(),
    cpuMicros: user + system,
    nodes: figures.nodes.map((node) => {
      const { steps, outside, cpuMicros, startedAt } = node;
      const inputs = figures.queues.filter(({ to }) => to === node).map(({ gauge }) => gauge);
      const outputs = figures.queues.filter(({ from }) => from === node).map(({ gauge }) => gauge);
      // A node has ended when it has closed what goes on, or, at the end of the flow, seen the end of what comes.
      const ends = outputs.length > 0 ? outputs.map((gauge) => gauge.closedAt) : inputs.map((gauge) => gauge.endedAt);
      const ended = ends.length > 0 && ends.every((end) => end !== undefined) ? Math.max(...ends) : at;
      return {
        busyMs: steps.reduce((sum, step) => sum + step.busyMs, 0),
        steps: steps.map((step) => step.busyMs),
        waitInputMs: inputs.reduce((sum, gauge) => sum + gauge.waits.input.total(at), 0),
        waitRoomMs: outputs.reduce((sum, gauge) => sum + gauge.waits.room.total(at), 0),
        outsideMs: outside.total(at),
        aliveMs: Math.max(0, Math.min(at, ended) - startedAt),
        cpuMicros,
      };
    }),
  };
}

export interface NodeReading {
  kind: 'source' | 'stage' | 'sink';
  /** It can have no more than one thread. */
  ordered: boolean;
  /** It works beside the main thread without a thread: it waits. */
  beside: boolean;
  steps: readonly { step: string; busyMs: number }[];
  /** Threads of its own; 0 where it works on the main thread. */
  pool: number;
  /** Shares of the time, 0 to 1. Alive: not yet at its end. */
  alive: number;
  waitInput: number;
  waitRoom: number;
  /** Waiting for what it writes to. */
  outside: number;
  /** At work, a thread. */
  busy: number;
  /** Of its own threads, in microseconds. */
  cpuMicros: number;
  /** Of its own threads, in bytes, as far as they said so. */
  memoryBytes: number;
  /** Places of the nodes that it gets its input from. */
  from: readonly number[];
}

export interface FlowReading {
  elapsedMs: number;
  /** Share of the time that the main thread was at work, 0 to 1. */
  main: number;
  mainCpuMicros: number;
  /** Of the whole process. */
  cpuMicros: number;
  nodes: readonly NodeReading[];
}

export function between(figures: FlowFigures, from: FlowMoment, to: FlowMoment): FlowReading {
  const elapsedMs = Math.max(0, to.at - from.at);
  const share = (ms: number): number => (elapsedMs > 0 ? Math.min(1, Math.max(0, ms / elapsedMs)) : 0);
  const main = share(to.mainBusyMs - from.mainBusyMs);
  return {
    elapsedMs,
    main,
    mainCpuMicros: Math.max(0, to.mainCpuMicros - from.mainCpuMicros),
    cpuMicros: Math.max(0, to.cpuMicros - from.cpuMicros),
    nodes: figures.nodes.map((node, n) => {
      const { kind, ordered, beside, steps, pool, memory } = node;
      const [a, b] = [from.nodes[n], to.nodes[n]];
      const since = (of: (moment: NodeMoment) => number): number =>
        // One that is new since then began at nothing.
        b === undefined ? 0 : Math.max(0, of(b) - (a === undefined ? 0 : of(a)));
      return {
        kind,
        ordered,
        beside,
        steps: steps.map(({ id }, i) => ({ step: id, busyMs: since((moment) => moment.steps[i] ?? 0) })),
        pool,
        alive: share(since((moment) => moment.aliveMs)),
        waitInput: share(since((moment) => moment.waitInputMs)),
        waitRoom: share(since((moment) => moment.waitRoomMs)),
        // Who is called back late, because the main thread was at work, did not wait for anything outside.
        outside: Math.min(share(since((moment) => moment.outsideMs)), 1 - main),
        busy: share(since((moment) => moment.busyMs) / Math.max(1, pool)),
        cpuMicros: since((moment) => moment.cpuMicros),
        memoryBytes: [...memory.values()].reduce((sum, bytes) => sum + bytes, 0),
        from: figures.queues.filter(({ to }) => to === node).map((queue) => figures.nodes.indexOf(queue.from)),
      };
    }),
  };
}
