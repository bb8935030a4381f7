/** What the runner tells machines while it works: the event stream keeps to its schemas, and Dagster Pipes to its protocol. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { deflateSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { ridesProject, startBlocked } from './blocked.ts';
import { GOOD_PROJECT } from './cases/case.ts';
import { folder, jsonLines, oxiflow, pipelineOf, put } from './program.ts';
import { eventProblems } from './schemas.ts';

type Event = Record<string, unknown>;

/** Every line keeps to the schema of its type, is told once, in order, and the last one says how the run ended. */
function checkStream(events: readonly Event[], ended: { status: string; exit_code: number }): void {
  expect(events.flatMap(eventProblems)).toEqual([]);
  const ids = events.map(({ run_id, attempt, seq }) => `${run_id} ${attempt} ${seq}`);
  expect(new Set(ids).size).toBe(ids.length);
  expect(events.map(({ seq }) => seq)).toEqual(events.map((_, i) => i + 1));
  expect(events[0]?.type).toBe('run.started');
  expect(events.at(-1)).toMatchObject({ type: 'run.finished', ...ended });
}

function typesOf(events: readonly Event[]): Set<unknown> {
  return new Set(events.map(({ type }) => type));
}

function eventsOf(root: string): Event[] {
  return jsonLines(readFileSync(join(root, 'events.ndjson'), 'utf8'));
}

const TO_FILE = ['run', 'orders', '-q', '--events', 'events.ndjson'];
const ALWAYS = ['run.started', 'step.started', 'progress', 'metrics', 'checkpoint', 'step.finished', 'run.finished'];

describe('the event stream', () => {
  test.concurrent('of a run that succeeds tells its plan, its steps, its figures, and its output', async () => {
    const root = folder(GOOD_PROJECT);
    expect((await oxiflow(TO_FILE, { cwd: root })).code).toBe(0);
    const events = eventsOf(root);
    checkStream(events, { status: 'succeeded', exit_code: 0 });
    expect([...typesOf(events)]).toEqual(expect.arrayContaining(ALWAYS));
    expect(events.filter(({ type }) => type === 'step.started').map(({ step }) => step)).toEqual([
      'read_file',
      'parse_json',
      'filter',
      'write_file',
    ]);
    expect(events.at(-1)?.outputs).toEqual([
      { step: 'write_file', path: join(root, 'output/large.ndjson'), rows: 2, bytes: 48 },
    ]);
  });
  test.concurrent('of a second run goes behind the first one in the same file', async () => {
    const root = folder(GOOD_PROJECT);
    await oxiflow(TO_FILE, { cwd: root });
    const first = eventsOf(root);
    await oxiflow(TO_FILE, { cwd: root });
    const both = eventsOf(root);
    expect(both.slice(0, first.length)).toEqual(first);
    checkStream(both.slice(first.length), { status: 'succeeded', exit_code: 0 });
    const ids = both.map(({ run_id, attempt, seq }) => `${run_id} ${attempt} ${seq}`);
    expect(new Set(ids).size).toBe(ids.length);
  });
  test.concurrent('of a run that the data stopped ends with the error and the exit code', async () => {
    const root = folder({ ...GOOD_PROJECT, 'input/orders.ndjson': '{"order":1}\n' });
    expect((await oxiflow(TO_FILE, { cwd: root })).code).toBe(3);
    const events = eventsOf(root);
    checkStream(events, { status: 'failed', exit_code: 3 });
    expect(events.at(-1)).toMatchObject({ error: { code: 'RECORD_INVALID' }, checkpoint: 0, outputs: [] });
  });
  test.concurrent('has what people are warned of, once as a log event', async () => {
    const root = folder({
      ...GOOD_PROJECT,
      'input/orders.ndjson': `{"order":1}\n${GOOD_PROJECT['input/orders.ndjson']}`,
    });
    const pipeline = GOOD_PROJECT['pipelines/orders.yaml'] ?? '';
    put(root, { 'pipelines/orders.yaml': pipeline.replace('name: filter', 'name: filter\n    on_error: drop') });
    expect((await oxiflow(TO_FILE, { cwd: root })).code).toBe(0);
    const events = eventsOf(root);
    checkStream(events, { status: 'succeeded', exit_code: 0 });
    expect(events.filter(({ type }) => type === 'log')).toMatchObject([
      { level: 'warn', message: expect.stringContaining('record at byte 0: step "filter": the field "total" is not') },
    ]);
  });
  test.concurrent('of a run that is interrupted and of the one that goes on have one run id, and two attempts', async () => {
    const { root } = ridesProject();
    const run = startBlocked(root);
    await run.working();
    run.kill('SIGTERM');
    await run.said('finishing what was read');
    const first = (await run.read()).events;
    checkStream(first, { status: 'interrupted', exit_code: 143 });
    const second = (await startBlocked(root).read()).events;
    checkStream(second, { status: 'succeeded', exit_code: 0 });
    expect(second[0]).toMatchObject({ run_id: first[0]?.run_id, attempt: 2 });
    const last = first.findLast(({ type }) => type === 'checkpoint');
    expect(second[0]?.resumed_from).toMatchObject({ checkpoint: last?.n, grade: 'hard', records: last?.records });
    const n = second.filter(({ type }) => type === 'checkpoint').map((event) => Number(event.n));
    expect(Math.min(...n)).toBe(Number(last?.n) + 1);
  });
  test.concurrent('of a file that can not be written to the end costs events, not the run', async () => {
    const root = folder(GOOD_PROJECT);
    const { code, stderr } = await oxiflow(['run', 'orders', '--events', '/dev/full'], { cwd: root });
    expect(code).toBe(0);
    expect(stderr.match(/\/dev\/full: a write failed \(ENOSPC\)/g)?.length).toBe(1);
  });
});

interface Message {
  __dagster_pipes_version: string;
  method: string;
  params: Record<string, never>;
}

/** What Dagster's launcher puts into the environment, each value as base64 of zlib of JSON. */
function pipesEnvironment(root: string, keys: string[]): Record<string, string> {
  const encode = (value: unknown): string => deflateSync(JSON.stringify(value)).toString('base64');
  const context = {
    asset_keys: keys,
    code_version_by_asset_key: null,
    provenance_by_asset_key: null,
    partition_key: null,
    partition_key_range: null,
    partition_time_window: null,
    run_id: '6f1c',
    job_name: 'nightly',
    retry_number: 0,
    extras: {},
  };
  return {
    DAGSTER_PIPES_CONTEXT: encode({ data: context }),
    DAGSTER_PIPES_MESSAGES: encode({ path: join(root, 'messages') }),
  };
}

function messagesOf(root: string): Message[] {
  const messages = jsonLines(readFileSync(join(root, 'messages'), 'utf8')) as unknown as Message[];
  for (const message of messages) {
    expect(Object.keys(message).sort()).toEqual(['__dagster_pipes_version', 'method', 'params']);
    expect(message.__dagster_pipes_version).toBe('0.1');
  }
  return messages;
}

describe('Dagster Pipes', () => {
  test.concurrent('gets opened, logs, one materialization with the rows written, and closed', async () => {
    const root = folder(GOOD_PROJECT);
    const env = pipesEnvironment(root, ['shop/large_orders']);
    const { code, stdout } = await oxiflow(['run', 'orders'], { cwd: root, env });
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
    const messages = messagesOf(root);
    expect(messages[0]?.method).toBe('opened');
    expect(messages.at(-1)).toMatchObject({ method: 'closed', params: {} });
    expect(messages.at(-1)?.params).not.toHaveProperty('exception');
    const made = messages.filter(({ method }) => method === 'report_asset_materialization');
    expect(made.map(({ params }) => params)).toMatchObject([
      { asset_key: 'shop/large_orders', metadata: { 'dagster/row_count': { raw_value: 2, type: 'int' } } },
    ]);
    const logs = messages.filter(({ method }) => method === 'log');
    for (const { params } of logs)
      expect(params).toMatchObject({ message: expect.any(String), level: expect.stringMatching(/^[A-Z]+$/) });
  });
  test.concurrent('gets an exception where the run fails, and the exit code stays what it is', async () => {
    const root = folder({ ...GOOD_PROJECT, 'input/orders.ndjson': '{"order":1}\n' });
    const { code } = await oxiflow(['run', 'orders'], {
      cwd: root,
      env: pipesEnvironment(root, ['shop/large_orders']),
    });
    expect(code).toBe(3);
    const messages = messagesOf(root);
    expect(messages.filter(({ method }) => method === 'report_asset_materialization')).toEqual([]);
    expect(messages.at(-1)).toMatchObject({
      method: 'closed',
      params: {
        exception: { name: 'RECORD_INVALID', message: expect.stringContaining('the field "total" is not in') },
      },
    });
  });
  test.concurrent('gets an exception where nothing could be started', async () => {
    const { 'input/orders.ndjson': _, ...rest } = GOOD_PROJECT;
    const root = folder(rest);
    const { code } = await oxiflow(['run', 'orders'], {
      cwd: root,
      env: pipesEnvironment(root, ['shop/large_orders']),
    });
    expect(code).toBe(1);
    expect(messagesOf(root).map(({ method }) => method)).toEqual(['opened', 'log', 'closed']);
    expect(messagesOf(root).at(-1)).toMatchObject({
      params: { exception: { message: expect.stringContaining('input/orders.ndjson: no such file') } },
    });
  });
  test.concurrent.each([
    ['a file that is no YAML', { 'pipelines/orders.yaml': 'pipeline: [' }, [], 'pipelines/orders.yaml:1'],
    ['a step that is none', { 'pipelines/orders.yaml': pipelineOf([['reed_file']]) }, [], 'reed_file'],
    [
      'a parameter that is missing',
      { 'pipelines/orders.yaml': `parameters: { day: { type: date } }\n${GOOD_PROJECT['pipelines/orders.yaml']}` },
      [],
      'parameter "day"',
    ],
    ['a pipeline that is not there', {}, ['--project', 'nowhere'], 'nowhere'],
    ['an option that is none', {}, ['--parm', 'day=1'], 'unknown option "--parm"'],
  ])('gets the sentence where nothing could be loaded: %s', async (_, files, more, words) => {
    const root = folder({ ...GOOD_PROJECT, ...files });
    const env = pipesEnvironment(root, ['shop/large_orders']);
    const { code, stderr } = await oxiflow(['run', 'orders', ...more], { cwd: root, env });
    expect(code).toBe(2);
    expect(stderr).toContain(words);
    const messages = messagesOf(root);
    expect(messages.map(({ method }) => method)).toEqual(['opened', 'log', 'closed']);
    expect(messages[1]?.params).toMatchObject({ level: 'ERROR', message: expect.stringContaining(words) });
    expect(messages[2]?.params).toMatchObject({ exception: { message: expect.stringContaining(words) } });
  });
  test.concurrent('hears of a run that several workers share from the first of them alone', async () => {
    const root = folder(GOOD_PROJECT);
    const env = pipesEnvironment(root, ['shop/large_orders']);
    const { code, stderr } = await oxiflow(['run', 'orders', '--workers', '2', '--splits', '2'], { cwd: root, env });
    expect(code, stderr).toBe(0);
    const methods = messagesOf(root).map(({ method }) => method);
    for (const method of ['opened', 'report_asset_materialization', 'closed'])
      expect(methods.filter((one) => one === method)).toHaveLength(1);
  });

  test.concurrent('that is malformed is refused before anything starts', async () => {
    const root = folder(GOOD_PROJECT);
    const env = { DAGSTER_PIPES_CONTEXT: 'nonsense', DAGSTER_PIPES_MESSAGES: 'nonsense' };
    const { code, stderr } = await oxiflow(['run', 'orders'], { cwd: root, env });
    expect(code).toBe(2);
    expect(stderr).toMatch(/^Dagster Pipes: DAGSTER_PIPES_CONTEXT is not base64 of zlib of JSON; unset [^\n]+\n$/);
  });
});
