/**
 * Tales: pipelines beside the web shop's, each told by its input, its steps and what its oracle says. A `Scene` is a project in
 * which one of them runs; every attempt is held to the oracle and to a run that nobody disturbed.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect } from 'vitest';
import type { RunSummary } from '../../runner/engine/report.ts';
import { type Random, randomOf } from './random.ts';
import { Attempt, type AttemptOptions, type Backend, type Ended } from './runner.ts';

/** One line of a dead-letter file, as far as an oracle can tell. */
export interface ExpectedLetter {
  step: string;
  code: string;
  file: string;
  offset: number;
  record: string;
}

/** What a run has to leave, computed without the runner. */
interface Outcome {
  /** Files of the folder `out` but the dead letters. */
  files: Readonly<Record<string, string>>;
  /** Lines of `out/letters.ndjson`; none where the pipeline keeps no such file. */
  letters?: readonly ExpectedLetter[];
  /** Figures of all steps together: those that the tale can tell. */
  counters?: Readonly<Record<string, number>>;
}

export interface Tale {
  name: string;
  threads: number;
  /** Input of about so many bytes: files by name, below the project. */
  input(random: Random, bytes: number): Readonly<Record<string, string>>;
  /** The whole pipeline file. */
  pipeline: object;
  outcome(input: Readonly<Record<string, string>>): Outcome;
}

const LETTERS = 'letters.ndjson';

/** Folders that are still there: those of tests that failed. */
const open = new Set<string>();
afterAll(() => {
  for (const root of open) rmSync(root, { recursive: true, force: true });
});

/** A tale with an input of one size, and the run of it that nobody disturbed. */
export class Telling {
  readonly tale: Tale;
  readonly input: Readonly<Record<string, string>>;
  #undisturbed: Promise<Undisturbed> | undefined;

  constructor(tale: Tale, seed: number, bytes: number) {
    this.tale = tale;
    this.input = tale.input(randomOf(seed), bytes);
  }

  undisturbed(): Promise<Undisturbed> {
    this.#undisturbed ??= this.#run();
    return this.#undisturbed;
  }

  async #run(): Promise<Undisturbed> {
    const scene = new Scene(this, { backend: 'sqlite', softMs: 0 });
    const ended = await scene.attempt([], { env: { OXIFLOW_CRASH_REPORT: '1' } }).ended;
    expect(ended.code, ended.stderr).toBe(0);
    const { files, letters, counters = {} } = this.tale.outcome(this.input);
    const found = scene.files();
    const told = Object.keys(files);
    expect(Object.keys(found)).toEqual([...told, ...(letters === undefined ? [] : [LETTERS])].sort());
    for (const name of told) expectSame(found[name] ?? '', files[name] ?? '', `undisturbed: ${name}`);
    if (letters !== undefined) expectLetters(found[LETTERS] ?? '', letters);
    const summary = scene.summary();
    expect(summary.counters.total).toMatchObject({ ...counters, in_flight: 0 });
    scene.remove();
    const places = [...ended.stderr.matchAll(/^crashpoint \d+ (\w+)$/gm)].map(([, name = '']) => name);
    return { summary, files: found, places };
  }
}

interface Undisturbed {
  summary: RunSummary;
  files: Readonly<Record<string, string>>;
  /** Names of the numbered places that it passed. */
  places: readonly string[];
}

export interface SceneOptions {
  backend: Backend;
  /** Milliseconds between soft checkpoints. */
  softMs: number;
}

/** A project folder with one pipeline, `tale`. */
export class Scene {
  readonly root = mkdtempSync(join(tmpdir(), 'oxiflow-tale-'));
  readonly #telling: Telling;
  readonly #softMs: number;

  constructor(telling: Telling, options: SceneOptions) {
    open.add(this.root);
    this.#telling = telling;
    this.#softMs = options.softMs;
    for (const name of ['in', 'out', 'pipelines']) mkdirSync(join(this.root, name));
    const project = { project: { name: 'tale' }, state_manager: { backend: options.backend } };
    writeFileSync(join(this.root, 'oxiflow.yaml'), JSON.stringify(project));
    writeFileSync(join(this.root, 'pipelines/tale.yaml'), JSON.stringify(telling.tale.pipeline));
    for (const [name, text] of Object.entries(telling.input)) writeFileSync(join(this.root, name), text);
  }

  /** A reference to what an earlier step has left begins another segment. */
  get inSegments(): boolean {
    return JSON.stringify(this.#telling.tale.pipeline).includes('${steps.');
  }

  attempt(args: readonly string[] = [], options: AttemptOptions = {}): Attempt {
    const threads = String(this.#telling.tale.threads);
    const all = ['run', 'tale', '--project', this.root, '--threads', threads, '--events', 'fd:3'];
    return new Attempt([...all, '--summary', join(this.root, 'summary.json'), ...args], {
      ...options,
      env: { OXIFLOW_SOFT_INTERVAL_MS: String(this.#softMs), ...options.env },
    });
  }

  summary(): RunSummary {
    return JSON.parse(readFileSync(join(this.root, 'summary.json'), 'utf8')) as RunSummary;
  }

  /** The folder `out`, hidden files too. */
  files(): Record<string, string> {
    const out = join(this.root, 'out');
    return Object.fromEntries(
      readdirSync(out)
        .sort()
        .map((name) => [name, readFileSync(join(out, name), 'utf8')]),
    );
  }

  /** The run has succeeded as if nothing had happened: the bytes of every file, and the counters of all attempts together. */
  async expectDone(ended: Ended, hint: string): Promise<void> {
    expect(ended.code, `${hint}\n${ended.stderr}`).toBe(0);
    const undisturbed = await this.#telling.undisturbed();
    const files = this.files();
    expect(Object.keys(files), hint).toEqual(Object.keys(undisturbed.files));
    for (const [name, text] of Object.entries(undisturbed.files))
      expectSame(files[name] ?? '', text, `${hint}: ${name}`);
    const { status, counters } = this.summary();
    expect(status, hint).toBe('succeeded');
    expect(counters.total, hint).toEqual(undisturbed.summary.counters.total);
    expect(perStep(counters), hint).toEqual(perStep(undisturbed.summary.counters));
  }

  remove(): void {
    open.delete(this.root);
    rmSync(this.root, { recursive: true, force: true });
  }
}

export function perStep(counters: RunSummary['counters']): Record<string, unknown> {
  return Object.fromEntries(counters.steps.map(({ step, counters: c }) => [step, c]));
}

/** As `toBe`, without printing megabytes. */
export function expectSame(actual: string, expected: string, hint: string): void {
  if (actual === expected) return;
  let at = 0;
  while (at < actual.length && actual[at] === expected[at]) at += 1;
  const around = (text: string): string => JSON.stringify(text.slice(Math.max(0, at - 60), at + 60));
  expect.fail(
    `${hint}: ${actual.length} characters, expected ${expected.length}; they part at ${at}: ${around(actual)}, expected ${around(expected)}`,
  );
}

function expectLetters(text: string, letters: readonly ExpectedLetter[]): void {
  const found = text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as ExpectedLetter & { reason: string; class: string });
  expect(found.length).toBe(letters.length);
  for (const [i, letter] of letters.entries()) expect(found[i]).toMatchObject({ ...letter, class: 'data' });
  expect(found.every(({ reason }) => reason !== '')).toBe(true);
}
