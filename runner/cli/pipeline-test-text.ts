/** How `oxiflow pipeline test` tells people what it found: results on standard output, what is wrong on standard error. */
import type { ExitCode } from '../engine/errors.ts';
import { Terminal } from '../observe/terminal.ts';
import type { Tried } from '../testing/connect.ts';
import { diffLines } from '../testing/diff.ts';
import type { TestResult } from '../testing/run-test.ts';
import { printable } from './state-store.ts';

export interface Checked {
  pipeline: string;
  errors: string[];
  /** What has no effect. */
  notices: string[];
  tests: (TestResult & { updated?: true })[];
  /** Of everything that went wrong. */
  codes: ExitCode[];
  /** Names of all tests that it has. */
  known: readonly string[];
  tried: readonly Tried[] | undefined;
}

/** Where no terminal says how large it is. */
const COLUMNS = 120;
const ROWS = 20;

export function sayTried(pipeline: string, { what, found, error }: Tried, redact: (text: string) => string): void {
  const head = `${pipeline === '' ? '' : `${pipeline}: `}${printable(redact(what))}`;
  if (error === undefined) process.stdout.write(`${head}: ok: ${printable(redact(found))}\n`);
  else process.stderr.write(`${head}: ${printable(redact(error.message))}\n`);
}

/** A line a test, and one on the whole of it. */
export function sayChecked(
  { pipeline, errors, notices, tests, tried }: Checked,
  redact: (text: string) => string,
): void {
  const name = printable(pipeline);
  for (const line of [...errors, ...notices]) process.stderr.write(`${line}\n`);
  for (const one of tried ?? []) sayTried(name, one, redact);
  for (const test of tests) {
    const how = test.passed ? 'passed' : test.updated ? 'updated' : 'failed';
    process.stdout.write(`${name}: ${how}: ${printable(test.name)}\n`);
    if (test.problem === undefined) continue;
    process.stderr.write(`${name}: ${printable(test.name)}: ${printable(test.problem)}\n`);
    for (const line of differences(test, redact)) process.stderr.write(`${line}\n`);
    if (test.updated) {
      const fields = (test.differs ?? []).map(({ field }) => `expect.${field}`);
      process.stderr.write(`  rewritten: ${printable(fields.join(', '))}\n`);
    }
  }
  const failed = tests.filter(({ passed, updated }) => !passed && updated !== true).length;
  const updated = tests.filter((test) => test.updated).length;
  const passed = tests.length - failed - updated;
  const broken = tried?.filter(({ error }) => error !== undefined).length ?? 0;
  const facts = [
    ...(errors.length > 0 ? [count(errors.length, 'error')] : []),
    ...(broken > 0 ? [`${count(broken, 'connection')} failed`] : []),
    ...(failed > 0 ? [`${failed} of ${count(tests.length, 'test')} failed`] : []),
    ...(updated > 0 ? [`${count(updated, 'test')} updated`] : []),
  ];
  if (facts.length === 0) facts.push('good');
  if (failed === 0 && passed > 0) facts.push(`${count(passed, 'test')} passed`);
  process.stdout.write(`${name}: ${facts.join(', ')}\n`);
}

function differences({ differs = [] }: TestResult, redact: (text: string) => string): string[] {
  const { colour, columns, live } = new Terminal(process.stderr, process.env);
  const look = {
    columns: live ? columns : COLUMNS,
    rows: live ? Math.max(8, (process.stderr.rows ?? ROWS) - 4) : ROWS,
    colour,
    clean: (text: string) => printable(redact(text)),
  };
  return differs.flatMap(({ what, hunks }) => diffLines(hunks, what, look));
}

export function summaryOf(checked: readonly Checked[]): { text: string; figures: Record<string, number> } {
  const tests = checked.flatMap((one) => one.tests);
  const figures = {
    pipelines: checked.length,
    good: checked.filter(({ codes }) => codes.length === 0).length,
    errors: checked.reduce((sum, { errors }) => sum + errors.length, 0),
    tests: tests.length,
    passed: tests.filter(({ passed }) => passed).length,
    updated: tests.filter(({ updated }) => updated).length,
    failed: tests.filter(({ passed, updated }) => !passed && updated !== true).length,
  };
  const facts = [
    `${figures.good} of ${count(figures.pipelines, 'pipeline')} good`,
    ...(figures.errors > 0 ? [count(figures.errors, 'error')] : []),
    ...(figures.tests > 0 ? [`${figures.passed} of ${count(figures.tests, 'test')} passed`] : []),
    ...(figures.updated > 0 ? [`${figures.updated} updated`] : []),
    ...(figures.failed > 0 ? [`${figures.failed} failed`] : []),
  ];
  return { text: facts.join(', '), figures };
}

function count(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? '' : 's'}`;
}
