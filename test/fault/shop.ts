/**
 * The story that the fault tests tell: a web shop's events of a day are read, filtered, priced and written. Expected bytes
 * and counts come from the oracle, and every attempt of a run is measured against them and against a run that nobody disturbed.
 */
import {
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, expect } from 'vitest';
import type { RunSummary } from '../../runner/engine/report.ts';
import { generateFile, ODD_KINDS } from '../fixtures/generate.ts';
import { asLines, event } from '../oracle/pipelines.ts';
import { parse, print, read } from '../oracle/tokens.ts';
import { Attempt, type AttemptOptions, type Backend, type Ended } from './runner.ts';
import { expectSame, perStep } from './scene.ts';

export interface Story {
  input: 'lines' | 'array' | 'document';
  output: 'lines' | 'array' | 'pretty';
  threads: 1 | 2;
  /** What stands under the output's name before the run. */
  before?: string;
  append?: true;
  backup?: true;
  overwrite?: false;
  /** A second sink in the middle of the chain. */
  middle?: true;
  /** Input and output (that of the last sink) are packed with gzip, the input in several members. */
  packed?: '.gz';
}

/** Plain bytes of a member of a packed input. */
const MEMBER_BYTES = 200_000;

const PLAIN: Story = { input: 'lines', output: 'lines', threads: 1 };

/** The events of a day in each of the forms that they can be read in. */
export class Day {
  readonly folder = mkdtempSync(join(tmpdir(), 'oxiflow-day-'));
  readonly #lines: readonly string[];
  readonly #priced: readonly string[];
  readonly #good: readonly string[];
  readonly #undisturbed = new Map<string, Promise<RunSummary>>();

  constructor(seed: number, bytes: number) {
    const path = this.path('lines');
    generateFile(path, { seed, bytes, odd: ODD_KINDS });
    this.#lines = readFileSync(path, 'utf8')
      .split('\n')
      .filter((line) => line.trim() !== '');
    const elements = this.#lines.join(',\n');
    writeFileSync(this.path('array'), `[\n${elements}\n]\n`);
    writeFileSync(this.path('document'), `{"shop":"north","data":{"count":[1,{}],"items":[${elements}]},"end":true}\n`);
    const outcome = this.#lines.map((line) => ({ line, priced: event(line) }));
    this.#priced = outcome.flatMap(({ priced }) => priced ?? []);
    this.#good = outcome.flatMap(({ line, priced }) => (priced === undefined ? [] : filtered(line)));
  }

  path(input: Story['input'], packed?: Story['packed']): string {
    const path = join(this.folder, input === 'lines' ? 'events.ndjson' : `${input}.json`);
    if (packed === undefined) return path;
    if (!existsSync(path + packed)) {
      const bytes = readFileSync(path);
      const members: Buffer[] = [];
      for (let at = 0; at < bytes.length; at += MEMBER_BYTES) {
        const part = bytes.subarray(at, at + MEMBER_BYTES);
        members.push(gzipSync(part));
      }
      writeFileSync(path + packed, Buffer.concat(members));
    }
    return path + packed;
  }

  get counts(): { read: number; written: number } {
    return { read: this.#lines.length, written: this.#priced.length };
  }

  /** Files of the folder `out` when the run has succeeded. */
  expected(story: Story): Map<string, string> {
    const files = new Map([
      [outputOf(story), (story.append === true ? (story.before ?? '') : '') + laidOut(this.#priced, story.output)],
    ]);
    if (story.backup === true && story.before !== undefined) files.set(`${outputOf(story)}.bak`, story.before);
    if (story.middle === true) files.set('good.json', laidOut(this.#good, story.input === 'lines' ? 'lines' : 'array'));
    return files;
  }

  /** The summary of a run that nobody disturbed; it is held to the oracle first. */
  undisturbed(story: Story): Promise<RunSummary> {
    const name = JSON.stringify(story);
    const summary = this.#undisturbed.get(name) ?? this.#runUndisturbed(story);
    this.#undisturbed.set(name, summary);
    return summary;
  }

  async #runUndisturbed(story: Story): Promise<RunSummary> {
    const shop = new Shop(this, { story, backend: 'sqlite' });
    const ended = await shop.attempt().ended;
    expect(ended.code, ended.stderr).toBe(0);
    shop.expectOutputs('undisturbed');
    const summary = shop.summary();
    const { read, written } = this.counts;
    expect(summary.counters.total).toMatchObject({ added: read, out: written, filtered: read - written, in_flight: 0 });
    shop.remove();
    return summary;
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A record that a filter has looked at: of a key that stands twice, the last one stays. */
function filtered(line: string): string {
  const record = parse(line);
  read(record, 'ok');
  return print(record);
}

function outputOf(story: Story): string {
  return `${story.output === 'lines' ? 'priced.ndjson' : 'priced.json'}${story.packed ?? ''}`;
}

/** The text of a file; every member of it, where it is packed. */
function textIn(path: string): string {
  const bytes = readFileSync(path);
  return (path.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString();
}

export interface ShopOptions {
  story?: Story;
  backend: Backend;
  /** Milliseconds between soft checkpoints. */
  softMs?: number;
  /** Settings of `state_manager` beside the backend. */
  state?: Readonly<Record<string, unknown>>;
  lockTimeout?: string;
  /** Steps in place of the usual sink. */
  sinks?: readonly object[];
  /** Path or pattern of the input, and its files by name; the day's file where left out. */
  input?: { path: string; files: Readonly<Record<string, string>> };
}

/** Folders of shops that are still open: those of tests that failed. */
const open = new Set<string>();
afterAll(() => {
  for (const root of open) rmSync(root, { recursive: true, force: true });
});

/** A project folder with one pipeline, `shop`. */
export class Shop {
  readonly root = mkdtempSync(join(tmpdir(), 'oxiflow-shop-'));
  readonly story: Story;
  readonly #day: Day;
  readonly #options: ShopOptions;

  constructor(day: Day, options: ShopOptions) {
    open.add(this.root);
    this.#day = day;
    this.#options = options;
    this.story = options.story ?? PLAIN;
    for (const name of ['in', 'out', 'pipelines']) mkdirSync(join(this.root, name));
    const { backend, lockTimeout } = options;
    const section = { [backend]: lockTimeout === undefined ? {} : { lock_timeout: lockTimeout } };
    const project = { project: { name: 'shop' }, state_manager: { backend, ...section, ...options.state } };
    writeFileSync(join(this.root, 'oxiflow.yaml'), JSON.stringify(project));
    if (options.input === undefined)
      linkSync(day.path(this.story.input, this.story.packed), join(this.root, this.input));
    else for (const [name, text] of Object.entries(options.input.files)) writeFileSync(join(this.root, name), text);
    this.writePipeline();
    if (this.story.before !== undefined) writeFileSync(this.output, this.story.before);
  }

  get input(): string {
    const { input, packed = '' } = this.story;
    return this.#options.input?.path ?? `in/${input === 'lines' ? 'events.ndjson' : 'events.json'}${packed}`;
  }

  get output(): string {
    return join(this.root, 'out', outputOf(this.story));
  }

  /** Writes the pipeline; `total` is what the map makes of the amount. */
  writePipeline(total = 'round(amount * 119) / 100', filter = 'ok == true'): void {
    const { input, output, append, backup, overwrite, middle } = this.story;
    const file = { path: `out/${outputOf(this.story)}`, append, backup, overwrite };
    const steps = [
      { name: 'read_file', config: { path: this.input } },
      { name: 'parse_json', config: { framing: input } },
      ...(input === 'document' ? [{ name: 'json_select', config: { path: '.data.items' } }] : []),
      { name: 'filter', config: { where: filter } },
      ...(middle === true ? [{ name: 'write_file', id: 'good', config: { path: 'out/good.json' } }] : []),
      {
        name: 'map',
        config: {
          set: { total, user_key: 'user.country + ":" + string(user.id)' },
          rename: { ts: 'timestamp' },
          drop: ['ua'],
        },
      },
      { name: 'format_json', config: output === 'pretty' ? { framing: 'array', pretty: true } : { framing: output } },
      ...(this.#options.sinks ?? [{ name: 'write_file', id: 'priced', config: file }]),
    ];
    writeFileSync(join(this.root, 'pipelines/shop.yaml'), JSON.stringify({ pipeline: steps }));
  }

  attempt(args: readonly string[] = [], options: AttemptOptions = {}): Attempt {
    const { softMs = 15 } = this.#options;
    const all = ['run', 'shop', '--project', this.root, '--threads', String(this.story.threads)];
    return new Attempt([...all, '--events', 'fd:3', '--summary', this.#summaryPath, ...args], {
      ...options,
      env: { OXIFLOW_SOFT_INTERVAL_MS: String(softMs), ...options.env },
    });
  }

  /** Another verb on this project. */
  verb(...args: readonly string[]): Promise<Ended> {
    return new Attempt([...args, '--project', this.root], {}).ended;
  }

  get #summaryPath(): string {
    return join(this.root, 'summary.json');
  }

  summary(): RunSummary {
    return JSON.parse(readFileSync(this.#summaryPath, 'utf8')) as RunSummary;
  }

  /** Names in the folder of the outputs, hidden ones too. */
  outputs(): string[] {
    return readdirSync(join(this.root, 'out')).sort();
  }

  staged(): string[] {
    return this.outputs().filter((name) => name.includes('.oxiflow-part'));
  }

  /** The outputs are those of the oracle, byte for byte, and nothing else lies beside them. */
  expectOutputs(hint: string): void {
    const expected = this.#day.expected(this.story);
    expect(this.outputs(), hint).toEqual([...expected.keys()].sort());
    for (const [name, text] of expected) expectSame(textIn(join(this.root, 'out', name)), text, `${hint}: ${name}`);
  }

  /** The run has succeeded as if nothing had happened: bytes and counters of all attempts together. */
  async expectDone(ended: Ended, hint: string): Promise<void> {
    expect(ended.code, `${hint}\n${ended.stderr}`).toBe(0);
    this.expectOutputs(hint);
    const undisturbed = await this.#day.undisturbed(this.story);
    const { status, counters } = this.summary();
    expect(status, hint).toBe('succeeded');
    expect(counters.total, hint).toEqual(undisturbed.counters.total);
    expect(perStep(counters), hint).toEqual(perStep(undisturbed.counters));
  }

  remove(): void {
    open.delete(this.root);
    rmSync(this.root, { recursive: true, force: true });
  }
}

function laidOut(records: readonly string[], output: Story['output']): string {
  if (output === 'lines') return asLines(records);
  const array = `[${records.join(',')}]`;
  return `${output === 'array' ? array : indented(array)}\n`;
}

/** Compact JSON with every member on a line of its own; tokens keep their text. */
function indented(compact: string): string {
  let depth = 0;
  const line = (): string => `\n${'  '.repeat(depth)}`;
  return compact.replace(/"(?:[^"\\]|\\.)*"|\[\]|\{\}|[{}[\],:]/g, (token) => {
    if (token.length > 1) return token;
    if (token === ',') return `,${line()}`;
    if (token === ':') return ': ';
    depth += token === '{' || token === '[' ? 1 : -1;
    return token === '{' || token === '[' ? `${token}${line()}` : `${line()}${token}`;
  });
}
