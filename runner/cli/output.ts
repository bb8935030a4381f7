/** Standard output that fails: its reader went away, or its device is full. One sentence and exit code 1, whatever the verb. */
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

function failureOf(error: Error): OxiError {
  const errno = errnoOf(error);
  const options = { cause: error };
  if (errno === 'EPIPE') return new OxiError('OUTPUT_CLOSED', 'standard output was closed by its reader', options);
  if (errno === 'ENOSPC' || errno === 'EDQUOT')
    return new OxiError('DISK_FULL', `standard output: no space left where it goes (${errno})`, options);
  return new OxiError('IO_FAILED', `standard output can't be written: ${errno ?? error.message}`, options);
}
