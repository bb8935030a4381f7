import { describe, expect, it } from 'vitest';
import { createLog, type LogOptions } from '../../runner/observe/log.ts';
import type { EventPayloads } from '../../runner/observe/types.ts';
import { clock, Paper } from './story.ts';

async function setUp(options: Partial<LogOptions> = {}) {
  const paper = new Paper();
  const redact = (text: string) => text.replaceAll('hunter22', '***');
  const log = await createLog({ format: 'text', level: 'info', stream: paper, redact, now: clock().now, ...options });
  return { log, paper };
}

function speak(log: Awaited<ReturnType<typeof createLog>>): void {
  log.debug('opened input/rides.ndjson');
  log.info('resuming at checkpoint 7');
  log.warn('a row was skipped', { step: 'long_rides', record: 12 });
  log.error('no space left');
}

describe('the log for people', () => {
  it('is one short line a message, from the level on', async () => {
    const { log, paper } = await setUp();
    speak(log);
    expect(paper.lines).toEqual([
      'resuming at checkpoint 7',
      'warning: a row was skipped step=long_rides record=12',
      'error: no space left',
    ]);
  });

  it.each([
    ['debug', 4],
    ['info', 3],
    ['warn', 2],
    ['error', 1],
  ] as const)('at level %s has %d of four lines', async (level, count) => {
    for (const format of ['text', 'json'] as const) {
      const { log, paper } = await setUp({ level, format });
      speak(log);
      expect(paper.lines).toHaveLength(count);
    }
  });

  it('has the time where no terminal shows it', async () => {
    const { log, paper } = await setUp({ timestamps: true });
    log.warn('late');
    expect(paper.text).toBe('2026-03-01T06:00:00Z warning: late\n');
  });

  it('can not be forged: control characters are shown, further lines are indented, odd values quoted', async () => {
    const { log, paper } = await setUp();
    log.info('split a\u001b[2Jb\nerror: forged', { path: 'my rides=1.ndjson' });
    expect(paper.text).toBe('split a\\x1b[2Jb\n  error: forged path="my rides=1.ndjson"\n');
  });
});

describe('the log for machines', () => {
  it('is one JSON object a line', async () => {
    const { log, paper } = await setUp({ format: 'json' });
    log.warn('a row was\nskipped', { step: 'long_rides', record: 12 });
    expect(paper.lines.map((line) => JSON.parse(line))).toEqual([
      { level: 'warn', ts: '2026-03-01T06:00:00.000Z', step: 'long_rides', record: 12, message: 'a row was\nskipped' },
    ]);
  });
});

describe.each(['text', 'json'] as const)('the %s log', (format) => {
  it('shows no secret, in messages and in fields', async () => {
    const { log, paper } = await setUp({ format });
    log.error('redis://:hunter22@depot refused', { url: 'redis://:hunter22@depot' });
    expect(paper.text).not.toContain('hunter22');
    expect(paper.text).toContain('redis://:***@depot refused');
  });

  it("shows a record's content at level debug only, and clipped", async () => {
    const content = `{"rider":"Ada","note":"${'x'.repeat(1000)}"}`;
    const info = await setUp({ format, level: 'info' });
    info.log.error('field "minutes" is missing', { content });
    expect(info.paper.text).not.toContain('Ada');
    const debug = await setUp({ format, level: 'debug' });
    debug.log.error('field "minutes" is missing', { content });
    expect(debug.paper.text).toContain('Ada');
    expect(debug.paper.text.length).toBeLessThan(400);
  });
});

describe('log events', () => {
  it('are info and above, also where stderr is quieter, without the content of records', async () => {
    const { log } = await setUp({ level: 'error' });
    const heard: EventPayloads['log'][] = [];
    log.attach({ emit: (_, payload) => void heard.push(payload as EventPayloads['log']) });
    log.debug('opened');
    log.info('resuming', { step: 'read_file' });
    log.warn('bad', { content: '{"rider":"Ada"}' });
    expect(heard).toEqual([
      { level: 'info', message: 'resuming', step: 'read_file' },
      { level: 'warn', message: 'bad' },
    ]);
  });
});
