import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { folder, jsonLines, oxiflow, pipelineOf, put, snapshot } from './program.ts';

const ORDERS = '{"order":1,"total":5}\n{"order":2,"total":7}\n{"order":3,"total":1}\n';

/** A shop with some orders and one pipeline, `day`. */
function shop(steps: Parameters<typeof pipelineOf>[0], rest: object = {}): string {
  return folder({
    'oxiflow.yaml': 'project: {name: shop}\n',
    'input/orders.ndjson': ORDERS,
    'pipelines/day.yaml': pipelineOf(steps, rest),
  });
}

const run = (cwd: string, ...more: string[]) => oxiflow(['run', 'day', ...more], { cwd });
const reads = (path: string, fields: object = {}) => ['read_file', { path }, fields] as const;
const writes = (path: string, fields: object = {}) => ['write_file', { path }, fields] as const;

const THREE = [
  reads('input/orders.ndjson', { id: 'read' }),
  ['parse_json'],
  ['filter', { where: 'total > 2' }],
  writes('out/large.ndjson', { id: 'write' }),
  reads('${steps.write.path}', { id: 'again' }),
  ['parse_json'],
  ['map', { set: { of: '${steps.read.records}' } }],
  writes('out/two.ndjson', { id: 'write_2' }),
  reads('out/two.ndjson', { id: 'last' }),
  ['parse_json'],
  ['filter', { where: 'order == 2' }, { condition: 'steps.read.records == 3' }],
  writes('out/three.ndjson', { id: 'write_3' }),
] as const satisfies Parameters<typeof pipelineOf>[0];

describe('segments', () => {
  test('read what those before them wrote, and know how it went', async () => {
    const cwd = shop(THREE);
    const { code, stdout, stderr } = await run(cwd, '--json', '--events', 'events.ndjson');
    expect(stderr).toContain('day: done, 7 read, 5 written');
    expect(code).toBe(0);
    const files = snapshot(cwd);
    expect(files['out/two.ndjson']).toBe('{"order":1,"total":5,"of":3}\n{"order":2,"total":7,"of":3}\n');
    expect(files['out/three.ndjson']).toBe('{"order":2,"total":7,"of":3}\n');
    const summary = JSON.parse(stdout);
    expect(summary.outputs.map(({ step, rows }: { step: string; rows: number }) => [step, rows])).toEqual([
      ['write', 2],
      ['write_2', 2],
      ['write_3', 1],
    ]);
    expect(summary.counters.total).toMatchObject({ added: 7, out: 5, filtered: 2, in_flight: 0 });
    const finished = jsonLines(files['events.ndjson'] ?? '').at(-1);
    expect(finished).toMatchObject({ type: 'run.finished', outputs: summary.outputs });
  });

  test('a dry run and the plan say what comes later, and write nothing', async () => {
    const cwd = shop(THREE);
    const dry = await run(cwd, '--dry-run');
    const info = await oxiflow(['pipeline', 'info', 'day'], { cwd });
    expect([dry.code, info.code]).toEqual([0, 0]);
    expect(info.stdout.startsWith(dry.stderr)).toBe(true);
    expect(info.stdout.replaceAll(/\s+/g, ' ')).toContain(
      'barrier before "again": "path" of "again" is ${steps.write.path}, known when "write" has ended',
    );
    expect(info.stdout).toContain('later   again (read_file) -> parse_json_2');
    expect(info.stdout.match(/then, when all of that has ended/g)).toHaveLength(2);
    expect(Math.max(...info.stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
    expect(Object.keys(snapshot(cwd))).toEqual(['input/orders.ndjson', 'oxiflow.yaml', 'pipelines/day.yaml']);
  });

  test('--limit counts the records of all of them', async () => {
    const cwd = shop([
      ...([reads('input/orders.ndjson'), ['parse_json'], writes('out/one.ndjson')] as const),
      ...([reads('input/orders.ndjson'), ['parse_json'], writes('out/two.ndjson')] as const),
    ]);
    for (const [limit, one, two] of [
      [2, 2, 0],
      [3, 3, 0],
      [4, 3, 1],
    ] as const) {
      expect((await run(cwd, '--limit', `${limit}`)).code).toBe(0);
      expect(jsonLines(snapshot(cwd)['out/one.ndjson'] ?? '')).toHaveLength(one);
      expect(jsonLines(snapshot(cwd)['out/two.ndjson'] ?? '')).toHaveLength(two);
    }
  });

  test('a second one that failed is gone on with; the first is not run again', async () => {
    const cwd = shop([
      reads('input/orders.ndjson', { id: 'read' }),
      ['parse_json'],
      writes('out/one.ndjson', { id: 'write' }),
      reads('input/late.ndjson', { id: 'late' }),
      ['parse_json'],
      ['map', { set: { n: '${steps.write.records}' } }, { id: 'count' }],
      writes('out/two.ndjson', { id: 'write_2' }),
    ]);
    const first = await run(cwd, '--summary', 'first.json');
    expect(first.code).toBe(1);
    expect(first.stderr).toContain('step "late": input/late.ndjson: no such file');
    // What was made is there, and said.
    expect(JSON.parse(snapshot(cwd)['first.json'] ?? '')).toMatchObject({ outputs: [{ step: 'write', rows: 3 }] });
    put(cwd, { 'input/orders.ndjson': '{"order":9}\n', 'input/late.ndjson': '{"late":1}\n' });

    const changed = await run(cwd, '--set', 'count.set={"n":"1"}', '--run-key', 'day');
    expect(changed.code).toBe(2);
    expect(changed.stderr).toContain('step "count" has changed');

    const second = await run(cwd, '--json');
    expect(second.code).toBe(0);
    expect(JSON.parse(second.stdout)).toMatchObject({
      attempt: 2,
      counters: { total: { added: 4, out: 4 }, attempt: { added: 1, out: 1 } },
      outputs: [{ step: 'write' }, { step: 'write_2' }],
    });
    expect(snapshot(cwd)['out/one.ndjson']).toBe(ORDERS);
    expect(snapshot(cwd)['out/two.ndjson']).toBe('{"late":1,"n":3}\n');
  });

  test('one whose source is skipped is skipped, in the middle and at the end', async () => {
    const skipped = { condition: 'steps.write.records > 3' };
    const cwd = shop([
      reads('input/orders.ndjson', { id: 'read' }),
      ['parse_json'],
      writes('out/one.ndjson', { id: 'write' }),
      reads('no/such.ndjson', { id: 'more', ...skipped }),
      ['parse_json'],
      writes('out/more.ndjson', { id: 'write_more' }),
      reads('out/one.ndjson', { id: 'again' }),
      ['parse_json'],
      writes('out/two.ndjson', { id: 'write_2' }),
      reads('no/such.ndjson', { id: 'end', ...skipped }),
      ['parse_json'],
      writes('out/end.ndjson', { id: 'write_end' }),
    ]);
    const { code, stdout } = await run(cwd, '--json');
    expect(code).toBe(0);
    expect(JSON.parse(stdout).outputs.map(({ step }: { step: string }) => step)).toEqual(['write', 'write_2']);
    expect(Object.keys(snapshot(cwd)).filter((name) => name.startsWith('out/'))).toEqual([
      'out/one.ndjson',
      'out/two.ndjson',
    ]);
  });

  test('dead letters of both are in one file, within its bound', async () => {
    const bad = { on_error: 'dead_letter' };
    const steps = [
      reads('input/orders.ndjson', { id: 'read' }),
      ['parse_json'],
      ['map', { set: { a: 'total > 2 ? total : missing' } }, { id: 'first', ...bad }],
      writes('out/one.ndjson', { id: 'write' }),
      reads('input/orders.ndjson', { id: 'again' }),
      ['parse_json'],
      ['map', { set: { a: 'order > 2 ? total : missing' } }, { id: 'second', ...bad }],
      writes('out/two.ndjson', { id: 'write_2' }),
    ] as const;
    const letters = { environment: { DAY: 'monday' }, dead_letter: { path: 'bad/${DAY}.ndjson', max_records: 3 } };
    const cwd = shop(steps, letters);
    expect((await run(cwd)).code).toBe(0);
    expect(jsonLines(snapshot(cwd)['bad/monday.ndjson'] ?? '').map(({ step, offset }) => [step, offset])).toEqual([
      ['first', 44],
      ['second', 0],
      ['second', 22],
    ]);

    const full = shop(steps, { ...letters, dead_letter: { path: 'bad.ndjson', max_records: 2 } });
    const stopped = await run(full);
    expect(stopped.code).toBe(3);
    expect(stopped.stderr).toContain('bad.ndjson holds 2 dead letters and is full');
  });
});

describe('sources that stand in for others', () => {
  const steps = (last: object): Parameters<typeof pipelineOf>[0] => [
    reads('input/a.ndjson', { id: 'a', continue_on_error: true }),
    reads('input/b.ndjson', { id: 'b', continue_on_error: true }),
    reads('input/c.ndjson', { id: 'c', ...last }),
    ['parse_json'],
    ['format_json', { framing: 'array' }],
    writes('out/all.json'),
  ];

  test.each(['a', 'b', 'c'])('the first that is there is read: %s', async (name) => {
    const cwd = shop(steps({}));
    put(cwd, { [`input/${name}.ndjson`]: ORDERS, 'input/c.ndjson': ORDERS });
    const { code, stdout, stderr } = await run(cwd, '--json');
    expect(stderr).toContain('day: done, 3 read, 3 written');
    expect(code).toBe(0);
    expect(JSON.parse(stdout).counters.total).toMatchObject({ added: 3, out: 3 });
    expect(JSON.parse(snapshot(cwd)['out/all.json'] ?? '')).toHaveLength(3);
    const info = await oxiflow(['pipeline', 'info', 'day'], { cwd });
    expect(info.stdout).toContain(`source  ${name} (read_file): input/${name}.ndjson, 66 B`);
  });

  test('none is there: an empty output, if all of them may fail; else the error of the last', async () => {
    const cwd = shop(steps({ continue_on_error: true }));
    expect((await run(cwd, '--dry-run')).code).toBe(0);
    const { code, stderr } = await run(cwd);
    expect(code).toBe(0);
    expect(stderr).toContain('"c" gives nothing ("continue_on_error")');
    expect(snapshot(cwd)['out/all.json']).toBe('[]\n');

    const strict = shop(steps({}));
    const failed = await run(strict);
    expect(failed.code).toBe(1);
    expect(failed.stderr).toContain('step "c": input/c.ndjson: no such file');
    expect(snapshot(strict)['out/all.json']).toBeUndefined();
  });

  test('of two with conditions one is read; both or none is said before anything starts', async () => {
    const cwd = shop(
      [
        reads('input/day.ndjson', { id: 'day', condition: 'params.of != "all"' }),
        reads('input/orders.ndjson', { id: 'all', condition: 'params.of in ["all", "both"]' }),
        ['parse_json'],
        writes('out/orders.ndjson'),
      ],
      { parameters: { of: { type: 'string', default: 'all' } } },
    );
    put(cwd, { 'input/day.ndjson': '{"order":2}\n' });
    expect((await run(cwd)).code).toBe(0);
    expect(snapshot(cwd)['out/orders.ndjson']).toBe(ORDERS);
    expect((await oxiflow(['pipeline', 'info', 'day'], { cwd })).stdout).toContain('skipped day: by a condition');
    expect((await run(cwd, '--param', 'of=day')).code).toBe(0);
    expect(snapshot(cwd)['out/orders.ndjson']).toBe('{"order":2}\n');
    const both = await run(cwd, '--param', 'of=both');
    expect(both.code).toBe(2);
    expect(both.stderr).toContain('it is never read: "day" before it is');
    rmSync(join(cwd, 'out'), { recursive: true });

    const none = shop([reads('input/orders.ndjson', { condition: 'false' }), ['parse_json'], writes('out/a')]);
    const nothing = await run(none);
    expect(nothing.code).toBe(2);
    expect(nothing.stderr).toContain('nothing is read: the condition of every source is false');
  });
});

describe('references to what a step says of itself', () => {
  const rides = 'ride,from,"k,m"\n1,Harbour,4\n2,Hill,5\n';

  test('columns of a CSV file are known to the steps behind it, and to later segments, as is what the source says', async () => {
    const header = `\ufeff${rides}`;
    const cwd = shop([
      reads('input/rides.csv', { id: 'file' }),
      ['parse_csv', {}, { id: 'rows' }],
      ['map', { set: { of: "'${steps.rows.columns}'" } }],
      ['format_csv', { columns: ['ride', 'of'] }, { id: 'laid' }],
      writes('out/${steps.laid.columns}.csv', { id: 'write' }),
      reads('input/orders.ndjson'),
      ['parse_json'],
      ['limit', { records: 1 }],
      [
        'map',
        { set: { of: "'${steps.rows.columns} ${steps.laid.columns} ${steps.file.filename} ${steps.write.columns}'" } },
      ],
      writes('out/two.ndjson'),
    ]);
    put(cwd, { 'input/rides.csv': header });
    const { code, stderr } = await run(cwd);
    expect(code, stderr).toBe(0);
    const files = snapshot(cwd);
    expect(files['out/ride,of.csv']).toBe('ride,of\n1,"ride,from,k,m"\n2,"ride,from,k,m"\n');
    expect(files['out/two.ndjson']).toBe('{"order":1,"total":5,"of":"ride,from,k,m ride,of rides.csv ride,of"}\n');
  });

  test('a header that has no line end, and one that is named, are known too; those of several files are not', async () => {
    const of = async (input: object, config: object, files: Record<string, string>) => {
      const cwd = shop([
        ['read_file', input],
        ['parse_csv', config, { id: 'rows' }],
        writes('out/${steps.rows.columns}.ndjson'),
      ]);
      put(cwd, files);
      const { code, stderr } = await run(cwd);
      return { code, stderr, out: Object.keys(snapshot(cwd)).filter((name) => name.startsWith('out/')) };
    };
    expect((await of({ path: 'in/a.csv' }, {}, { 'in/a.csv': 'ride,km' })).out).toEqual(['out/ride,km.ndjson']);
    const wide = Array.from({ length: 20_000 }, (_, i) => `c${i}`).join(',');
    const long = await of({ path: 'in/a.csv' }, {}, { 'in/a.csv': `${wide}\n` });
    expect(long.stderr).toContain('out/c0,c1,c2,c3');
    expect(long.stderr).toContain('is longer than a file system takes');
    const named = { headers: false, columns: ['ride', 'km'] };
    const two = { 'in/a.csv': '1,2\n', 'in/b.csv': '3,4\n' };
    expect((await of({ path: 'in/*.csv' }, named, two)).out).toEqual(['out/ride,km.ndjson']);
    const several = await of({ path: 'in/*.csv' }, { headers: true }, two);
    expect(several.code).toBe(2);
    expect(several.stderr).toContain('step "rows" has no "columns" yet');
  });

  const settings = (text: string, of: string, condition?: string) => {
    const cwd = shop([
      reads('input/settings.json'),
      ['parse_json', {}, { id: 'settings' }],
      ['map', { set: { seen: 'true' } }, { id: 'marked' }],
      ['write_file', { path: 'out/settings.ndjson' }],
      reads('input/orders.ndjson', { id: 'orders', ...(condition === undefined ? {} : { condition }) }),
      ['parse_json'],
      ['limit', { records: 1 }],
      ['map', { set: { of } }],
      writes('out/two.ndjson'),
    ]);
    put(cwd, { 'input/settings.json': text });
    return cwd;
  };
  const SETTINGS = `{ "city": "Hill \\"top\\"", "least": 2.5, "id": 12345678901234567890, "open": true, "records": "mine",\n "none": null }`;

  test.each(['1', '2'])(
    'fields of the one record that left a step are known to later segments, %s threads',
    async (threads) => {
      const names = ['least', 'id', 'open', 'records', 'none:-nothing'].map((name) => `\${steps.settings.${name}}`);
      const cwd = settings(
        SETTINGS,
        `'${names.join(' ')} \${steps.marked.seen}'`,
        'steps.settings.city == \'Hill "top"\'',
      );
      const { code, stderr } = await run(cwd, '--threads', threads);
      expect(code, stderr).toBe(0);
      expect(snapshot(cwd)['out/two.ndjson']).toBe(
        '{"order":1,"total":5,"of":"2.5 12345678901234567890 true 1 nothing true"}\n',
      );
    },
  );

  test('where more than one record left it there are no fields, and that is said', async () => {
    const cwd = settings('[{"city":"Hill"},{"city":"Hill"}]', "'${steps.settings.city}'");
    const { code, stderr } = await run(cwd);
    expect(code).toBe(2);
    expect(stderr).toContain('step "settings" has no "city"; it has: records, bytes');
    expect(stderr).toContain('fields are those of its record, where that is the only one');
  });

  test('in the same segment they are not known yet, and that is said with the way on', async () => {
    const cwd = shop([
      reads('input/orders.ndjson'),
      ['parse_json', {}, { id: 'settings' }],
      ['map', { set: { of: "'${steps.settings.city}'" } }],
      writes('out/two.ndjson'),
    ]);
    const { code, stderr } = await run(cwd);
    expect(code).toBe(2);
    expect(stderr).toContain(
      'step "settings" has no "city" yet; what it leaves, and the fields of its only record, are known in the segment behind it, which a further source begins; give a default with :-',
    );
  });

  test('a run that failed behind the first segment goes on with what that has left', async () => {
    const cwd = settings(SETTINGS, "'${steps.settings.least}'");
    rmSync(join(cwd, 'input/orders.ndjson'));
    expect((await run(cwd)).code).toBe(1);
    put(cwd, { 'input/orders.ndjson': ORDERS, 'input/settings.json': '{"least":9}' });
    const { code, stderr } = await run(cwd);
    expect(code, stderr).toBe(0);
    expect(snapshot(cwd)['out/two.ndjson']).toBe('{"order":1,"total":5,"of":"2.5"}\n');
  });
});
