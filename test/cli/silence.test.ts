/** A run that waits says for what, within seconds, wherever its lines go. */
import { expect, test } from 'vitest';
import { folder, oxiflow, pipelineOf, start } from './program.ts';

function streaming(): string {
  return folder({
    'oxiflow.yaml': 'project: { name: city }\n',
    'pipelines/rides.yaml': pipelineOf([
      ['read_stdin'],
      ['parse_json', { framing: 'lines' }],
      ['write_file', { path: 'output/rides.ndjson' }],
    ]),
  });
}

function said(child: ReturnType<typeof start>['child'], text: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let all = '';
  child.stderr?.on('data', (part: Buffer) => {
    all += part.toString();
    if (all.includes(text)) resolve();
  });
  child.on('close', () => reject(new Error(`it ended without saying "${text}":\n${all}`)));
  return promise;
}

test.concurrent('for a first byte on standard input', async () => {
  const { child, ended } = start(['run', 'rides'], { cwd: streaming(), input: null });
  await said(child, 'waiting for the first bytes of "read_stdin" ...');
  child.stdin?.end('{"ride":1}\n');
  expect((await ended).code).toBe(0);
});

test.concurrent('for another worker', async () => {
  const cwd = streaming();
  const first = start(['run', 'rides'], { cwd, input: null });
  await said(first.child, 'waiting for the first bytes');
  const second = await oxiflow(['run', 'rides', '--lease-wait', '300ms'], { cwd, input: '' });
  expect(second.code).toBe(75);
  expect(second.stderr).toMatch(/run "rides": waiting for worker .* to finish or to lose its lease, 1 s at most/);
  first.child.stdin?.end();
  expect((await first.ended).code).toBe(0);
});

test.concurrent('-q says nothing of it', async () => {
  const { child, ended } = start(['run', 'rides', '-q'], { cwd: streaming(), input: null });
  const loud = start(['run', 'rides'], { cwd: streaming(), input: null });
  await said(loud.child, 'waiting for the first bytes');
  for (const one of [child, loud.child]) one.stdin?.end('{"ride":1}\n');
  await loud.ended;
  expect((await ended).stderr).toBe('');
});
