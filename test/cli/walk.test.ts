/** The walk that the README shows, at a real terminal. `npm run walk` records it anew. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { folder, REPOSITORY } from './program.ts';
import { BEGIN, END, type Scene, transcript, unmeasured, walk, withTranscript } from './walk-story.ts';

const README = join(REPOSITORY, 'README.md');
let scenes: Scene[] = [];
const sceneOf = (command: string): Scene => {
  const found = scenes.find((scene) => scene.command.startsWith(command));
  if (found === undefined) throw new Error(`nobody did: ${command}`);
  return found;
};

beforeAll(async () => {
  scenes = await walk(folder({}));
  if (process.env.OXIFLOW_WALK === 'record')
    writeFileSync(README, withTranscript(readFileSync(README, 'utf8'), transcript(scenes)));
}, 120_000);

describe('a first day at a terminal', () => {
  test('ends every command as it should: only the slip and the kill fail', () => {
    expect(scenes.filter(({ code }) => code !== 0).map(({ command, code }) => [command, code])).toEqual([
      ['oxiflow run shop', 2],
      ['oxiflow run shop --events events.ndjson', -9],
    ]);
  });

  test('the killed run is resumed above zero, and its output is whole', () => {
    const [killed, again] = scenes.filter(({ command }) => command.startsWith('oxiflow run shop --events'));
    expect(killed?.code).toBe(-9);
    expect(again?.screen[0]).toMatch(/^going on from checkpoint \d+: [1-9]\d* records are done$/);
    expect(again?.screen.join('\n')).toContain('shop: done, 1,048,576 read, 524,288 written');
  });

  test('the README shows what is on the screen (npm run walk records it anew)', () => {
    const readme = readFileSync(README, 'utf8');
    const shown = readme.slice(readme.indexOf(BEGIN) + BEGIN.length + 1, readme.indexOf(END) - 1);
    expect(unmeasured(shown)).toEqual(unmeasured(transcript(scenes)));
    expect(sceneOf('oxiflow pipeline test').screen.at(-1)).toBe('shop: good, 2 tests passed');
  });
});
