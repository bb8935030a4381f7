/** Makes the nodes of a flow from a segment, joins them by channels, and runs them to the end of the input or to a stop. */
import { type Assembly, type FlowStart, Makings } from './assembly.ts';
import { BarrierClock } from './barrier-clock.ts';
import { branchEnd, mainEnd } from './chain-ends.ts';
import { type Barrier, type Flow, newChannel, runTogether } from './flow.ts';
import { runBatch } from './flow-batch.ts';
import { type NodeFigures, newNode } from './flow-reading.ts';
import { type ChainEnd, runSink } from './flow-sink.ts';
import { runSource } from './flow-source.ts';
import { runStage } from './flow-stage.ts';
import { BranchBarriers, runTee } from './flow-tee.ts';
import { type LaneTo, laneTo } from './make-lane.ts';
import { sinkNode } from './make-sink.ts';
import { sourceNode } from './make-source.ts';
import { stageNode } from './make-stage.ts';
import { unitMs } from './patience.ts';
import { allNodes, type PlannedNode, stepsOf } from './plan.ts';
import type { WatchedNode } from './watch.ts';

/** Resolves when the last barrier is committed. Throws what stopped the flow. */
export async function runFlow(a: Assembly, start: FlowStart): Promise<'finished' | 'interrupted'> {
  const assembler = new Assembler(a, start);
  return assembler.run();
}

class Assembler {
  readonly #m: Makings;
  readonly #channels: Flow[] = [];
  /** Who sends into a channel. */
  readonly #senders = new Map<Flow, NodeFigures>();
  readonly #work: Promise<void>[] = [];
  readonly #enough = new AbortController();
  readonly #clock: BarrierClock;
  /** The batches that a stage writes by itself. */
  #arrays: LaneTo['batch'];
  #last: Barrier['last'] = 'no';

  constructor(a: Assembly, start: FlowStart) {
    this.#m = new Makings(a, start);
    const resumable = start.source.source.kind !== 'once';
    this.#clock = new BarrierClock({
      softMs: resumable ? a.softIntervalMs : Number.POSITIVE_INFINITY,
      hardMs: resumable ? a.hardIntervalMs : Number.POSITIVE_INFINITY,
      n: start.from?.n ?? start.checkpoints,
    });
  }

  async run(): Promise<'finished' | 'interrupted'> {
    await using m = this.#m;
    const { segment, source } = m.start;
    const first = this.#channel();
    this.#measure({ kind: 'source', steps: [m.figures(source.step.id)] }, undefined, [first]);
    const end = mainEnd(m, this.#clock, (last) => {
      this.#last = last;
    });
    this.#chain(segment.nodes, first, end, true);
    this.#work.unshift(this.#source(first));
    await runTogether(this.#work, this.#channels, m.a.kill, m.halt);
    return this.#last === 'interrupted' ? 'interrupted' : 'finished';
  }

  #channel(): Flow {
    const channel = newChannel();
    this.#channels.push(channel);
    return channel;
  }

  #source(out: Flow): Promise<void> {
    const m = this.#m;
    const { source } = m.start;
    const watched = m.a.watch?.node(source.step.id, 'read', unitMs(source.step));
    out.sender = watched;
    // What comes from outside may be long in coming.
    const isOutside = source.source.kind !== 'offset';
    if (isOutside) watched?.waitsOutside(true);
    const waits = (paused: boolean): void => watched?.waitsOutside(paused || isOutside);
    return runSource({ ...sourceNode(m, this.#clock, this.#enough.signal), waits }, out);
  }

  /** Starts the nodes of a chain; `only`: nobody but this chain gets what the source reads. */
  #chain(nodes: readonly PlannedNode[], first: Flow, end: ChainEnd, only: boolean): void {
    let input = first;
    let alone = only;
    nodes.forEach((node, i) => {
      const last = i === nodes.length - 1;
      const out = last ? undefined : this.#channel();
      this.#node(node, input, out, end, alone, nodes.slice(i + 1));
      alone &&= node.kind === 'stage' || node.kind === 'batch';
      if (out !== undefined) input = out;
    });
  }

  /** Has it measured where the time of a node goes, and how full the queues at its ends are. */
  #measure(about: Parameters<typeof newNode>[0], input: Flow | undefined, outputs: readonly Flow[]): NodeFigures {
    const { nodes, queues } = this.#m.start.figures;
    const node = newNode(about);
    nodes.push(node);
    const from = input && this.#senders.get(input);
    if (input !== undefined && from !== undefined) queues.push({ from, to: node, gauge: input });
    for (const out of outputs) this.#senders.set(out, node);
    return node;
  }

  #node(
    node: PlannedNode,
    input: Flow,
    out: Flow | undefined,
    end: ChainEnd,
    alone: boolean,
    behind: readonly PlannedNode[],
  ): void {
    const m = this.#m;
    const watched = this.#watched(node, input, out);
    const branch = node.kind === 'tee' ? this.#channel() : undefined;
    const measured = this.#measure(
      {
        kind: node.kind === 'sink' ? 'sink' : 'stage',
        steps: stepsOf(node).map(({ id }) => m.figures(id)),
        ordered: node.kind !== 'stage' || node.ordered,
        beside: node.kind === 'stage' && node.place === 'beside',
      },
      input,
      [out, branch].filter((flow) => flow !== undefined),
    );
    if (node.kind === 'sink') {
      this.#work.push(runSink(sinkNode(m, node, measured), input, out ?? end));
      return;
    }
    if (out === undefined) throw new Error('a chain ends with a sink');
    if (node.kind === 'stage') {
      const enough = (): void => {
        if (alone) this.#enough.abort();
      };
      const lane = laneTo(m, node, behind);
      if (lane?.batch !== undefined) this.#arrays = lane.batch;
      this.#work.push(runStage(stageNode(m, node, watched, measured, lane?.spec, enough), input, out));
    } else if (node.kind === 'batch') {
      const { id } = node.step;
      this.#work.push(
        runBatch(
          {
            stepId: id,
            spec: node.spec,
            counters: m.figures(id).counters,
            state: m.stateOf(id),
            together: !worksOnBatches(behind),
            checkpoint: () => this.#clock.ask(),
            place: this.#arrays?.node === node ? this.#arrays.place : undefined,
          },
          input,
          out,
        ),
      );
    } else if (branch !== undefined) {
      const barriers = new BranchBarriers();
      const { id } = node.step;
      this.#work.push(runTee({ stepId: id, counters: m.figures(id).counters }, input, out, branch, barriers));
      this.#chain(node.nodes, branch, branchEnd(m, barriers), false);
    }
  }

  /** Has somebody look whether the node moves. */
  #watched(node: PlannedNode, input: Flow, out: Flow | undefined): WatchedNode | undefined {
    const { watch } = this.#m.a;
    const steps = stepsOf(node);
    const mayTake = Math.max(0, ...steps.map((step) => unitMs(step)));
    const name = steps.map(({ id }) => id).join(', ');
    const watched = watch?.node(name, node.kind === 'sink' ? 'write' : 'work', mayTake);
    if (watched === undefined) return undefined;
    watch?.queue(watched, input);
    input.receiver = watched;
    if (out !== undefined) out.sender = watched;
    // Whoever reads what it writes may take a rest.
    if (node.kind === 'sink' && node.sink.target === 'standard output') watched.waitsOutside(true);
    return watched;
  }
}

/** Some node up to the next batch takes a block for its unit of work. */
function worksOnBatches(nodes: readonly PlannedNode[]): boolean {
  const next = nodes.findIndex(({ kind }) => kind === 'batch');
  return allNodes(next < 0 ? nodes : nodes.slice(0, next)).some(
    (node) => node.kind === 'stage' && node.place === 'beside',
  );
}
