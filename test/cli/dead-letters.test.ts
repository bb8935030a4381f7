/** What a person is told of dead letters: where they stand, also of those of a run that failed. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { folder, oxiflow, pipelineOf } from './program.ts';

const RIDES = '{"km":3}\n{"km":"far"}\n{"km":4}\n{"km":"farther"}\n';

function project(deadLetter: object) {
  const pipeline = pipelineOf(
    [
      ['read_file', { path: 'rides.ndjson' }],
      ['parse_json'],
      ['map', { cast: { km: 'int' } }, { on_error: 'dead_letter' }],
      ['write_file', { path: 'output/rides.ndjson' }],
    ],
    { dead_letter: deadLetter },
  );
  return folder({
    'oxiflow.yaml': 'project:\n  name: rides\n',
    'rides.ndjson': RIDES,
    'pipelines/rides.yaml': pipeline,
  });
}

test.concurrent('a run that succeeds says how many there are and in which file, which the owner can read', async () => {
  const cwd = project({ path: 'output/bad.ndjson' });
  // PWD is no password, whatever its name looks like.
  const { code, stderr } = await oxiflow(['run', 'rides'], { cwd, env: { PWD: cwd } });
  expect(code).toBe(0);
  expect(stderr).toContain(` 2 dead letters: ${join(cwd, 'output/bad.ndjson')}\n`);
  const modes = ['bad', 'rides'].map((name) => statSync(join(cwd, `output/${name}.ndjson`)).mode);
  expect(modes[0]).toBe(modes[1]);
});

test.concurrent('a run that fails says where those so far are, and the next one sweeps them away', async () => {
  const cwd = project({ path: 'output/bad.ndjson', max_records: 1 });
  const { code, stderr } = await oxiflow(['run', 'rides'], { cwd });
  expect(code).toBe(3);
  const [, file = ''] = / 1 dead letter so far: (\S+)\n/.exec(stderr) ?? [];
  const letters = readFileSync(file, 'utf8').trimEnd().split('\n');
  expect(letters.map((line) => JSON.parse(line).record)).toEqual(['{"km":"far"}']);
  expect(readdirSync(join(cwd, 'output'))).toHaveLength(1);
  const again = await oxiflow(['run', 'rides', '--set', 'map.cast={"km":"string"}'], { cwd });
  expect(again.code).toBe(0);
  const mended = await oxiflow(['run', 'rides', '--fresh'], { cwd });
  expect(mended.code).toBe(3);
  expect(readdirSync(join(cwd, 'output')).filter((name) => name.startsWith('.'))).toHaveLength(1);
});

test.concurrent('dead letters never take the place of the input', async () => {
  const cwd = project({ path: 'rides.ndjson' });
  const { code, stderr } = await oxiflow(['run', 'rides'], { cwd });
  expect(code).toBe(2);
  expect(stderr).toContain('the dead letters would take the place of the input: rides.ndjson');
  expect(readFileSync(join(cwd, 'rides.ndjson'), 'utf8')).toBe(RIDES);
});
