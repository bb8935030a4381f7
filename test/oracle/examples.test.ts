import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { asLines, earthquakes, events, flights, flightsAsLines, metricFlights } from './pipelines.ts';
import { birdstrikes, nonEmpty, rides, ridesFromLists, rowsOf } from './reports.ts';

const RUNNER = resolve('dist/oxiflow.mjs');
const DATA_DIR = resolve('node_modules/vega-datasets/data');

/** The example projects run as they are, in a copy, so that a person's own output and state stay untouched. */
describe('the examples write what the oracle says', { timeout: 20_000 }, () => {
  let projects = '';
  beforeAll(() => {
    projects = mkdtempSync(join(tmpdir(), 'oxiflow-examples-'));
    cpSync('examples', projects, { recursive: true, filter: (path) => !/\/(output|\.oxiflow)$/.test(path) });
  });
  afterAll(() => rmSync(projects, { recursive: true }));

  const run = (pipeline: string, project: string, more: { input?: Buffer; options?: string[] } = {}): string =>
    execFileSync(
      process.execPath,
      [RUNNER, 'run', pipeline, '--project', join(projects, project), ...(more.options ?? [])],
      {
        encoding: 'utf8',
        env: { ...process.env, DATA_DIR },
        input: more.input ?? '',
        stdio: ['pipe', 'pipe', 'inherit'],
      },
    );
  const data = (name: string): string => readFileSync(join(DATA_DIR, name), 'utf8');
  const output = (project: string, name: string): string =>
    readFileSync(join(projects, project, 'output', name), 'utf8');

  test('earthquakes: a document becomes flat lines', () => {
    run('earthquakes', 'earthquakes');
    expect(output('earthquakes', 'earthquakes.ndjson')).toBe(asLines(earthquakes(data('earthquakes.json'))));
  });

  test('earthquakes: a parameter keeps the strongest only', () => {
    run('earthquakes', 'earthquakes', { options: ['--param', 'min_magnitude=6'] });
    const strongest = earthquakes(data('earthquakes.json'), 6);
    expect(strongest.length).toBeGreaterThan(0);
    expect(output('earthquakes', 'earthquakes.ndjson')).toBe(asLines(strongest));
  });

  test('flights: an array becomes an array', () => {
    run('flights', 'flights');
    const written = output('flights', 'late_flights.json');
    expect(flightsAsLines(written)).toEqual(flights(data('flights-200k.json')));
  });

  test('flights_as_lines: an array becomes lines, no token changed', () => {
    run('flights_as_lines', 'flights');
    expect(output('flights', 'flights.ndjson')).toBe(asLines(flightsAsLines(data('flights-200k.json'))));
  });

  test('flights_by_threads: batches and threads change neither records nor their order', () => {
    run('flights_by_threads', 'flights');
    const written = output('flights', 'flights_by_threads.ndjson');
    expect(written === asLines(metricFlights(data('flights-200k.json')))).toBe(true);
  });

  test('birdstrikes: CSV becomes typed records, and what cannot be true stands in the dead letters', () => {
    run('birdstrikes', 'birdstrikes');
    const { good, doubtful } = birdstrikes(data('birdstrikes.csv'));
    expect(good.length + doubtful.length).toBe(10_000);
    expect(output('birdstrikes', 'birdstrikes.ndjson') === asLines(good)).toBe(true);
    const letters = output('birdstrikes', 'doubtful.ndjson').trimEnd().split('\n');
    expect(letters.map((line) => JSON.parse(line).record)).toEqual(doubtful);
    expect(doubtful.length).toBe(50);
  });

  test('the tests that the examples bring pass', () => {
    for (const project of ['birdstrikes', 'events'])
      expect(
        execFileSync(process.execPath, [RUNNER, 'pipeline', 'test', '--project', join(projects, project)], {
          encoding: 'utf8',
          env: { ...process.env, DATA_DIR },
        }),
      ).toMatch(/: good, \d tests? passed\n/);
  });

  test('legacy: an old project gives the same rows, in its old spellings', () => {
    run('rides', 'legacy');
    const report = readFileSync('examples/legacy/input/rides.json', 'utf8');
    expect(report).toContain('34.50');
    const written = output('legacy', 'rides.csv').replace('34.50', '34.5');
    expect(rowsOf(written)).toEqual(rides(report));
  });

  test('legacy: what the parser flattens is written as CSV and read again', () => {
    run('rides_from_lists', 'legacy');
    const expected = ridesFromLists(readFileSync('examples/legacy/input/lists.json', 'utf8'));
    expect(rowsOf(output('legacy', 'lists.csv'))).toEqual(expected);
    const again = output('legacy', 'again.ndjson').trimEnd().split('\n');
    expect(again.map((line) => nonEmpty(JSON.parse(line)))).toEqual(expected);
  });

  const sample = readFileSync('examples/events/input/events.ndjson');

  test('events: from file to file', () => {
    run('events', 'events');
    expect(output('events', 'events.ndjson')).toBe(asLines(events(sample.toString())));
  });

  test('events_stream: from stdin to stdout', () => {
    expect(run('events_stream', 'events', { input: sample })).toBe(asLines(events(sample.toString())));
  });
});
