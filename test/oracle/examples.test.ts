import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { asLines, earthquakes, events, flights, flightsAsLines } from './pipelines.ts';

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

  const sample = readFileSync('examples/events/input/events.ndjson');

  test('events: from file to file', () => {
    run('events', 'events');
    expect(output('events', 'events.ndjson')).toBe(asLines(events(sample.toString())));
  });

  test('events_stream: from stdin to stdout', () => {
    expect(run('events_stream', 'events', { input: sample })).toBe(asLines(events(sample.toString())));
  });
});
