/**
 * Runs a jq query over records: many of them in one call, each answered by one line, a list of what it makes or its error. Jq
 * keeps the digits of numbers that a query does not compute with, and the order of keys.
 */
import { readFileSync } from 'node:fs';
import type { Jq } from 'jq-wasm';
import { jqWasm, loadPackage } from '../packages/load.ts';

/** What a query makes of a record: a span of JSON text, a list; or an error. */
export type Answer = { list: Buffer; error?: undefined } | { error: string; list?: undefined };

/**
 * What a query may not do: see other records, end the program, or depend on when and where it runs. The query follows as a
 * function; its last line may be a comment.
 */
const FRAME_BEGIN = [
  'def now: $__oxiflow_now;',
  'def input: error("there is no input: a query sees one record at a time");',
  'def inputs: input;',
  'def input_filename: null;',
  'def input_line_number: 0;',
  'def debug: .;',
  'def debug(f): .;',
  'def stderr: .;',
  'def halt: error("a query can\'t halt");',
  'def halt_error: halt;',
  'def halt_error(f): halt;',
  'def env: {};',
  'def __oxiflow_query:',
].join('');
const FRAME_END = '\n;try [__oxiflow_query] catch {error:.}';

const LF = 0x0a;
const LONGEST_MESSAGE = 200;

let engine: Promise<Jq> | undefined;

/** One a thread: about 30 ms and 20 MB. */
function jq(): Promise<Jq> {
  engine ??= loadPackage('jq').loadJq({ wasmBinary: readFileSync(jqWasm()) });
  return engine;
}

/** What is wrong with the query, or undefined. */
export async function queryProblem(query: string): Promise<string | undefined> {
  const { raw } = await jq();
  // Alone first: inside the frame a part of it could close what the frame has opened. No input, so nothing runs.
  for (const program of [` ${query}`, framed(query)]) {
    const { exitCode, stderr } = raw('', program, flags(0));
    if (exitCode !== 0) return compileMessage(stderr);
  }
  return undefined;
}

/** Answers in the order of the records; undefined where jq broke down over them. `now` in milliseconds since the epoch. */
export async function askAll(query: string, records: readonly string[], now: number): Promise<Answer[] | undefined> {
  const { raw } = await jq();
  let stdout: string;
  try {
    ({ stdout } = raw(records.join('\n'), framed(query), flags(now)));
  } catch (error) {
    // Out of memory or of stack: this engine is not to be used again.
    engine = undefined;
    if (error instanceof Error && /^(RuntimeError|RangeError)$/.test(error.name)) return undefined;
    throw error;
  }
  const answers: Answer[] = [];
  const out = Buffer.from(stdout);
  for (let p = 0; p < out.length; ) {
    const lf = out.indexOf(LF, p);
    const end = lf < 0 ? out.length : lf;
    answers.push(
      out[p] === 0x5b ? { list: out.subarray(p, end) } : { error: runtimeMessage(out.toString('utf8', p, end)) },
    );
    p = end + 1;
  }
  return answers.length === records.length ? answers : undefined;
}

function framed(query: string): string {
  return `${FRAME_BEGIN}${query}${FRAME_END}`;
}

function flags(now: number): string[] {
  return ['-c', '--argjson', '__oxiflow_now', String(now / 1000)];
}

/** The first line of what jq says, without what it says of its own. */
function compileMessage(stderr: string): string {
  const [first = ''] = stderr.split('\n');
  return first.replace(/^jq: error: /, '').replace(/ at <top-level>, line \d+, column \d+:?$/, '');
}

/** The error without the values that jq quotes: they are the record's own. */
function runtimeMessage(line: string): string {
  const { error } = JSON.parse(line) as { error: unknown };
  const text = typeof error === 'string' ? error : JSON.stringify(error);
  const clean = text
    .replaceAll(/\b(null|boolean|number|string|array|object) \(.*?\)(?=[ ,]|$)/gs, '$1')
    .replace(/^.* \(while parsing .*$/s, 'the text is no JSON');
  return clean.length > LONGEST_MESSAGE ? `${clean.slice(0, LONGEST_MESSAGE)}...` : clean;
}
