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
    ({ stdout } = quietly(() => raw(records.join('\n'), framed(query), flags(now))));
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
      out[p] === 0x5b ? { list: out.subarray(p, end) } : { error: runtimeMessage(out.toString('utf8', p, end), query) },
    );
    p = end + 1;
  }
  return answers.length === records.length ? answers : undefined;
}

/** Where its memory is used up jq says so on the console, past all that a caller can set; the answer for the record says it, too. */
function quietly<T>(work: () => T): T {
  const { error } = console;
  console.error = () => undefined;
  try {
    return work();
  } finally {
    console.error = error;
  }
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

/** The words of jq's own messages: which values it met, and what it could not do with them. */
const WORDS = new Set(
  `a an and are array arrays as at be because been bounds boolean break by can cannot check csv data date deep delete depth
  division divided divisor does double element empty entry exceeds expected explode expression expressions for format from
  has have implode in index indices input inputs integer into invalid is iterate it its json key keys large length limit long
  match matched modify must negated negative no not null number numbers numeric object objects of on only or out over path
  parsed range regex repeat required requires result separator shell should sliced slice small sorted split string strings
  strptime subtracted added multiplied tab text than the time to too trim unknown update update valid value values while with
  whether zero codepoint codepoints encoded base64 uri tsv html formatted row escaped dumped entries tonumber ltrimstr
  rtrimstr startswith endswith join flatten tojson fromjson mktime gmtime strftime localtime getpath setpath`
    .trim()
    .split(/\s+/),
);
const WORD = /[^\s"'`,:;()[\]{}|/]+/g;

/** The error in jq's own words and those of the query; whatever else it quotes is the record's own, and not for logs. */
function runtimeMessage(line: string, query: string): string {
  const { error } = JSON.parse(line) as { error: unknown };
  const text = typeof error === 'string' ? error : JSON.stringify(error);
  const clean = text
    .replaceAll(/\b(null|boolean|number|string|array|object) \(.*?\)(?=[ ,]|$)/gs, '$1')
    .replace(/^.* \(while parsing .*$/s, 'the text is no JSON');
  const shown = clean.replaceAll(WORD, (word) => (WORDS.has(word.toLowerCase()) || isOwn(word, query) ? word : '...'));
  const short = shown.replaceAll(/"\.\.\."(?:\s+"\.\.\.")*|\.\.\.(?:\s+\.\.\.)+/g, '...');
  return short.length > LONGEST_MESSAGE ? `${short.slice(0, LONGEST_MESSAGE)}...` : short;
}

let own: { query: string; words: ReadonlySet<string> } | undefined;

/** A word of the query, or of what is put around it. */
function isOwn(word: string, query: string): boolean {
  if (own?.query !== query) own = { query, words: new Set(framed(query).match(WORD)) };
  return own.words.has(word);
}
