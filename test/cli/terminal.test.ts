/** What a person at a terminal sees: one live line that goes away, a table, and a run that Ctrl-C ends once and for all. */
import { describe, expect, test } from 'vitest';
import { GOOD_PROJECT } from './cases/case.ts';
import { folder, pipelineOf, snapshot } from './program.ts';
import { CTRL_C, watch } from './terminal.ts';

const ESCAPE = '\u001b';
const ERASE = `\r${ESCAPE}[2K`;

/** What is left to read when the terminal has done what it was told: erased lines are gone. */
function left(screen: string): string[] {
  return screen
    .split('\r\n')
    .map((line) => line.slice(line.lastIndexOf(ERASE) < 0 ? 0 : line.lastIndexOf(ERASE) + ERASE.length));
}

describe('at a terminal', () => {
  test.concurrent('there is one live line, it goes away, and the table of the run stays', async () => {
    const { code, screen } = await watch('run orders', { cwd: folder(GOOD_PROJECT) });
    expect(code).toBe(0);
    const live = screen.split(ERASE).slice(1, -1);
    expect(live.length).toBeGreaterThan(0);
    for (const line of live) expect(line).toMatch(/^orders {2}(100 %|\d\d? %|<1 %) {2}\d+ records {2}|^$/);
    expect(left(screen).slice(0, 2)).toEqual([
      expect.stringMatching(/^orders: done, 3 read, 2 written, /),
      expect.stringMatching(/^ {2}oxi +in +out /),
    ]);
    expect(left(screen).join('\n')).not.toContain(ESCAPE);
  });
  test.concurrent('the live line names the step that works most', async () => {
    const root = folder({
      'oxiflow.yaml': 'project: { name: shop }\n',
      'input/orders.ndjson': '{"order":1,"total":12.5}\n'.repeat(60_000),
      'pipelines/q.yaml': pipelineOf([
        ['read_file', { path: 'input/orders.ndjson' }],
        ['parse_json'],
        ['json', { query: '{order, net: (.total / 1.19)}' }],
        ['write_file', { path: 'output/q.ndjson' }],
      ]),
    });
    const { code, screen } = await watch('run q', { cwd: root });
    expect(code).toBe(0);
    expect(screen).toMatch(/ records {2}.* records\/s {2}.*B\/s {2}.* left {2}busiest: json/);
  });
  test.concurrent('a line for people goes above the live line, without a time, with a word in colour', async () => {
    const root = folder({ ...GOOD_PROJECT, 'input/orders.ndjson': '{"order":1}\n' });
    const { code, screen } = await watch('run orders', { cwd: root });
    expect(code).toBe(3);
    expect(left(screen).at(-2)).toBe(
      `${ESCAPE}[31merror: ${ESCAPE}[0minput/orders.ndjson: record at byte 0: step "filter": the field "total" is not in this record; guard it with has(total) or default(total, ...). Set "on_error: drop" on the step to leave such records out, or "on_error: dead_letter" to keep them in a file`,
    );
  });
  test.concurrent('NO_COLOR takes the colours away, and leaves the live line', async () => {
    const root = folder({ ...GOOD_PROJECT, 'input/orders.ndjson': '{"order":1}\n' });
    const { screen } = await watch('run orders', { cwd: root, env: { NO_COLOR: '1' } });
    expect(screen).toContain('error: input/orders.ndjson: record at byte 0');
    expect(screen).toContain(ERASE);
    expect(screen.replaceAll(ERASE, '')).not.toContain(ESCAPE);
  });
  test.concurrent('a dumb terminal gets plain lines', async () => {
    const { code, screen } = await watch('run orders', { cwd: folder(GOOD_PROJECT), env: { TERM: 'dumb' } });
    expect(code).toBe(0);
    expect(screen).not.toContain(ESCAPE);
    expect(screen).toMatch(/^orders: done, 3 read, 2 written, /);
  });
  test.concurrent('-q leaves the screen empty', async () => {
    const { code, screen } = await watch('run orders -q', { cwd: folder(GOOD_PROJECT) });
    expect({ code, screen }).toEqual({ code: 0, screen: '' });
  });

  const typed = {
    'oxiflow.yaml': 'project: { name: shop }\n',
    'pipelines/typed.yaml': pipelineOf([
      ['read_stdin', { prompt: 'orders, please: ' }],
      ['parse_json', { framing: 'lines' }],
      ['write_file', { path: 'output/typed.ndjson' }],
    ]),
  };

  test.concurrent('records can be typed; Ctrl-D ends them', async () => {
    const root = folder(typed);
    const then = [['orders, please: ', '{"order":1}\n{"order":2}\n\u0004']] as const;
    const { code } = await watch('run typed -q', { cwd: root, then });
    expect(code).toBe(0);
    expect(snapshot(root)['output/typed.ndjson']).toBe('{"order":1}\n{"order":2}\n');
  });
  test.concurrent('Ctrl-C ends a run that waits for its first record with 130, in one sentence', async () => {
    const root = folder(typed);
    const then = [['orders, please: ', CTRL_C]] as const;
    const { code, screen } = await watch('run typed', { cwd: root, then });
    expect(code).toBe(130);
    expect(left(screen.replace('^C', '')).filter((line) => line !== '')).toEqual([
      expect.stringMatching(/^orders, please: .*interrupted: finishing what was read and saving a checkpoint, 10 s /),
    ]);
    expect(snapshot(root)['output/typed.ndjson']).toBeUndefined();
  });
  test.concurrent('Ctrl-C once ends a run at work with 130, and its table', async () => {
    const root = folder(typed);
    const then = [
      ['orders, please: ', '{"order":1}\n'],
      [' 1 record ', CTRL_C],
    ] as const;
    const { code, screen } = await watch('run typed', { cwd: root, then });
    expect(code).toBe(130);
    expect(screen.match(/finishing what was read/g)?.length).toBe(1);
    expect(screen).toContain('typed: interrupted, 1 read, 1 written');
    expect(screen).not.toMatch(/\n\s+at |Error/);
    expect(snapshot(root)['output/typed.ndjson']).toBeUndefined();
  });
});
