/** Threads that read their pieces of a file and write what comes of them by themselves: what is in it makes no difference. */
import { readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { folder, jsonLines, oxiflow, pipelineOf, shell, start } from '../cli/program.ts';
import { randomOf, SEED } from './random.ts';

const random = randomOf(SEED + 31);

/** Lines of every sort, and what they come to. */
function odd(bytes: number): { text: string; kept: string[]; broken: string[] } {
  const lines: string[] = [];
  const kept: string[] = [];
  const broken: string[] = [];
  let size = 0;
  const add = (line: string, isKept: boolean): void => {
    // White space outside of strings does not leave.
    if (isKept) kept.push(line.replaceAll(' ', ''));
    const whole = line + random.pick(['\n', '\n', '\n', '\r\n', ' \n', '\n\n']);
    lines.push(whole);
    size += whole.length;
  };
  for (let id = 0; size < bytes; id++) {
    const km = random.below(100);
    const what = random.below(400);
    if (what === 0) {
      const bad = random.pick(['{"id":', '{"id":1}}', '[1,]', 'x', '{"id":1,"km":"']);
      broken.push(bad);
      add(bad, false);
    } else if (what < 3) add(`{"id":${id},"km":${km}.0e0,"note":"${'é'.repeat(random.below(3000))}"}`, km > 50);
    else if (what === 3)
      add(`  {"id": ${id}, "km": ${km}, "note": [${'{"a":[]},'.repeat(random.below(900))}{}]}`, km > 50);
    else add(`{"id":${id},"km":${km}}`, km > 50);
    if (id === 20_000) add(`{"id":${id},"km":99,"note":"${'y'.repeat(900_000)}"}`, true);
  }
  const last = '{"id":-1,"km":77}';
  kept.push(last);
  return { text: `\ufeff${lines.join('')}${last}`, kept, broken };
}

const input = odd(4_000_000);
const pipelineTo = (framing: 'lines' | 'array'): string =>
  pipelineOf(
    [
      ['read_file', { path: 'rides.ndjson' }],
      ['parse_json', { framing: 'lines', max_record_mb: 1 }, { on_error: 'dead_letter' }],
      ['filter', { where: 'km > 50' }],
      ['format_json', { framing }],
      ['write_file', { path: 'out/rides.ndjson' }],
    ],
    { dead_letter: { path: 'out/letters.ndjson', max_records: 100_000 } },
  );
const pipeline = pipelineTo('lines');

describe('a file with lines of every sort', () => {
  test.each([
    ['1', 'values'],
    ['2', 'values'],
    ['2', ''],
    ['4', ''],
    ['3', 'bytes'],
  ])('on %s threads, tier "%s": every record at its place, every broken one a letter', async (threads, tier) => {
    const cwd = folder({
      'oxiflow.yaml': 'project:\n  name: city\n',
      'rides.ndjson': input.text,
      'pipelines/rides.yaml': pipeline,
    });
    const env = tier === '' ? {} : { OXIFLOW_TIER: tier };
    const { code, stderr } = await oxiflow(['run', 'rides', '--threads', threads], { cwd, env });
    expect(code, stderr).toBe(0);
    const written = readFileSync(join(cwd, 'out/rides.ndjson'), 'utf8');
    expect(written === input.kept.map((line) => `${line}\n`).join('')).toBe(true);
    const letters = jsonLines(readFileSync(join(cwd, 'out/letters.ndjson'), 'utf8'));
    expect(letters.map(({ record }) => record)).toEqual(input.broken);
  });

  test.each(['values', ''])('the same as an array, on 3 threads, tier "%s"', async (tier) => {
    const cwd = folder({
      'oxiflow.yaml': 'project:\n  name: city\n',
      'rides.ndjson': input.text,
      'pipelines/rides.yaml': pipelineTo('array'),
    });
    const env = tier === '' ? {} : { OXIFLOW_TIER: tier };
    const { code, stderr } = await oxiflow(['run', 'rides', '--threads', '3'], { cwd, env });
    expect(code, stderr).toBe(0);
    expect(readFileSync(join(cwd, 'out/rides.ndjson'), 'utf8') === `[${input.kept}]\n`).toBe(true);
  });

  test('a line that is longer than allowed is given up, and those around it are not', async () => {
    const long = `{"id":0,"km":60,"note":"${'z'.repeat(1_200_000)}"}`;
    const around = (n: number): string => `{"id":${n},"km":60}\n`.repeat(40_000);
    const cwd = folder({
      'oxiflow.yaml': 'project:\n  name: city\n',
      'rides.ndjson': `${around(1)}${long}\n${around(2)}`,
      'pipelines/rides.yaml': pipeline,
    });
    const { code, stderr } = await oxiflow(['run', 'rides', '--threads', '2'], { cwd });
    expect(code, stderr).toBe(0);
    expect(readFileSync(join(cwd, 'out/rides.ndjson'), 'utf8') === around(1) + around(2)).toBe(true);
    const letters = jsonLines(readFileSync(join(cwd, 'out/letters.ndjson'), 'utf8'));
    expect(letters).toMatchObject([{ code: 'TOO_LARGE', offset: around(1).length }]);
  });

  test('many files, more than a process may have open: each is closed when its pieces are read', async () => {
    const files = Object.fromEntries(
      Array.from({ length: 600 }, (_, i) => [
        `in/${String(i).padStart(4, '0')}.ndjson`,
        `{"id":${i},"km":60}\n`.repeat(50),
      ]),
    );
    const cwd = folder({
      'oxiflow.yaml': 'project:\n  name: city\n',
      ...files,
      'pipelines/rides.yaml': pipelineOf([
        ['read_file', { path: 'in/*.ndjson' }],
        ['parse_json', { framing: 'lines' }],
        ['filter', { where: 'km > 50' }],
        ['write_file', { path: 'out/rides.ndjson' }],
      ]),
    });
    const { code, stderr } = await shell('ulimit -n 100; oxiflow run rides --threads 2', { cwd });
    expect(code, stderr).toBe(0);
    expect(readFileSync(join(cwd, 'out/rides.ndjson'), 'utf8') === Object.values(files).join('')).toBe(true);
    expect(statSync(join(cwd, 'out/rides.ndjson')).size).toBeGreaterThan(500_000);
  });
});

describe('arrays that threads begin to write, and that the sink then does not take', () => {
  const lines = (count: number, of: number): string =>
    Array.from({ length: count }, (_, id) => `{"id":${id},"km":60,"note":"${'n'.repeat(of)}"}\n`).join('');
  const huge = `{"id":-1,"km":60,"note":"${'h'.repeat(1_500_000)}"}\n`;

  test.each<[what: string, text: string, batch: object, rows: number]>([
    ['all of them', lines(20_000, 200), { batch_size: 100_000 }, 0],
    ['the last one', lines(20_000, 200) + huge + lines(30, 200), { batch_size: 100 }, 200],
    ['those at the end', lines(20_000, 200) + lines(200, 20_000), { batch_size: 100, preserve_order: false }, 200],
  ])('%s: the file has what it has on values, and nothing behind it', async (_what, text, batch, rows) => {
    const made = async (tier: string): Promise<string> => {
      const cwd = folder({
        'oxiflow.yaml': 'project:\n  name: city\n',
        'rides.ndjson': text,
        'pipelines/rides.yaml': pipelineOf([
          ['read_file', { path: 'rides.ndjson' }],
          ['parse_json', { framing: 'lines' }],
          ['batch', { emit: 'array', ...batch }],
          ['write_file', { path: 'out.ndjson' }, { max_memory_mb: 1, on_error: 'drop' }],
        ] as never),
      });
      const env = tier === '' ? {} : { OXIFLOW_TIER: tier };
      const { code, stdout, stderr } = await oxiflow(['run', 'rides', '--threads', '2', '--json'], { cwd, env });
      expect(code, stderr).toBe(0);
      const { outputs } = JSON.parse(stdout) as { outputs: unknown };
      const written = readFileSync(join(cwd, 'out.ndjson'), 'utf8');
      expect(outputs).toMatchObject([{ rows, bytes: Buffer.byteLength(written) }]);
      return written;
    };
    const expected = await made('values');
    expect(expected.split('\n')).toHaveLength(rows + 1);
    expect((await made('')) === expected).toBe(true);
  });
});

test.each([
  ['lines', 'rides.ndjson', ['parse_json', { framing: 'lines' }], (id: number) => `{"id":${id},"km":60}\n`, ''],
  ['rows', 'rides.csv', ['parse_csv', { types: { id: 'int' } }], (id: number) => `${id},60\n`, 'id,km\n'],
] as const)(
  'a file of %s that another takes the place of is read to its end by the threads, too',
  async (_what, path, parser, line, head) => {
    const count = 1_500_000;
    const text = `${head}${Array.from({ length: count }, (_, id) => line(id)).join('')}`;
    const cwd = folder({
      'oxiflow.yaml': 'project:\n  name: city\n',
      [path]: text,
      'pipelines/rides.yaml': pipelineOf([
        ['read_file', { path }],
        parser as unknown as [string, object],
        ['write_file', { path: 'out.ndjson' }],
      ]),
    });
    const { child, ended } = start(['run', 'rides', '--threads', '2'], { cwd });
    const staged = (): number =>
      Math.max(
        0,
        ...readdirSync(cwd)
          .filter((name) => name.startsWith('.out'))
          .map((name) => statSync(join(cwd, name)).size),
      );
    await expect.poll(staged, { timeout: 60_000, interval: 1 }).toBeGreaterThan(0);
    child.kill('SIGSTOP');
    // It stands still in the middle.
    expect(readdirSync(cwd)).not.toContain('out.ndjson');
    writeFileSync(join(cwd, 'new'), text.replaceAll('60', '70'));
    renameSync(join(cwd, 'new'), join(cwd, path));
    child.kill('SIGCONT');
    const { code, stderr } = await ended;
    expect(code, stderr).toBe(0);
    const written = readFileSync(join(cwd, 'out.ndjson'), 'utf8');
    expect(written.split('\n')).toHaveLength(count + 1);
    expect(/"km":"?70/.test(written)).toBe(false);
  },
);
