/**
 * The first day with oxiflow, at a real terminal: a project is made, broken, mended, tried, killed and resumed. It is done by the
 * tests, and the README shows what was on the screen.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { plainEnvironment } from './program.ts';
import { watch } from './terminal.ts';

/** One thing that the person does, and what is then to be seen. */
export interface Scene {
  /** What happens, as a comment in front of the command. */
  says: string;
  command: string;
  /** Where `oxiflow` stands at its end, and -9 where it was killed. */
  code: number;
  screen: string[];
}

export const BEGIN = '<!-- walk: recorded by npm run walk -->';
export const END = '<!-- /walk -->';
const ESCAPE = '\u001b';
const ERASE = `\r${ESCAPE}[2K`;

/** Walks through it in the empty folder `root`. */
export async function walk(root: string): Promise<Scene[]> {
  const scenes: Scene[] = [];
  const shop = join(root, 'shop');
  const shell = (says: string, command: string): void => {
    const done = spawnSync('bash', ['-ec', command], { cwd: shop, env: plainEnvironment(), encoding: 'utf8' });
    if (done.status !== 0) throw new Error(`${command}: ${done.stderr}`);
    scenes.push({ says, command, code: 0, screen: done.stdout.trimEnd().split('\n').filter(Boolean) });
  };
  const oxiflow = async (
    says: string,
    args: string,
    more: { cwd?: string; then?: readonly (readonly [string, string])[] } = {},
  ): Promise<void> => {
    const { code, screen } = await watch(args, { cwd: shop, ...more });
    scenes.push({ says, command: `oxiflow ${args}`, code: code ?? -1, screen: left(screen, root) });
  };

  const then = [
    ['Name of the project', 'shop\r'],
    ['Template, by', 'basic\r'],
  ] as const;
  await oxiflow('a new project: a name and a template are asked for', 'init', { cwd: root, then });
  await oxiflow('it runs at once', 'run shop');
  shell('what it wrote', 'cat output/shop.ndjson');

  shell('a slip of the hand', 'sed -i "s/where:/wher:/" pipelines/shop.yaml');
  await oxiflow('the message names the place and what was meant', 'run shop');
  shell('mended', 'sed -i "s/wher:/where:/" pipelines/shop.yaml');
  await oxiflow('its own tests pass', 'pipeline test');
  await oxiflow('what leaves a step, without writing anything', 'preview shop --step filter --limit 2');

  shell(
    'a large input: the same orders, over and over',
    'for i in {1..18}; do cat input/orders.ndjson input/orders.ndjson > more; mv more input/orders.ndjson; done',
  );
  const screen = await killed(shop, root);
  scenes.push({
    says: 'in the middle of it, somebody kills the process: kill -9',
    command: 'oxiflow run shop --events events.ndjson',
    code: -9,
    screen,
  });
  await oxiflow('what it has saved', 'state show shop');
  await oxiflow('the same command again goes on from there', 'run shop --events events.ndjson');
  await oxiflow('all runs so far', 'history shop');
  return scenes;
}

/** Starts the run at a terminal and kills it at its first checkpoint; what is left on the screen. */
async function killed(shop: string, root: string): Promise<string[]> {
  const events = join(shop, 'events.ndjson');
  const over = new AbortController();
  const seen = watch('run shop --events events.ndjson', { cwd: shop }).finally(() => over.abort());
  const killing = (async (): Promise<void> => {
    while (!over.signal.aborted) {
      const lines = existsSync(events) ? readFileSync(events, 'utf8').split('\n') : [];
      const pid = processOf(lines);
      if (pid !== undefined && lines.some((line) => line.includes('"type":"checkpoint"'))) {
        process.kill(pid, 'SIGKILL');
        return;
      }
      await setImmediate();
    }
    throw new Error('the run ended before its first checkpoint was seen');
  })();
  const [{ screen }] = await Promise.all([seen, killing]);
  return left(screen, root);
}

function processOf(lines: readonly string[]): number | undefined {
  const started = lines.find((line) => line.includes('"type":"run.started"'));
  return started === undefined ? undefined : (JSON.parse(started) as { process: { pid: number } }).process.pid;
}

/** What stands on the screen in the end: lines that were drawn over are gone. */
function left(screen: string, root: string): string[] {
  return screen
    .split('\r\n')
    .map((line) => line.slice(line.lastIndexOf(ERASE) < 0 ? 0 : line.lastIndexOf(ERASE) + ERASE.length))
    .map((line) => line.replaceAll(new RegExp(`${ESCAPE}\\[[\\d;]*[A-Za-z]`, 'g'), '').replaceAll(`${root}/`, ''))
    .map((line) => line.replaceAll('\r', '').replaceAll(hostname(), 'laptop'))
    .filter((line) => line.trim() !== '');
}

/** The walk as the README shows it. */
export function transcript(scenes: readonly Scene[]): string {
  const text = scenes
    .map(({ says, command, screen, code }) => {
      const killed = code === -9 ? ['Killed'] : [];
      return [`# ${says}`, `$ ${command}`, ...screen, ...killed].join('\n');
    })
    .join('\n\n');
  return `\`\`\`console\n${text}\n\`\`\``;
}

/** What is the same in every walk: words, without figures, and of a table the first word of each row. */
export function unmeasured(text: string): string[] {
  return text.split('\n').flatMap((line) => {
    // What holds it back, and the live line of the run that was killed.
    if (line.startsWith('bottleneck:') || line.startsWith('shop  ')) return [];
    if (/^ {2}\S.* {2}/.test(line)) return [line.trim().split(/\s+/)[0] ?? ''];
    return [
      line
        .replaceAll(/[0-9a-f]{6,}(-[0-9a-f]{4,})*|(?<=-)[0-9a-f]{6}$/g, '0')
        .replaceAll(/[~<]?[\d.,:T-]*\d[\d.,:Z-]*( ?[KMG]?B| ?m?s\b| %)?/g, '0')
        .replaceAll(/ +/g, ' '),
    ];
  });
}

/** The README with another transcript. */
export function withTranscript(readme: string, shown: string): string {
  const from = readme.indexOf(BEGIN);
  const to = readme.indexOf(END);
  if (from < 0 || to < from) throw new Error(`README.md has no place for the walk: ${BEGIN} ... ${END}`);
  return `${readme.slice(0, from)}${BEGIN}\n${shown}\n${readme.slice(to)}`;
}
