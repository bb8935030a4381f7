/** A gigabyte goes through in constant memory, on one thread and on two. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { access, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { generateFile } from '../fixtures/generate.ts';
import { generateTaxiFile } from '../fixtures/taxi.ts';

const PROGRAM = fileURLToPath(new URL('../../dist/oxiflow.mjs', import.meta.url));
const BYTES = 1_000_000_000;
const RIDES_BYTES = 200_000_000;
const LIMIT_MB = 160;
/** Prints the peak of the process, in kilobytes, as its last words. */
const PEAK =
  "data:text/javascript,process.on('exit',()=>process.stderr.write('peak '+process.resourceUsage().maxRSS+'\\n'))";

let folder = '';

beforeAll(async () => {
  // In memory where there is such a file system, so that no disk is measured.
  const base = await access('/dev/shm').then(
    () => '/dev/shm',
    () => tmpdir(),
  );
  folder = await mkdtemp(join(base, 'oxiflow-flat-'));
  await mkdir(join(folder, 'pipelines'));
  await writeFile(
    join(folder, 'pipelines/events.yaml'),
    `pipeline:
  - { name: read_file, config: { path: events.ndjson } }
  - { name: parse_json }
  - { name: filter, config: { where: ok == true } }
  - name: map
    config:
      set: { total: round(amount * 119) / 100, user_key: 'user.country + ":" + string(user.id)' }
      rename: { ts: timestamp }
      drop: [ua]
  - { name: write_file, config: { path: out.ndjson } }
`,
  );
  await writeFile(
    join(folder, 'pipelines/batches.yaml'),
    `pipeline:
  - { name: read_file, config: { path: events.ndjson } }
  - { name: parse_json }
  - { name: batch, config: { emit: array, batch_size: 1000 } }
  - { name: write_file, config: { path: batches.ndjson } }
`,
  );
  await writeFile(
    join(folder, 'pipelines/rides.yaml'),
    `pipeline:
  - { name: read_file, config: { path: rides.csv } }
  - { name: parse_csv }
  - { name: filter, config: { where: passenger_count != "0" } }
  - { name: format_json, config: { framing: lines } }
  - { name: write_file, config: { path: rides.ndjson } }
`,
  );
  await generateFile(join(folder, 'events.ndjson'), { seed: 7, bytes: BYTES });
  generateTaxiFile(join(folder, 'rides.csv'), { seed: 7, bytes: RIDES_BYTES });
}, 120_000);

afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

async function run(
  threads: number,
  pipeline = 'events',
): Promise<{ code: number | null; peakMb: number; stderr: string }> {
  const args = ['--import', PEAK, PROGRAM, 'run', pipeline, '--project', folder, '--threads', String(threads), '-q'];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  const peak = Number(/peak (\d+)/.exec(stderr)?.[1]);
  return { code, peakMb: peak / 1024, stderr };
}

async function digest(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

test('a gigabyte of events needs no more memory than a little, whatever the threads', async () => {
  const one = await run(1);
  expect(one).toMatchObject({ code: 0 });
  const first = await digest(join(folder, 'out.ndjson'));
  const two = await run(2);
  expect(two).toMatchObject({ code: 0 });
  expect(await digest(join(folder, 'out.ndjson'))).toBe(first);
  expect(one.peakMb).toBeGreaterThan(20);
  expect(one.peakMb).toBeLessThan(LIMIT_MB);
  expect(two.peakMb).toBeGreaterThan(20);
  expect(two.peakMb).toBeLessThan(LIMIT_MB);
}, 300_000);

// What goes from one thread to another has to come back: to a batch on the main thread, and of CSV that is cut there.
test.each(['batches', 'rides'])(
  'nor do %s on two threads',
  async (pipeline) => {
    const { code, peakMb, stderr } = await run(2, pipeline);
    expect(code, stderr).toBe(0);
    expect(peakMb).toBeGreaterThan(20);
    expect(peakMb).toBeLessThan(LIMIT_MB);
  },
  120_000,
);
