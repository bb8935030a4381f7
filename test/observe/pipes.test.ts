import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deflateSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { pipesListener, refuseInPipes } from '../../runner/observe/pipes.ts';
import { metadataText } from '../../runner/observe/pipes-protocol.ts';
import { checkpoint, eventOf, finished, identity, Paper, progress, START, started } from './story.ts';

let folder: string;
const warnings: string[] = [];
const warn = (message: string) => void warnings.push(message);

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'oxiflow-pipes-'));
  warnings.length = 0;
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

interface Message {
  __dagster_pipes_version: string;
  method: string;
  params: { [key: string]: unknown };
}

/** What the launcher does: each value as base64 of zlib of JSON. */
function encode(value: unknown): string {
  return deflateSync(JSON.stringify(value)).toString('base64');
}

function session(context: object, messages: object = { path: join(folder, 'messages') }) {
  return {
    DAGSTER_PIPES_CONTEXT: encode({
      data: { asset_keys: null, extras: {}, run_id: 'd1', retry_number: 0, ...context },
    }),
    DAGSTER_PIPES_MESSAGES: encode(messages),
  };
}

function messages(): Message[] {
  return readFileSync(join(folder, 'messages'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
}

function of(method: string): Message['params'][] {
  return messages()
    .filter((message) => message.method === method)
    .map(({ params }) => params);
}

/** The figures of a check. */
function refused(checked: number, bad: number) {
  return {
    'oxiflow/checked': { raw_value: checked, type: 'int' },
    'oxiflow/refused': { raw_value: bad, type: 'int' },
  };
}

const oxis = finished().counters.steps.map(({ step, oxi, busy_ms, counters }) => {
  const { added, out, filtered, dropped, dead_lettered, failed } = counters;
  return { step, oxi, in: counters.in, added, out, filtered, dropped, dead_lettered, failed, busy_ms };
});

describe('Dagster Pipes', () => {
  it('is spoken only where both variables are set', () => {
    const { DAGSTER_PIPES_CONTEXT } = session({});
    expect(pipesListener({}, { warn })).toBeUndefined();
    expect(pipesListener({ DAGSTER_PIPES_CONTEXT }, { warn })).toBeUndefined();
    expect(pipesListener({ DAGSTER_PIPES_CONTEXT, DAGSTER_PIPES_MESSAGES: '' }, { warn })).toBeUndefined();
  });

  it('tells of a run that succeeded: opened, logs, checkpoints, the materialization with its rows, closed', async () => {
    const pipes = pipesListener(session({ asset_keys: ['depot/rides'] }), { warn });
    pipes?.onEvent?.(eventOf('run.started', started, 1));
    pipes?.onEvent?.(eventOf('log', { level: 'warn', message: 'a row was skipped' }, 2));
    pipes?.onEvent?.(eventOf('checkpoint', checkpoint(1), 3));
    pipes?.onEvent?.(eventOf('run.finished', finished(), 4));
    await pipes?.close?.(0);
    expect(messages().map(({ method }) => method)).toEqual([
      'opened',
      'report_custom_message',
      'log',
      'report_custom_message',
      'report_custom_message',
      'report_asset_materialization',
      'closed',
    ]);
    expect(new Set(messages().map((message) => message.__dagster_pipes_version))).toEqual(new Set(['0.1']));
    expect(of('opened')).toEqual([{ extras: {} }]);
    expect(of('log')).toEqual([{ message: 'a row was skipped', level: 'WARNING' }]);
    expect(of('report_custom_message')[1]).toMatchObject({ payload: { type: 'checkpoint', n: 1 } });
    expect(of('closed')).toEqual([{}]);
    expect(of('report_asset_materialization')).toEqual([
      {
        asset_key: 'depot/rides',
        data_version: eventOf('run.finished', finished()).run_id,
        metadata: {
          'dagster/row_count': { raw_value: 41_998, type: 'int' },
          'oxiflow/records': { raw_value: 60_000, type: 'int' },
          'oxiflow/bytes': { raw_value: 4_441_998, type: 'int' },
          'oxiflow/duration_seconds': { raw_value: 4, type: 'float' },
          'oxiflow/rate_records_per_s': { raw_value: 15_000, type: 'float' },
          'oxiflow/checkpoints': { raw_value: 2, type: 'int' },
          'oxiflow/filtered': { raw_value: 18_000, type: 'int' },
          'oxiflow/dropped': { raw_value: 0, type: 'int' },
          'oxiflow/dead_lettered': { raw_value: 2, type: 'int' },
          'oxiflow/errors': { raw_value: 2, type: 'int' },
          'oxiflow/run_key': { raw_value: 'rides', type: 'text' },
          'oxiflow/run_id': { raw_value: identity.run_id, type: 'text' },
          'oxiflow/attempt': { raw_value: 1, type: 'int' },
          'oxiflow/oxis': { raw_value: { records: oxis, schema: expect.any(Array) }, type: 'table' },
          'oxiflow/output': { raw_value: 'output/long-rides.ndjson', type: 'path' },
        },
      },
    ]);
  });

  it('tells logs and alerts with their levels, in the words that Dagster knows', () => {
    const pipes = pipesListener(session({}), { warn });
    for (const level of ['debug', 'info', 'warn', 'error'] as const)
      pipes?.onEvent?.(eventOf('log', { level, message: `a ${level}` }));
    for (const severity of ['warning', 'critical'] as const)
      pipes?.onEvent?.(eventOf('alert', { name: 'error_threshold', severity, message: `an alert, ${severity}` }));
    expect(of('log').map(({ level }) => level)).toEqual(['DEBUG', 'INFO', 'WARNING', 'ERROR', 'WARNING', 'ERROR']);
  });

  it('answers the checks that were asked for, of assets that were asked for, as far as the run knows', () => {
    const checks = {
      rides: { long: 'long_rides', whole: 'read_file', dead: 'dead_letters', other: 'none' },
      foreign: { a: 'b' },
    };
    const env = session({ asset_keys: ['rides'], extras: { oxiflow_checks: checks } });
    pipesListener(env, { warn })?.onEvent?.(eventOf('run.finished', finished()));
    const told = of('report_asset_check');
    expect(told).toEqual([
      { asset_key: 'rides', check_name: 'long', passed: false, severity: 'WARN', metadata: refused(60_000, 2) },
      { asset_key: 'rides', check_name: 'whole', passed: true, severity: 'WARN', metadata: refused(0, 0) },
      { asset_key: 'rides', check_name: 'dead', passed: false, severity: 'WARN', metadata: refused(60_000, 2) },
    ]);
  });

  it('says of a run that bad data stopped which check it broke, and nothing of the others', () => {
    const counted = finished().counters;
    const steps = counted.steps.map((step) =>
      step.step === 'long_rides' ? { ...step, counters: { ...step.counters, failed: 1 } } : step,
    );
    const error = { code: 'RECORD_INVALID', message: 'step "long_rides": "km" must be a number' };
    const checks = { rides: { long: 'long_rides', whole: 'read_file' } };
    pipesListener(session({ asset_keys: ['rides'], extras: { oxiflow_checks: checks } }), { warn })?.onEvent?.(
      eventOf('run.finished', finished({ status: 'failed', exit_code: 3, error, counters: { ...counted, steps } })),
    );
    const reason = { raw_value: error.message, type: 'text' };
    expect(of('report_asset_check')).toEqual([
      {
        asset_key: 'rides',
        check_name: 'long',
        passed: false,
        severity: 'ERROR',
        metadata: { ...refused(60_000, 3), 'oxiflow/reason': reason },
      },
    ]);
  });

  it('tells the columns of an output, and no rate of a run that took no time', () => {
    const outputs = [{ step: 'write', path: 'out/rides.csv', rows: 1, bytes: 9, columns: ['ride', 'km'] }];
    const durations = { attempt_ms: 0, total_ms: 0 };
    const event = eventOf('run.finished', finished({ outputs, durations }));
    pipesListener(session({ asset_keys: ['rides'] }), { warn })?.onEvent?.(event);
    const [{ metadata } = { metadata: {} }] = of('report_asset_materialization');
    expect(metadata).toMatchObject({
      'dagster/column_schema': {
        raw_value: {
          columns: [
            { name: 'ride', type: 'string' },
            { name: 'km', type: 'string' },
          ],
        },
        type: 'table_schema',
      },
    });
    expect(metadata).not.toHaveProperty('oxiflow/rate_records_per_s');
  });

  it('tells of an alert once, though people are warned in the same words, and names the bottleneck', () => {
    const message = 'the run takes 600 MB of memory: more than 512 MB (monitoring.alerts.memory_threshold)';
    const bottleneck = { step: 'long_rides', reason: 'step "long_rides" is busy 97 % of the time on 1 thread' };
    const pipes = pipesListener(session({ asset_keys: ['rides'] }), { warn });
    pipes?.onEvent?.(eventOf('alert', { name: 'memory_threshold', severity: 'warning', message }, 1));
    pipes?.onEvent?.(eventOf('log', { level: 'warn', message }, 2));
    pipes?.onEvent?.(eventOf('log', { level: 'warn', message: 'a row was skipped' }, 3));
    pipes?.onEvent?.(eventOf('run.finished', finished({ bottleneck }), 4));
    expect(of('log').map((log) => log.message)).toEqual([message, 'a row was skipped']);
    expect(of('report_asset_materialization')).toMatchObject([
      { metadata: { 'oxiflow/bottleneck': { raw_value: bottleneck.reason, type: 'text' } } },
    ]);
  });

  it('is understood by an independent reader, with floats that Python reads as floats', async () => {
    const env = session({ asset_keys: ['rides'] });
    const pipes = pipesListener(env, { warn });
    pipes?.onEvent?.(eventOf('run.finished', finished()));
    const script = `
import base64, json, os, zlib
where = json.loads(zlib.decompress(base64.b64decode(os.environ["DAGSTER_PIPES_MESSAGES"])))["path"]
types = {"int": int, "float": float, "text": str, "path": str, "table": dict, "table_schema": dict}
for line in open(where):
    message = json.loads(line)
    assert set(message) == {"__dagster_pipes_version", "method", "params"}, message
    for key, value in message["params"].get("metadata", {}).items():
        assert set(value) == {"raw_value", "type"} and type(value["raw_value"]) is types[value["type"]], (key, value)
    print(message["method"])
`;
    const methods = execFileSync('python3', ['-c', script], { env: { ...process.env, ...env }, encoding: 'utf8' });
    expect(methods.split('\n')).toEqual([
      'opened',
      'report_custom_message',
      'report_asset_materialization',
      'closed',
      '',
    ]);
  });

  it('reports no materialization for a run that failed, and closes with what happened', async () => {
    const pipes = pipesListener(session({ asset_keys: ['rides'] }), { warn });
    const error = { code: 'DISK_FULL', message: 'output/long-rides.ndjson: no space left on the disk' };
    pipes?.onEvent?.(eventOf('run.finished', finished({ status: 'failed', exit_code: 1, error })));
    expect(of('report_asset_materialization')).toEqual([]);
    expect(of('closed')).toEqual([
      { exception: { message: error.message, name: 'DISK_FULL', stack: [], cause: null, context: null } },
    ]);
  });

  it('closes with an exception where the run ended without a result, and only once', async () => {
    const pipes = pipesListener(session({}), { warn });
    await pipes?.close?.(0);
    await pipes?.close?.(0);
    expect(of('closed')).toMatchObject([{ exception: { message: 'the run ended without a result' } }]);
  });

  it('tells of a run that could not begin: opened, the sentence as an error, closed with it', () => {
    refuseInPipes(session({ asset_keys: ['rides'] }), 'CONFIG_INVALID', 'rides.yaml:3: no oxi is named "reed_file"', {
      warn,
    });
    expect(messages().map(({ method, params }) => [method, params])).toMatchObject([
      ['opened', {}],
      ['log', { level: 'ERROR', message: 'rides.yaml:3: no oxi is named "reed_file"' }],
      ['closed', { exception: { name: 'CONFIG_INVALID', message: 'rides.yaml:3: no oxi is named "reed_file"' } }],
    ]);
  });

  it('opens no session anew for what went wrong behind the run, and none that it can not speak in', () => {
    const env = session({ asset_keys: ['rides'] });
    pipesListener(env, { warn })?.onEvent?.(eventOf('run.finished', finished()));
    const before = messages();
    refuseInPipes(env, 'DISK_FULL', 'summary.json: no space left on the disk', { warn });
    refuseInPipes({ DAGSTER_PIPES_CONTEXT: 'x', DAGSTER_PIPES_MESSAGES: 'x' }, 'CONFIG_INVALID', 'no session', {
      warn,
    });
    refuseInPipes({}, 'CONFIG_INVALID', 'no session', { warn });
    expect(messages()).toEqual(before);
  });

  it('gives each of several assets its own output, by name or as the launcher says, and leaves out foreign keys', () => {
    const outputs = [
      { step: 'write_long', path: 'out/long_rides.ndjson.gz', rows: 10, bytes: 100 },
      { step: 'stations', table: 'stations_2026', rows: 20, bytes: 200 },
      { step: 'write_errors', path: 'out/errors.json', rows: 30, bytes: 300 },
      { step: 'scrap', path: 'out/scrap.json', rows: 40, bytes: 400 },
    ];
    const context = {
      asset_keys: ['depot/long_rides', 'stations', 'bad_rides'],
      extras: { oxiflow_assets: { write_errors: 'bad_rides', scrap: 'not/asked/for' } },
    };
    pipesListener(session(context), { warn })?.onEvent?.(eventOf('run.finished', finished({ outputs })));
    const rows = of('report_asset_materialization').map(({ asset_key, metadata }) => [
      asset_key,
      (metadata as { [key: string]: { raw_value: unknown } })['dagster/row_count']?.raw_value,
    ]);
    expect(rows).toEqual([
      ['depot/long_rides', 10],
      ['stations', 20],
      ['bad_rides', 30],
    ]);
  });

  it('reports progress and checkpoints of each grade every ten seconds, however many there are', () => {
    const pipes = pipesListener(session({}), { warn });
    for (let tenth = 0; tenth < 200; tenth++) {
      pipes?.onEvent?.(eventOf('progress', progress(), 1, START + tenth * 100));
      pipes?.onEvent?.(eventOf('checkpoint', checkpoint(2 * tenth + 1, 'soft'), 1, START + tenth * 100));
      pipes?.onEvent?.(eventOf('checkpoint', checkpoint(2 * tenth + 2, 'hard'), 1, START + tenth * 100));
    }
    const reported = of('report_custom_message').map(({ payload }) => payload as { type: string; grade?: string });
    const counts = ['progress', 'soft', 'hard'].map(
      (kind) => reported.filter(({ type, grade }) => (grade ?? type) === kind).length,
    );
    expect(counts).toEqual([2, 2, 2]);
  });

  it('reads the context from a file, and speaks on a standard stream where the launcher listens there', () => {
    const path = join(folder, 'context');
    writeFileSync(path, JSON.stringify({ asset_keys: ['rides'], extras: {} }));
    const [stdout, stderr] = [new Paper(), new Paper()];
    const context = encode({ path });
    for (const where of [{ stdio: 'stderr' }, { buffered_stdio: 'stdout' }]) {
      const env = { DAGSTER_PIPES_CONTEXT: context, DAGSTER_PIPES_MESSAGES: encode(where) };
      pipesListener(env, { stdout, stderr, warn })?.onEvent?.(eventOf('run.finished', finished()));
    }
    expect(stderr.text).toBe(stdout.text);
    expect(stderr.lines.map((line) => JSON.parse(line).method)).toContain('report_asset_materialization');
  });

  it('never stops a run: messages that can not be sent are told once', async () => {
    const pipes = pipesListener(session({}, { path: join(folder, 'gone/messages') }), { warn });
    pipes?.onEvent?.(eventOf('run.finished', finished()));
    await pipes?.close?.(0);
    expect(warnings).toEqual([
      "Dagster Pipes: a message can't be sent (ENOENT); the run goes on, Dagster may miss what it reports",
    ]);
  });

  it('refuses a context file that is larger than any context', () => {
    const path = join(folder, 'context');
    writeFileSync(path, '');
    truncateSync(path, 17 << 20);
    const env = { DAGSTER_PIPES_CONTEXT: encode({ path }), DAGSTER_PIPES_MESSAGES: encode({ path: 'm' }) };
    expect(() => pipesListener(env, { warn })).toThrow(`${path} holds more than 16 MiB`);
  });

  it.each([
    [
      'no zlib',
      { DAGSTER_PIPES_CONTEXT: 'aGVsbG8=', DAGSTER_PIPES_MESSAGES: encode({ path: 'm' }) },
      'is not base64 of zlib',
    ],
    [
      'a list',
      { DAGSTER_PIPES_CONTEXT: encode([]), DAGSTER_PIPES_MESSAGES: encode({ path: 'm' }) },
      'holds no JSON object',
    ],
    [
      'no file',
      { DAGSTER_PIPES_CONTEXT: encode({ path: '/no/such' }), DAGSTER_PIPES_MESSAGES: encode({}) },
      "can't be read (ENOENT)",
    ],
    [
      'a variable that unpacks to more than any context holds',
      {
        DAGSTER_PIPES_CONTEXT: deflateSync(Buffer.alloc(17 << 20, ' ')).toString('base64'),
        DAGSTER_PIPES_MESSAGES: encode({ path: 'm' }),
      },
      'DAGSTER_PIPES_CONTEXT holds more than 16 MiB',
    ],
    [
      'a device, which never ends',
      { DAGSTER_PIPES_CONTEXT: encode({ path: '/dev/zero' }), DAGSTER_PIPES_MESSAGES: encode({ path: 'm' }) },
      '/dev/zero is no file',
    ],
    [
      'a path that the system does not take',
      { DAGSTER_PIPES_CONTEXT: encode({ path: 'a\0b' }), DAGSTER_PIPES_MESSAGES: encode({ path: 'm' }) },
      "can't be read (ERR_INVALID_ARG_VALUE)",
    ],
    [
      'messages to a path that is none',
      { DAGSTER_PIPES_CONTEXT: encode({ data: {} }), DAGSTER_PIPES_MESSAGES: encode({ path: 'a\0b' }) },
      'the path for messages is none',
    ],
    [
      'a bucket',
      { DAGSTER_PIPES_CONTEXT: encode({ data: {} }), DAGSTER_PIPES_MESSAGES: encode({ bucket: 'b' }) },
      'PipesTempFileMessageReader',
    ],
  ])('refuses a session that it can not speak in, before the run: %s', (_, env, problem) => {
    expect(() => pipesListener(env, { warn })).toThrow(problem);
  });
});

describe('Pipes metadata', () => {
  it('writes whole floats as floats and leaves out what is not of its type', () => {
    const text = metadataText(
      new Map([
        ['whole', { type: 'float', value: 5 }],
        ['small', { type: 'float', value: 1e-7 }],
        ['huge', { type: 'float', value: 1e300 }],
        ['nan', { type: 'float', value: Number.NaN }],
        ['half', { type: 'int', value: 0.5 }],
        ['beyond', { type: 'int', value: 2 ** 60 }],
        ['path', { type: 'path', value: 'out/"rides".json' }],
      ]),
    );
    expect(text).toBe(
      '{"whole":{"raw_value":5.0,"type":"float"},"small":{"raw_value":1e-7,"type":"float"},' +
        '"huge":{"raw_value":1e+300,"type":"float"},"path":{"raw_value":"out/\\"rides\\".json","type":"path"}}',
    );
  });
});
