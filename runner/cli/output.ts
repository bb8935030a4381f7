/** Standard output that fails: its reader went away, or its device is full. One sentence and exit code 1, whatever the verb. */
import { constants, readFileSync, readlinkSync } from 'node:fs';
import { EXIT, type ExitCode, errnoOf, OxiError } from '../engine/errors.ts';

/** Writes `text` and waits until the system has it. Throws OxiError OUTPUT_CLOSED, DISK_FULL, IO_FAILED. */
export function print(text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(text, (error) => {
      if (error) reject(failureOf(error));
      else resolve();
    });
  });
}

/** Does `work`, waits until all that it printed is out, and says so where it did not get there. */
export async function withOutput(work: () => Promise<ExitCode>): Promise<ExitCode> {
  let failure: OxiError | undefined;
  // Without a listener Node ends the process with a stack.
  process.stdout.on('error', (error) => {
    failure ??= failureOf(error);
  });
  const code = await work();
  await print('').catch(() => undefined);
  if (failure === undefined || code !== EXIT.ok) return code;
  process.stderr.write(`${failure.message}\n`);
  return EXIT.failed;
}

/**
 * Standard output was closed before the start: Node puts /dev/null there, open for reading too, so that all that is written is lost
 * without a word. A shell opens /dev/null for writing alone. What tells it apart is there on Linux only.
 */
export function refuseClosedOutput(who: string): void {
  if (process.platform !== 'linux') return;
  let flags: number;
  try {
    if (readlinkSync('/proc/self/fd/1') !== '/dev/null') return;
    flags = Number.parseInt(/^flags:\s*(\d+)$/m.exec(readFileSync('/proc/self/fdinfo/1', 'utf8'))?.[1] ?? '', 8);
  } catch {
    // No such file system here: nobody can tell.
    return;
  }
  if ((flags & ACCESS) !== constants.O_RDWR) return;
  throw new OxiError(
    'COMMAND_INVALID',
    `standard output is closed and ${who} wants it: send it to a file or a program, or throw it away with > /dev/null`,
  );
}

/** The bits of the flags of an open file that say what it is open for. */
const ACCESS = constants.O_RDONLY | constants.O_WRONLY | constants.O_RDWR;

function failureOf(error: Error): OxiError {
  const errno = errnoOf(error);
  const options = { cause: error };
  if (errno === 'EPIPE') return new OxiError('OUTPUT_CLOSED', 'standard output was closed by its reader', options);
  if (errno === 'ENOSPC' || errno === 'EDQUOT')
    return new OxiError('DISK_FULL', `standard output: no space left where it goes (${errno})`, options);
  return new OxiError('IO_FAILED', `standard output can't be written: ${errno ?? error.message}`, options);
}
