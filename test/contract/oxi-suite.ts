/** What every oxi promises, whatever it reads, does or writes: `describeSource`, `describeStep`, `describeSink`. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import * as z from 'zod';
import type { Block, MakeContext, Sink, SinkRun, Source, Split, Tier } from '../../runner/engine/contracts.ts';
import { OxiError } from '../../runner/engine/errors.ts';
import { StageProgram } from '../../runner/engine/stage.ts';
import type { OnError, StageSpec } from '../../runner/engine/stage-spec.ts';
import { tierAsked } from '../../runner/engine/tiers.ts';
import { makeSteps } from '../../runner/oxis/make.ts';
import { registry } from '../../runner/oxis/registry.ts';

/** Descriptors that are open in this process, where the system shows them. The listing's own one counts every time. */
function openFiles(): string[] {
  return process.platform === 'linux' ? readdirSync('/proc/self/fd') : [];
}

/** Runs `work`; fails where a descriptor is open behind it that was not before. */
async function leavingNothingOpen(work: () => Promise<void>): Promise<void> {
  const before = new Set(openFiles());
  await work();
  expect(openFiles().filter((fd) => !before.has(fd))).toEqual([]);
}

function inFolder(): { path: string } {
  const folder = { path: '' };
  beforeEach(() => {
    folder.path = mkdtempSync(join(tmpdir(), 'oxiflow-oxi-'));
  });
  afterEach(() => rmSync(folder.path, { recursive: true }));
  return folder;
}

export function configOf(oxi: string, config: Record<string, unknown>): never {
  const definition = registry.get(oxi);
  if (definition === undefined) throw new Error(`no oxi ${oxi}`);
  return z.parse(definition.config as z.ZodType, config) as never;
}

export function makeSource(oxi: string, config: Record<string, unknown>, context: MakeContext): Source {
  const definition = registry.get(oxi);
  if (definition?.kind !== 'source') throw new Error(`${oxi} is no source`);
  return definition.make(configOf(oxi, config), context);
}

export function makeSink(oxi: string, config: Record<string, unknown>, context: MakeContext): Sink {
  const definition = registry.get(oxi);
  if (definition?.kind !== 'sink') throw new Error(`${oxi} is no sink`);
  return definition.make(configOf(oxi, config), context);
}

// ---------------------------------------------------------------- sources

export interface SourceHarness {
  oxi: string;
  /** A source over `content`, and how many bytes it has asked for so far. */
  make(content: Buffer, folder: string): Promise<{ source: Source; asked(): number }>;
  /** Bytes that it may ask for beyond what was taken from it. */
  ahead: number;
}

const NEVER = new AbortController().signal;

/** A few MB in which every place is different. */
function rides(): Buffer {
  return Buffer.from(Array.from({ length: 150_000 }, (_, i) => `{"ride":${i}}\n`).join(''));
}

async function collect(source: Source, split: Split, from: number, take = Number.POSITIVE_INFINITY): Promise<Buffer> {
  const parts: Buffer[] = [];
  let at = from;
  for await (const { bytes, after } of source.open(split, from, NEVER)) {
    at += bytes.byteLength;
    expect(after).toBe(at);
    parts.push(Buffer.from(bytes));
    if (parts.length >= take) break;
  }
  return Buffer.concat(parts);
}

async function onlySplit(source: Source): Promise<Split> {
  const [split] = await source.splits();
  if (split === undefined) throw new Error('no split');
  return split;
}

export function describeSource({ oxi, make, ahead }: SourceHarness): void {
  describe(`the source ${oxi}`, () => {
    const folder = inFolder();

    test('gives every byte once, in order, with its position', async () => {
      const content = rides();
      const { source } = await make(content, folder.path);
      expect((await collect(source, await onlySplit(source), 0)).equals(content)).toBe(true);
      await source.close();
    });

    test('gives nothing for an empty input', async () => {
      const { source } = await make(Buffer.alloc(0), folder.path);
      expect(await collect(source, await onlySplit(source), 0)).toHaveLength(0);
      await source.close();
    });

    test('shows its first bytes without consuming them', async () => {
      const content = Buffer.from('{"ride":1}\n{"ride":2}\n');
      const { source } = await make(content, folder.path);
      const split = await onlySplit(source);
      expect(Buffer.from(await source.peek(split, 4)).toString()).toBe('{"ri');
      expect(Buffer.from(await source.peek(split, 1000)).equals(content)).toBe(true);
      expect((await collect(source, split, 0)).equals(content)).toBe(true);
      await source.close();
    });

    test('goes on at any position, or says that it is read once', async () => {
      const content = rides();
      const { source } = await make(content, folder.path);
      const split = await onlySplit(source);
      if (source.kind === 'once') expect(source.fingerprint).toBeUndefined();
      else {
        for (const from of [1, 65_536, 524_288, 1_000_001, content.length - 1, content.length])
          expect((await collect(source, split, from)).equals(content.subarray(from))).toBe(true);
        expect(await source.recorded([split])).toEqual([split]);
      }
      await source.close();
    });

    test('reads no further ahead than it may while nobody takes', async () => {
      const content = rides();
      const { source, asked } = await make(content, folder.path);
      const blocks = source.open(await onlySplit(source), 0, NEVER)[Symbol.asyncIterator]();
      let taken = 0;
      for (let i = 0; i < 3; i++) {
        const { value } = await blocks.next();
        taken += value?.bytes.byteLength ?? 0;
        expect(asked()).toBeLessThanOrEqual(taken + ahead);
      }
      await blocks.return?.();
      await source.close();
    });

    test('ends without an error once it is aborted, and leaves nothing open', async () => {
      const content = rides();
      await leavingNothingOpen(async () => {
        const { source } = await make(content, folder.path);
        const abort = new AbortController();
        let taken = 0;
        for await (const { bytes } of source.open(await onlySplit(source), 0, abort.signal)) {
          taken += bytes.byteLength;
          abort.abort();
        }
        expect(taken).toBeGreaterThan(0);
        expect(taken).toBeLessThan(content.length);
        await source.close();
      });
    });

    test('leaves nothing open when its reader stops early', async () => {
      await leavingNothingOpen(async () => {
        const { source } = await make(rides(), folder.path);
        await collect(source, await onlySplit(source), 0, 1);
        await source.close();
      });
    });
  });
}

// ---------------------------------------------------------------- steps

export interface StepHarness {
  oxi: string;
  config?: Record<string, unknown>;
  /** Record i of many, and what becomes of it. */
  record(i: number): string;
  becomes(i: number): readonly string[];
  /** Records that this step refuses; absent where there are none. */
  bad?: readonly string[];
  /** It is the parser of its stage itself: its records are rows of these columns. */
  columns?: readonly string[];
}

export function blockOf(records: readonly string[], columns?: readonly string[]): Block {
  const bytes = Buffer.from(records.map((record) => `${record}\n`).join(''));
  const spans = new Uint32Array(2 * records.length);
  const offsets = new Float64Array(records.length);
  let at = 0;
  records.forEach((record, i) => {
    spans[2 * i] = at;
    offsets[i] = at;
    at += Buffer.byteLength(record);
    spans[2 * i + 1] = at;
    at++;
  });
  const block: Block = { bytes: Uint8Array.from(bytes), spans, offsets, count: records.length, split: 0 };
  return columns === undefined ? block : { ...block, columns };
}

/** The same as a source leaves it to a stage that works on bytes: nobody has cut the lines. */
export function pieceOf(records: readonly string[]): Block {
  const { bytes, split } = blockOf(records);
  const uncut = { offset: 0, broken: [] };
  return { bytes, spans: new Uint32Array(), offsets: new Float64Array(), count: 0, split, uncut };
}

export const TIERS: readonly Tier[] = ['values', 'spans', 'bytes'];

export function recordsOf(block: Block): string[] {
  const bytes = Buffer.from(block.bytes.buffer, block.bytes.byteOffset, block.bytes.byteLength);
  return Array.from({ length: block.count }, (_, i) =>
    bytes.toString('utf8', block.spans[2 * i], block.spans[2 * i + 1]),
  );
}

/** A stage of parse_json and the step. */
export function stageOf(
  steps: readonly { oxi: string; config?: Record<string, unknown>; onError?: OnError }[],
): StageSpec {
  return {
    steps: [{ oxi: 'parse_json' }, ...steps].map(({ oxi, ...more }, i) => ({
      id: i === 0 ? 'parse' : `${oxi}_${i}`,
      oxi,
      config: configOf(oxi, 'config' in more ? (more.config ?? {}) : {}),
      onError: 'onError' in more ? (more.onError ?? 'stop') : 'stop',
      limits: {},
    })),
    projectRoot: '/',
    stream: { framing: 'lines', selected: false },
    splitNames: ['rides.ndjson'],
    checked: false,
    now: 0,
    params: [],
    env: [],
    tier: tierAsked(process.env),
  };
}

/** The step alone, as the parser of its stage. */
function parserStage(spec: StageSpec): StageSpec {
  return { ...spec, steps: spec.steps.slice(1), stream: { framing: 'rows', selected: false } };
}

export function describeStep({ oxi, config = {}, record, becomes, bad = [], columns }: StepHarness): void {
  // Rows are cut before they come.
  describe.each(columns === undefined ? TIERS : (['values'] as const))(`the step ${oxi} on %s`, (tier) => {
    const stageOfStep = (step: Parameters<typeof stageOf>[0][number]): StageSpec => {
      const spec = { ...stageOf([step]), tier };
      return columns === undefined ? spec : parserStage(spec);
    };
    const blockOfStep = (records: readonly string[]): Block =>
      tier === 'values' ? blockOf(records, columns) : pieceOf(records);
    const COUNT = 500;
    const all = Array.from({ length: COUNT }, (_, i) => record(i));
    const expected = all.flatMap((_, i) => becomes(i));

    test('keeps the order, in one block and in many', async () => {
      const program = new StageProgram(stageOfStep({ oxi, config }), makeSteps);
      expect(recordsOf((await program.process(blockOfStep(all))).block)).toEqual(expected);
      await program.close();
      const other = new StageProgram(stageOfStep({ oxi, config }), makeSteps);
      const found: string[] = [];
      for (let at = 0; at < COUNT; at += 7)
        found.push(...recordsOf((await other.process(blockOfStep(all.slice(at, at + 7)))).block));
      expect(found).toEqual(expected);
      await other.close();
    });

    test('is the same step when its configuration has crossed to a thread', async () => {
      const spec = structuredClone(stageOfStep({ oxi, config }));
      const { block } = await new StageProgram(spec, makeSteps).process(blockOfStep(all));
      expect(recordsOf(block)).toEqual(expected);
    });

    test('counts every record that comes in, goes out or is left out', async () => {
      const program = new StageProgram(stageOfStep({ oxi, config, onError: 'drop' }), makeSteps);
      const mixed = [...all.slice(0, 20), ...bad, ...all.slice(20)];
      const { block, counters } = await program.process(blockOfStep(mixed));
      expect(recordsOf(block)).toEqual(expected);
      const c = counters.at(-1);
      expect(c).toMatchObject({ in: mixed.length, out: expected.length, dropped: bad.length });
      expect((c?.in ?? 0) + (c?.added ?? 0)).toBe(
        (c?.out ?? 0) + (c?.filtered ?? 0) + (c?.dropped ?? 0) + (c?.collected ?? 0),
      );
    });

    test.each(bad.map((text) => [text]))('refuses %s and names the step and the place', async (text) => {
      const program = new StageProgram(stageOfStep({ oxi, config }), makeSteps);
      const error = await program.process(blockOfStep([record(0), text])).then(
        () => expect.fail('accepted'),
        (thrown: unknown) => thrown,
      );
      expect(error).toBeInstanceOf(OxiError);
      const { code, place, message } = error as OxiError;
      expect(code).toBe('RECORD_INVALID');
      expect(place.step).toBe(`${oxi}_1`);
      expect(place.offset).toBeGreaterThanOrEqual(record(0).length + 1);
      expect(message).toContain('rides.ndjson: record at byte');
    });

    test('leaves nothing open', async () => {
      await leavingNothingOpen(async () => {
        const program = new StageProgram(stageOfStep({ oxi, config }), makeSteps);
        await program.process(blockOfStep(all));
        await program.close();
      });
    });
  });
}

// ---------------------------------------------------------------- sinks

export interface SinkHarness {
  oxi: string;
  /** What is special about it. */
  as?: string;
  make(folder: string): Sink;
  /** What stands in the output; undefined where there is none yet. */
  output(folder: string): Buffer | undefined;
  /** Bytes that stand there, where those are not the text itself. */
  size?(folder: string): number;
  /** What somebody who looks into the folder sees. */
  left(folder: string): string[];
}

export function sinkRun(token: number, more: Partial<SinkRun> = {}): SinkRun {
  return {
    runKey: 'nightly',
    runId: '0b6f2a0e-4a0e-4f6e-9b1e-7d4a1f1f1f1f',
    pipeline: 'nightly',
    step: 'out',
    token,
    finishing: false,
    ...more,
  };
}

export const text = (...records: string[]): Buffer => Buffer.from(records.map((record) => `${record}\n`).join(''));

export function describeSink({ oxi, make, output, size, left, as = '' }: SinkHarness): void {
  describe(`the sink ${oxi}${as}`, () => {
    const folder = inFolder();

    test('keeps the order and says what it made', async () => {
      const sink = make(folder.path);
      await sink.check?.();
      expect(await sink.open(sinkRun(1), undefined)).toEqual({ at: 'mark' });
      const parts = Array.from({ length: 50 }, (_, i) => text(`{"ride":${i}}`, `{"ride":${i}.5}`));
      for (const part of parts) await sink.write(part, 2);
      const mark = await sink.prepare(1, 'hard');
      const all = Buffer.concat(parts);
      expect(mark).toMatchObject({ n: 1, records: 100 });
      expect(JSON.parse(JSON.stringify(mark))).toEqual(mark);
      expect(await sink.finish(mark)).toMatchObject({ rows: 100, bytes: mark.bytes });
      await sink.close();
      expect(mark.bytes).toBe(size?.(folder.path) ?? all.length);
      expect(output(folder.path)?.toString()).toBe(all.toString());
    });

    test('shows nothing before it finishes, unless it can take nothing back', async () => {
      const sink = make(folder.path);
      await sink.open(sinkRun(1), undefined);
      await sink.write(text('1'), 1);
      await sink.prepare(1, 'soft');
      if (sink.guarantee !== 'append') expect(output(folder.path)).toBeUndefined();
      else expect(output(folder.path)?.toString()).toBe('1\n');
      await sink.abort();
      await sink.close();
    });

    test('goes on at its mark, and counts on from there', async () => {
      const first = make(folder.path);
      await first.open(sinkRun(1), undefined);
      await first.write(text('1', '2'), 2);
      const mark = await first.prepare(1, 'soft');
      await first.write(text('3'), 1);
      await first.close();
      const second = make(folder.path);
      const predecessor = { token: 1, provenDead: true };
      expect(await second.open(sinkRun(2, { predecessor }), mark)).toEqual({ at: 'mark' });
      await second.write(text('3', '4'), 2);
      const last = await second.prepare(2, 'hard');
      expect(last).toMatchObject({ n: 2, records: 4 });
      await second.finish(last);
      await second.close();
      expect(last.bytes).toBe(size?.(folder.path) ?? 8);
      const repeated = second.guarantee === 'append' ? '3\n' : '';
      expect(output(folder.path)?.toString()).toBe(`1\n2\n${repeated}3\n4\n`);
    });

    test('leaves nothing behind when the run is given up', async () => {
      const before = left(folder.path);
      const sink = make(folder.path);
      await sink.open(sinkRun(1), undefined);
      await sink.write(text('1'), 1);
      await sink.prepare(1, 'hard');
      await sink.abort();
      await sink.close();
      expect(left(folder.path)).toEqual(before);
    });

    test('leaves nothing open, finished or not', async () => {
      await leavingNothingOpen(async () => {
        for (const ends of ['finish', 'stop'] as const) {
          const sink = make(folder.path);
          await sink.open(sinkRun(1), undefined);
          await sink.write(text('1'), 1);
          const mark = await sink.prepare(1, 'hard');
          if (ends === 'finish') await sink.finish(mark);
          await sink.close();
          await sink.close();
        }
      });
    });
  });
}
