/**
 * Watches the main thread from another one: where it does not get to its timers any more, because of a loop or a call that never
 * returns, this says where it is and ends the process. Nobody else could: even signals wait for the main thread.
 */
import { writeSync } from 'node:fs';
import { Board, LOOKS } from '../engine/board.ts';

/** How long the main thread may take to tell where it is, and to end by itself. */
const ANSWER_MS = 1000;
const FRAMES = 6;

/** Run where the main thread stands: as `process.exit`, without what the inspector would say on standard error. */
const EXIT = `process.emit('exit', 1); process.getBuiltinModule('node:fs').closeSync(2); process.reallyExit(1)`;

/** `everyMs`: as often as the main thread ticks. */
export function watchMain({ memory, everyMs }: { memory: SharedArrayBuffer; everyMs: number }): Disposable {
  const board = new Board(memory);
  let seen = -1;
  let still = 0;
  // Counted in looks of this thread: a process that was stopped for an hour has lost one.
  const timer = setInterval(() => {
    const { ticks } = board;
    still = ticks === seen ? still + 1 : 0;
    seen = ticks;
    if (still < LOOKS) return;
    clearInterval(timer);
    end(board, Math.round((still * everyMs) / 100) / 10);
  }, everyMs);
  timer.unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

function end(board: Board, seconds: number): void {
  // From one thread to the other, without a port: the main thread can be asked although it listens to nobody.
  const { Session } = process.getBuiltinModule('node:inspector');
  const session = new Session();
  session.connectToMainThread();
  let said = false;
  const say = (where: string): void => {
    if (said) return;
    said = true;
    const last = board.last === '' ? '' : `; ${board.last} moved last`;
    const text = `error: the main thread has been busy for ${seconds} s without a pause${where}${last}. The process ends; start it again, it goes on from the last checkpoint\n`;
    try {
      writeSync(2, text);
    } catch {
      // Nobody reads it: it ends all the same.
    }
    session.post('Runtime.evaluate', { expression: EXIT });
    // In a call of the system that does not return it answers nobody.
    setTimeout(() => process.kill(process.pid, 'SIGKILL'), ANSWER_MS);
  };
  session.on('Debugger.paused', ({ params }) => {
    const names = params.callFrames.map(({ functionName }) => functionName).filter((name) => name !== '');
    say(names.length === 0 ? '' : `, in ${names.slice(0, FRAMES).join(' < ')}`);
  });
  session.post('Debugger.enable');
  session.post('Debugger.pause');
  setTimeout(() => say(''), ANSWER_MS);
}
