/** Runs the built program under a look at its memory, its standard input made piece by piece. */
import { once } from 'node:events';
import { type Ended, type StartOptions, start } from '../cli/program.ts';

/** Prints the peak of the process, in kilobytes, as its last words. */
const PEAK =
  "data:text/javascript,process.on('exit',()=>process.stderr.write('peak '+process.resourceUsage().maxRSS+'\\n'))";

export interface Bounded extends Ended {
  peakMb: number;
}

/** `input`: pieces of standard input, made as fast as they are taken. */
export async function bounded(
  args: readonly string[],
  options: StartOptions & { pieces?: Iterable<Uint8Array | string> },
): Promise<Bounded> {
  const { pieces, ...rest } = options;
  const started = start(args, {
    longestMs: 120_000,
    ...rest,
    nodeOptions: ['--import', PEAK],
    ...(pieces === undefined ? {} : { input: null }),
  });
  if (pieces !== undefined) await feed(started, pieces);
  const ended = await started.ended;
  return { ...ended, peakMb: Number(/^peak (\d+)$/m.exec(ended.stderr)?.[1]) / 1024 };
}

async function feed({ child, ended }: ReturnType<typeof start>, pieces: Iterable<Uint8Array | string>): Promise<void> {
  const { stdin } = child;
  if (stdin === null) throw new Error('it has no standard input');
  let isOver = false;
  const over = ended.then(() => {
    isOver = true;
  });
  for (const piece of pieces) {
    if (isOver) return;
    if (!stdin.write(piece)) await Promise.race([once(stdin, 'drain').catch(() => undefined), over]);
  }
  stdin.end();
}

/** The same megabyte again and again: so many of them. */
export function* megabytes(count: number, fill: string): Generator<Buffer> {
  const one = Buffer.alloc(1_000_000, fill);
  for (let i = 0; i < count; i += 1) yield one;
}
