/** A process of its own for `process.test.ts`: `events` writes to descriptor 3, `stderr` speaks to a reader that is gone. */
import { createLog } from '../../runner/observe/log.ts';
import { Terminal } from '../../runner/observe/terminal.ts';
import { openEvents } from '../../runner/observe/writer.ts';
import { checkpoint, eventOf, finished } from './story.ts';

if (process.argv[2] === 'events') {
  const writer = openEvents('fd:3', { warn: () => {} });
  for (let n = 1; n <= 3; n++) writer.onEvent(eventOf('checkpoint', checkpoint(n), n));
  writer.onEvent(eventOf('run.finished', finished(), 4));
  await writer.close(10_000);
} else {
  const stream = new Terminal(process.stderr, {});
  const log = await createLog({ format: 'text', level: 'info', stream, redact: (text) => text, now: Date.now });
  process.stdin.once('end', () => {
    log.error('the launcher is gone');
    // What a broken stderr does to a process comes after the write; only then is the run proven to go on.
    setImmediate(() => setImmediate(() => process.stdout.write('went on')));
  });
  process.stdin.resume();
}
