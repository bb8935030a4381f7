/** `oxiflow map 'EXPRESSION' < records`: tries an expression; its value for each record is a line of JSON on standard output. */
import { Command } from 'commander';
import * as z from 'zod/mini';
import type { ParserOxi, RecordStep, Source, SourceOxi } from '../engine/contracts.ts';
import { RecordError } from '../engine/contracts.ts';
import { noCounters } from '../engine/counters.ts';
import { EXIT, OxiError } from '../engine/errors.ts';
import { detectStream } from '../engine/first-look.ts';
import { type BlockItem, newChannel } from '../engine/flow.ts';
import { runSource } from '../engine/flow-source.ts';
import { sayIfSlow } from '../engine/slow.ts';
import { StageProgram } from '../engine/stage.ts';
import type { StageSpec } from '../engine/stage-spec.ts';
import { compileExpression } from '../expressions/compile.ts';
import { ExpressionError } from '../expressions/errors.ts';
import { toJson } from '../expressions/stringify.ts';
import { compileRecordExpression } from '../oxis/expression.ts';
import { readFile } from '../oxis/files/read-file.ts';
import { readStdin } from '../oxis/files/read-stdin.ts';
import { parseJson } from '../oxis/formats/parse-json.ts';
import { collected, instant } from './options.ts';
import { print, refuseClosedOutput } from './output.ts';
import { printable } from './state-store.ts';

interface Options {
  where?: true;
  file?: string;
  param?: string[];
  now?: number;
}

const STEP = 'map';
/** Of an expression so much is shown around the place that is wrong. */
const SHOWN_BEFORE = 60;
const SHOWN = 76;

export function command(): Command {
  return new Command('map')
    .description('try an expression: its value for each record, a line of JSON each')
    .argument('<expression>', "as in a pipeline; in 'single quotes', for the shell")
    .option('--where', 'print the records for which it is true instead')
    .option('--file <file>', 'read records from a file (.gz, .zst too), not from standard input')
    .option('--param <name=value>', 'what params.NAME is (repeatable)', collected)
    .option('--now <time>', 'what now() is, such as 2026-07-31T10:00:00Z', instant)
    .addHelpText(
      'after',
      `
Records are JSON lines, an array or one document. Errors of a record go to
standard error with its number; the exit code is 3 then.
  oxiflow map 'round(total * 19) / 100' < orders.ndjson`,
    )
    .action(async (expression: string, options: Options) => {
      refuseClosedOutput('map');
      const say = (message: string): void => void process.stderr.write(`${message}\n`);
      process.exitCode = await sayIfSlow(say, 'reading records', map(expression, options)).catch((error) => {
        throw inOwnWords(error);
      });
    });
}

/** What is wrong with the input, told without the step and the fields that a pipeline would have. */
function inOwnWords(error: unknown): unknown {
  if (!(error instanceof OxiError)) return error;
  const message = error.message
    .replace(/^step "map": /, 'oxiflow map: --file ')
    .replace('; correct "path", or put the file there', '; correct --file, or put the file there')
    .replace(
      /is packed with (\w+), and its name.*$/,
      'is packed with $1: unpack it first, or use --file with its ending',
    );
  return message === error.message ? error : new OxiError(error.code, message, { cause: error });
}

async function map(text: string, options: Options): Promise<number> {
  const trial = new Trial(text, options.where === true);
  const source = sourceOf(options);
  const splits = await source.splits();
  const config = z.parse(parseJson.config as z.ZodMiniType, {});
  const parser = { oxi: parseJson as ParserOxi, config, select: undefined };
  const stream = await detectStream(source, splits, parser);
  const spec: StageSpec = {
    steps: ['parse_json', STEP].map((id) => ({ id, oxi: id, config: {}, onError: 'dead_letter', limits: {} })),
    projectRoot: process.cwd(),
    stream,
    splitNames: splits.map(({ name }) => name),
    checked: false,
    now: options.now ?? Date.now(),
    params: paramsOf(options.param ?? []),
    env: Object.entries(process.env).map(([name, value]): [string, string] => [name, value ?? '']),
  };
  const program = new StageProgram(spec, () => [
    (parseJson as ParserOxi).make(config as never, { projectRoot: spec.projectRoot, stepId: 'parse_json' }),
    trial.step,
  ]);
  const blocks = newChannel();
  const halt = new AbortController();
  const never = new AbortController().signal;
  const reading = runSource(
    {
      source,
      splits,
      stepId: 'input',
      parser: { ...parser, stream },
      cutsLater: false,
      direct: undefined,
      counters: noCounters(),
      from: { split: 0, offset: 0, records: 0, framer: null },
      limit: Number.POSITIVE_INFINITY,
      due: () => undefined,
      nextBarrier: () => 1,
      stop: never,
      enough: halt.signal,
      reading: halt.signal,
      progress: () => undefined,
      busy: () => undefined,
      say: (message) => process.stderr.write(`${printable(message)}\n`),
    },
    blocks,
  ).catch((error) => blocks.fail(error));
  try {
    for (let item = await blocks.receive(); item !== undefined; item = await blocks.receive())
      if (item.kind === 'block') await trial.take(item, program);
  } finally {
    halt.abort();
    blocks.fail(new Error('the records are no longer wanted'));
    await reading;
    await source.close();
  }
  return trial.failed ? EXIT.data : EXIT.ok;
}

/** The expression at work: what it gave for the block at hand, and what it could not do. */
class Trial {
  readonly step: RecordStep;
  readonly #where: boolean;
  #values: string[] = [];
  /** Records before the block at hand. */
  #before = 0;
  failed = false;

  constructor(text: string, where: boolean) {
    this.#where = where;
    const expression = compiled(text);
    this.step = {
      form: 'record',
      cardinality: 'filter',
      touches: expression.touches,
      apply: (record, context) => {
        const value = expression.evaluate(record, context);
        if (!where) {
          this.#values.push(toJson(value));
          return 'filter';
        }
        if (typeof value !== 'boolean') throw new RecordError('the expression must be true or false for every record');
        return value ? 'keep' : 'filter';
      },
    };
  }

  async take({ block, broken }: BlockItem, program: StageProgram): Promise<void> {
    const offsets = [...block.offsets.subarray(0, block.count), ...broken.map(({ offset }) => offset)];
    if (broken.length > 0) offsets.sort((a, b) => a - b);
    const { block: kept, letters } = await program.process(block);
    const lines = this.#where ? linesOf(kept) : this.#values;
    this.#values = [];
    if (lines.length > 0) await print(`${lines.join('\n')}\n`);
    const bad = [
      ...letters.map(({ offset, reason }) => ({ offset, reason })),
      ...broken.map(({ offset, error }) => ({ offset, reason: error.message })),
    ].sort((a, b) => a.offset - b.offset);
    for (const { offset, reason } of bad)
      process.stderr.write(`record ${this.#before + offsets.indexOf(offset) + 1}: ${printable(reason)}\n`);
    this.failed ||= bad.length > 0;
    this.#before += offsets.length;
  }
}

function linesOf({ bytes, spans, count }: BlockItem['block']): string[] {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: count }, (_, i) => buffer.toString('utf8', spans[2 * i], spans[2 * i + 1]));
}

/** Throws OxiError COMMAND_INVALID, with a mark under the place. */
function compiled(text: string): ReturnType<typeof compileRecordExpression> {
  try {
    compileExpression(text, { allowed: 'record' });
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error;
    throw new OxiError('COMMAND_INVALID', marked(error), { cause: error });
  }
  return compileRecordExpression(text, STEP, 'expression');
}

function marked({ message, expression, offset }: ExpressionError): string {
  const from = expression.lastIndexOf('\n', offset - 1) + 1;
  const end = expression.indexOf('\n', offset);
  const line = expression.slice(from, end < 0 ? undefined : end);
  const start = Math.max(0, offset - from - SHOWN_BEFORE);
  const before = printable(line.slice(start, offset - from));
  const shown = before + printable(line.slice(offset - from, start + SHOWN));
  const [what = ''] = message.split(' (at character ');
  return `oxiflow map: ${what}\n  ${shown}\n  ${' '.repeat(before.length)}^`;
}

function sourceOf({ file }: Options): Source {
  const context = { projectRoot: process.cwd(), stepId: STEP };
  if (file !== undefined) return made(readFile, { path: file }, context);
  if (process.stdin.isTTY)
    process.stderr.write(
      'waiting for records, a line of JSON each; Ctrl-D ends them. From a file: oxiflow map ... < FILE, or --file FILE\n',
    );
  return made(readStdin, {}, context);
}

function made(oxi: SourceOxi, config: object, context: { projectRoot: string; stepId: string }): Source {
  return oxi.make(z.parse(oxi.config as z.ZodMiniType, config) as never, context);
}

/** A number, true or false where it looks like one, else text: nothing declares them here. */
function paramsOf(given: readonly string[]): [string, unknown][] {
  return given.map((option): [string, unknown] => {
    const equals = option.indexOf('=');
    if (equals <= 0) throw new OxiError('COMMAND_INVALID', `oxiflow map: --param ${option}: must be name=value`);
    const text = option.slice(equals + 1);
    const number = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(text) ? Number(text) : Number.NaN;
    const value = Number.isFinite(number) ? number : text === 'true' || (text === 'false' ? false : text);
    return [option.slice(0, equals), value];
  });
}
