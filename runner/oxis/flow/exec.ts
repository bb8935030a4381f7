/**
 * `exec`: a program of the user's own works on the records: JSON lines on its standard input and output, one line out for each
 * line in, in order. It is started for the first block and lives to the end of the stream; where it dies, or takes too long, another
 * one is started and sees some records again.
 */
import { isUtf8 } from 'node:buffer';
import { resolve } from 'node:path';
import * as z from 'zod/mini';
import type { Block, BlockStep, FailRecord, MakeContext, StepContext } from '../../engine/contracts.ts';
import { RecordError } from '../../engine/contracts.ts';
import { OxiError } from '../../engine/errors.ts';
import { Secret } from '../../engine/secret.ts';
import { giveBuffer, takeBuffer } from '../../kernel/buffers.ts';
import { PathTree } from '../../kernel/paths.ts';
import { JsonRecord } from '../../kernel/record.ts';
import { SpanList } from '../../kernel/spans.ts';
import { firstBadUtf8 } from '../../kernel/utf8.ts';
import { ByteWriter } from '../../kernel/writer.ts';
import { defineStep, field, inOrder } from '../define.ts';
import { Child } from './child.ts';

const plain = () => z.string().check(z.regex(/^[^\0]*$/, 'must not hold a NUL character'));

const config = () =>
  z.strictObject({
    command: field(
      z.array(plain()).check(
        z.minLength(1),
        z.refine(([program]) => program !== '', { error: 'must begin with the name of a program' }),
      ),
      'The program and its arguments, a list; no shell reads it. It gets a JSON line for each record and has to answer each with one line, in order and without keeping it back (`jq --unbuffered`, `sed -u`, `stdbuf -oL`; Python is told so).',
    ),
    cwd: field(z._default(plain().check(z.minLength(1)), '.'), "Its folder; a relative one counts from the project's."),
    env: field(
      z._default(inOrder(z.string().check(z.regex(/^[^=\0]+$/, 'must be the name of a variable')), plain()), new Map()),
      'Variables for it, beside PATH, HOME, USER, LANG, LC_*, TZ and TMPDIR; it sees no others. Their values are never printed, and another value is not another plan.',
      { secret: true },
    ),
  });

type Config = z.output<ReturnType<typeof config>>;

export const exec = defineStep({
  name: 'exec',
  kind: 'step',
  summary: 'Lets a program of your own work on the records: JSON lines in, JSON lines out.',
  // Its time ends before a run in which nothing moves does: what took too long may be tried again, what is stuck is over.
  limits: { maxBatchSize: 10_000, maxMemoryMb: 256, maxProcessingTimeMs: 300_000, concurrentOperations: 16 },
  config,
  waits: true,
  make: (c, context): BlockStep => new ExecStep(c, context),
});

const LF = 0x0a;
const SPACE = 0x20;
const SHORTEST_SECRET = 4;

/** What a program needs to know of the machine and its user; nothing of what else this process was given. */
const PASSED_ON = /^(PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_[A-Z]+|TZ|TMPDIR)$/;

class ExecStep implements BlockStep {
  readonly form = 'block';
  readonly cardinality = 'one';
  readonly state = 'none';
  readonly #c: Config;
  readonly #context: MakeContext;
  readonly #record = new JsonRecord(new PathTree([]));
  readonly #spans = new SpanList();
  #child: Child | undefined;
  #closed = false;

  constructor(c: Config, context: MakeContext) {
    this.#c = c;
    this.#context = context;
  }

  get doing(): string | undefined {
    return this.#child?.doing;
  }

  async process(block: Block, _context: StepContext, fail: FailRecord): Promise<Block> {
    if (block.count === 0) return block;
    if (this.#closed)
      throw new OxiError(
        'EXEC_FAILED',
        `step "${this.#context.stepId}": the run ended before its program was started`,
        {
          place: { step: this.#context.stepId },
        },
      );
    this.#child ??= this.#start();
    const lines = linesOf(block);
    const answer = await this.#child.exchange(lines, block.count);
    giveBuffer(lines);
    return this.#read(answer, block, fail);
  }

  #start(): Child {
    const { command, cwd, env } = this.#c;
    const { projectRoot, stepId, debug } = this.#context;
    const own = [...(env as ReadonlyMap<string, string | Secret>)].map(([name, value]): [string, string] => [
      name,
      value instanceof Secret ? value.reveal() : value,
    ]);
    const passedOn = Object.entries(process.env).filter(([name]) => PASSED_ON.test(name));
    return new Child({
      command,
      cwd: resolve(projectRoot, cwd),
      env: { PYTHONUNBUFFERED: '1', ...Object.fromEntries(passedOn), ...Object.fromEntries(own) },
      step: stepId,
      // Shorter ones are no secrets, and would garble every line.
      secrets: own.map(([, value]) => value).filter((value) => value.length >= SHORTEST_SECRET),
      debug,
    });
  }

  /** Line i is what became of record i. */
  #read(answer: Buffer, block: Block, fail: FailRecord): Block {
    const out = new ByteWriter(answer.length + 64);
    const allUtf8 = isUtf8(answer);
    let from = 0;
    for (let i = 0; i < block.count; i++) {
      const end = answer.indexOf(LF, from);
      const refused = this.#refused(answer, from, end, allUtf8);
      if (refused === undefined) {
        const at = out.length;
        this.#record.emit(out);
        this.#spans.add(at, out.length, block.offsets[i] as number);
        out.byte(LF);
      } else fail(i, new RecordError(`"${this.#c.command[0]}" answered with ${refused}`, undefined, 'REFUSED'));
      from = end + 1;
    }
    return { ...block, bytes: out.bytes.subarray(0, out.length), ...this.#spans.take() };
  }

  /** Why a line is no record; undefined where it is the one at hand. */
  #refused(bytes: Buffer, from: number, to: number, allUtf8: boolean): string | undefined {
    let start = from;
    let end = to;
    while (start < end && isSpace(bytes[start] as number)) start++;
    while (end > start && isSpace(bytes[end - 1] as number)) end--;
    if (start === end) return 'an empty line';
    const broken = this.#record.load(bytes, start, end);
    if (broken !== undefined) return `what is no JSON: ${broken.reason} (byte ${broken.at} of its line)`;
    const bad = allUtf8 ? -1 : firstBadUtf8(bytes, start, end);
    return bad < 0 ? undefined : `what is no UTF-8 text (byte ${bad - start} of its line)`;
  }

  async end(): Promise<void> {
    await this.#child?.end();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#child?.kill();
  }
}

/** The records as lines, in memory of their own. White space inside a record may hold line feeds. */
function linesOf({ bytes, spans, count }: Block): Buffer {
  let size = count;
  for (let i = 0; i < 2 * count; i += 2) size += (spans[i + 1] as number) - (spans[i] as number);
  const lines = takeBuffer(size).subarray(0, size);
  let at = 0;
  for (let i = 0; i < 2 * count; i += 2) {
    const start = spans[i] as number;
    const end = spans[i + 1] as number;
    for (let p = start; p < end; p++) {
      const c = bytes[p] as number;
      lines[at++] = c === LF ? SPACE : c;
    }
    lines[at++] = LF;
  }
  return lines;
}

function isSpace(c: number): boolean {
  return c === SPACE || c === 0x09 || c === 0x0d;
}
