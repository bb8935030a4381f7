/** Records event streams of real runs in `recorded/`: `npm run events`, after a change to what the runner tells. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { writeGenerated } from './generate.ts';

const PROGRAM = fileURLToPath(new URL('../../../dist/oxiflow.mjs', import.meta.url));
const RECORDED = fileURLToPath(new URL('./recorded/', import.meta.url));

const PIPELINE = `pipeline:
  - name: read_file
    config: { path: "\${INPUT:-rides.ndjson}" }
  - name: parse_json
    on_error: dead_letter
  - name: filter
    config: { where: km > 3 }
  - name: write_file
    config: { path: long.ndjson }
dead_letter: { path: bad.ndjson }
`;

async function record(root: string, name: string, args: readonly string[], stopAtCheckpoint = false): Promise<void> {
  const file = join(root, `${name}.events`);
  const child = spawn(process.execPath, ['--', PROGRAM, 'run', 'rides.yaml', '-q', '--events', file, ...args], {
    cwd: root,
    stdio: 'ignore',
  });
  const exit = once(child, 'exit');
  while (stopAtCheckpoint && child.exitCode === null) {
    if (existsSync(file) && readFileSync(file, 'utf8').includes('"type":"checkpoint"')) {
      child.kill('SIGTERM');
      break;
    }
    await delay(2);
  }
  await exit;
  const text = readFileSync(file, 'utf8').replaceAll(root, '/srv/rides').replaceAll(hostname(), 'depot');
  writeFileSync(`${RECORDED}${name}.ndjson`, text);
}

const root = mkdtempSync(join(tmpdir(), 'oxiflow-record-'));
try {
  mkdirSync(RECORDED, { recursive: true });
  const rides = Array.from({ length: 400_000 }, (_, ride) => `{"ride":${ride},"to":"Hügel","km":${ride % 7}.5}\n`);
  writeFileSync(join(root, 'rides.yaml'), PIPELINE);
  writeFileSync(join(root, 'rides.ndjson'), `{"ride":\n${rides.join('')}`);
  writeFileSync(join(root, 'far.ndjson'), '{"ride":1,"km":"far"}\n');
  await record(root, 'interrupted', ['--invocation', 'nightly'], true);
  await record(root, 'resumed', ['--invocation', 'nightly']);
  await record(root, 'repeated', ['--invocation', 'nightly']);
  await record(root, 'bad-data', ['--run-key', 'far', '--set', 'read_file.path=far.ndjson']);
} finally {
  rmSync(root, { recursive: true });
}
writeGenerated();
