/** A run in which nothing moves, from the outside: it ends, says where, and leaves nobody behind. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { folder, jsonLines, oxiflow, pipelineOf, snapshot } from '../cli/program.ts';

const RIDES = Array.from({ length: 50 }, (_, ride) => `{"ride":${ride}}\n`).join('');

function project(command: string[], settings: object = {}): string {
  return folder({
    'oxiflow.yaml': JSON.stringify({ project: { name: 'city' }, settings }),
    'input/rides.ndjson': RIDES,
    'pipelines/rides.yaml': pipelineOf([
      ['read_file', { path: 'input/rides.ndjson' }],
      ['parse_json'],
      ['exec', { command }, { id: 'price' }],
      ['write_file', { path: 'output/rides.ndjson' }],
    ]),
  });
}

test('a step that waits for ever ends the run with exit code 1: what every node did is on stderr, its program is gone', async () => {
  const root = project(['sh', '-c', 'echo $$ > pid; exec sleep 300'], { stuck_after: '1s' });
  const { code, stderr } = await oxiflow(['run', 'rides', '--events', 'events.ndjson'], { cwd: root });
  expect(code, stderr).toBe(1);
  expect(stderr).toMatch(/nothing moves:\n {2}step +does +for +waiting before it\n/);
  expect(stderr).toMatch(/\n {2}parse_json, price +works +1 s {2}/);
  expect(stderr).toMatch(/nothing has moved for 1 s: step "parse_json, price" works without an end/);
  const last = jsonLines(readFileSync(join(root, 'events.ndjson'), 'utf8')).at(-1);
  expect(last).toMatchObject({ type: 'run.finished', status: 'failed', error: { code: 'STUCK' } });
  expect(Object.keys(snapshot(root))).not.toContain('output/rides.ndjson');
  expect(() => process.kill(Number(readFileSync(join(root, 'pid'), 'utf8')), 0)).toThrow('ESRCH');
});

test('a program that works is started, fed and ended: the output is what it made of the records', async () => {
  const root = project(['sed', '-u', 's/ride/trip/']);
  const { code, stderr } = await oxiflow(['run', 'rides'], { cwd: root });
  expect(code, stderr).toBe(0);
  expect(snapshot(root)['output/rides.ndjson']).toBe(RIDES.replaceAll('ride', 'trip'));
});
