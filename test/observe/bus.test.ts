import { describe, expect, it } from 'vitest';
import { EventBus } from '../../runner/observe/bus.ts';
import { lineSchema } from '../../runner/observe/event-schemas.ts';
import type { EventListener, RunEvent } from '../../runner/observe/types.ts';
import { checkpoint, clock, finished, identity, progress, started } from './story.ts';

function setUp(listeners: EventListener[] = [], redact = (text: string) => text) {
  const time = clock();
  const heard: RunEvent[] = [];
  const warnings: string[] = [];
  const ear: EventListener = { onEvent: (event) => void heard.push(event) };
  const bus = new EventBus({
    identity,
    redact,
    now: time.now,
    listeners: [...listeners, ear],
    warn: (message) => {
      warnings.push(message);
      bus.emit('log', { level: 'warn', message });
    },
  });
  return { bus, heard, warnings, time };
}

describe('the event bus', () => {
  it('numbers the events of an attempt from 1 and makes valid lines of them', () => {
    const { bus, heard } = setUp();
    bus.emit('run.started', started);
    bus.emit('progress', progress());
    bus.emit('checkpoint', checkpoint(1));
    bus.emit('run.finished', finished());
    expect(heard.map(({ seq, type }) => [seq, type])).toEqual([
      [1, 'run.started'],
      [2, 'progress'],
      [3, 'checkpoint'],
      [4, 'run.finished'],
    ]);
    for (const event of heard) expect(lineSchema(event.type).safeParse(event).error).toBeUndefined();
    expect(heard[0]).toMatchObject({ v: 1, ts: '2026-03-01T06:00:00.000Z', run_id: identity.run_id, attempt: 1 });
  });

  it('ends with run.finished: what comes later goes nowhere', () => {
    const { bus, heard } = setUp();
    bus.emit('run.finished', finished());
    bus.emit('log', { level: 'info', message: 'good night' });
    bus.emit('run.finished', finished({ status: 'failed' }));
    expect(heard.map(({ type }) => type)).toEqual(['run.finished']);
  });

  it('takes secrets out of every string, inside longer ones too, but never out of the words of the protocol', () => {
    const redact = (text: string) => text.replaceAll('hunter22', '***').replaceAll('hard', '***');
    const { bus, heard } = setUp([], redact);
    bus.emit('run.started', {
      ...started,
      backend: { name: 'redis', location: 'redis://:hunter22@depot:6379/0' },
      notices: ['password hunter22 is in the environment'],
    });
    bus.emit('checkpoint', checkpoint(1, 'hard'));
    expect(JSON.stringify(heard)).not.toContain('hunter22');
    expect(heard[0]).toMatchObject({ backend: { location: 'redis://:***@depot:6379/0' } });
    expect(heard[1]).toMatchObject({ grade: 'hard', type: 'checkpoint' });
  });

  it('makes an event of progress once a second, and gives every report to those who draw it', () => {
    let drawn = 0;
    const { bus, heard, time } = setUp([{ onProgress: () => void drawn++ }]);
    for (let i = 0; i < 10; i++) {
      bus.emit('progress', progress());
      time.forward(200);
    }
    expect(drawn).toBe(10);
    expect(heard.map(({ seq, ts }) => [seq, ts])).toEqual([
      [1, '2026-03-01T06:00:00.000Z'],
      [2, '2026-03-01T06:00:01.000Z'],
    ]);
  });

  it('tells a listener that throws no more, says so once, and tells the others everything in order', () => {
    let calls = 0;
    const broken: EventListener = {
      onEvent: () => {
        calls += 1;
        throw new Error('no such table: events');
      },
    };
    const { bus, heard, warnings } = setUp([broken]);
    bus.emit('checkpoint', checkpoint(1));
    bus.emit('checkpoint', checkpoint(2));
    expect(calls).toBe(1);
    expect(warnings).toEqual(['an event listener failed and gets no more events: no such table: events']);
    // The warning is itself an event, and comes behind the one that caused it.
    expect(heard.map(({ seq, type }) => `${seq} ${type}`)).toEqual(['1 checkpoint', '2 log', '3 checkpoint']);
  });

  it('closes all listeners, also where one of them fails to', async () => {
    const closed: string[] = [];
    const { bus, warnings } = setUp([
      { close: () => Promise.reject(new Error('stuck')) },
      { close: async (deadlineMs) => void closed.push(`file ${deadlineMs}`) },
    ]);
    await bus.close(500);
    expect(closed).toEqual(['file 500']);
    expect(warnings).toHaveLength(1);
  });
});
