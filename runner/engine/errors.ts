/**
 * The one catalogue of errors and exit codes. Every failure that a person can meet is an OxiError: what happened, where,
 * what to do about it. Anything else that escapes is a bug and keeps its stack.
 */

/** Exit codes of `oxiflow`; the meaning of each is fixed by the pipeline format. */
export const EXIT = {
  ok: 0,
  failed: 1,
  config: 2,
  data: 3,
  unreachable: 69,
  corruptState: 74,
  leaseHeld: 75,
  noPipeline: 125,
  permission: 126,
  interrupted: 130,
  terminated: 143,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** A stable name for each kind of failure, and the exit code that it ends a run with. */
const ERROR_CODES = {
  CONFIG_INVALID: EXIT.config,
  COMMAND_INVALID: EXIT.config,
  UNSUPPORTED: EXIT.config,
  DELIVERY_IMPOSSIBLE: EXIT.config,
  PLAN_CHANGED: EXIT.config,
  INPUT_CHANGED: EXIT.config,
  OUTPUT_EXISTS: EXIT.config,
  INPUT_MISSING: EXIT.failed,
  INPUT_REWRITTEN: EXIT.failed,
  IO_FAILED: EXIT.failed,
  DISK_FULL: EXIT.failed,
  OUTPUT_CLOSED: EXIT.failed,
  BALANCE_BROKEN: EXIT.failed,
  THREAD_DIED: EXIT.failed,
  EXEC_FAILED: EXIT.failed,
  TIMED_OUT: EXIT.failed,
  STUCK: EXIT.failed,
  RECORD_INVALID: EXIT.data,
  TOO_MANY_ERRORS: EXIT.data,
  DOCUMENT_BROKEN: EXIT.data,
  DEAD_LETTERS_FULL: EXIT.data,
  STATE_UNREACHABLE: EXIT.unreachable,
  STATE_CORRUPT: EXIT.corruptState,
  STATE_LOST: EXIT.corruptState,
  LEASE_HELD: EXIT.leaseHeld,
  LEASE_LOST: EXIT.leaseHeld,
  NO_PIPELINE: EXIT.noPipeline,
  PERMISSION_DENIED: EXIT.permission,
  INTERRUPTED: EXIT.interrupted,
  TERMINATED: EXIT.terminated,
} as const satisfies Record<string, ExitCode>;

export type ErrorCode = keyof typeof ERROR_CODES;

/** Where something went wrong; every part is optional, `line` and `column` count from 1, `offset` is in bytes from 0. */
export interface ErrorPlace {
  pipeline?: string;
  step?: string;
  field?: string;
  file?: string;
  line?: number;
  column?: number;
  offset?: number;
  record?: number;
}

/** A failure with a code, a sentence that a tired operator can act on, and a place. `message` is the whole sentence. */
export class OxiError extends Error {
  readonly code: ErrorCode;
  readonly place: ErrorPlace;

  constructor(code: ErrorCode, message: string, options: { place?: ErrorPlace; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'OxiError';
    this.code = code;
    this.place = options.place ?? {};
  }

  get exitCode(): ExitCode {
    return ERROR_CODES[this.code];
  }
}

/**
 * What works on records outside of this process ended over some of them: one of them may be to blame. Where nobody looks for
 * that one, it is an error like others. `what`: what happened, without the step.
 */
export class DiedOverRecords extends OxiError {
  readonly what: string;

  constructor(message: string, what: string, place: ErrorPlace) {
    super('EXEC_FAILED', message, { place });
    this.what = what;
  }
}

/** Several configuration messages at once; `message` joins them by line feeds. */
export class ConfigErrors extends OxiError {
  readonly errors: readonly OxiError[];

  constructor(errors: readonly OxiError[]) {
    super('CONFIG_INVALID', errors.map((error) => error.message).join('\n'), { place: errors[0]?.place ?? {} });
    this.errors = errors;
  }
}

/** `error` has a Node error code such as ENOENT; returns it, or undefined. */
/** Something stored is damaged: somebody's to repair. */
export function isCorrupt(error: unknown): error is OxiError {
  return error instanceof OxiError && error.code === 'STATE_CORRUPT';
}

export function errnoOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** Turns an operating system error into an OxiError that names `what` (a path, "stdout"); other errors come back as they are. */
export function ioError(error: unknown, what: string, place: ErrorPlace = {}): unknown {
  const errno = errnoOf(error);
  if (error instanceof OxiError || errno === undefined) return error;
  const options = { place, cause: error };
  switch (errno) {
    case 'ENOENT':
      return new OxiError('INPUT_MISSING', `${what}: no such file or folder`, options);
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new OxiError(
        'PERMISSION_DENIED',
        errno === 'EROFS'
          ? `${what}: its disk is read-only (EROFS); name a place that can be written`
          : `${what}: permission denied (${errno}); change its owner or mode, or run as a user who has the right`,
        options,
      );
    case 'ENOSPC':
    case 'EDQUOT':
      return new OxiError(
        'DISK_FULL',
        `${what}: no space left on the disk; free some and start again, the run resumes`,
        options,
      );
    case 'EPIPE':
      return new OxiError('OUTPUT_CLOSED', `${what}: closed by its reader`, options);
    default:
      return new OxiError(
        'IO_FAILED',
        `${what}: ${errno}${error instanceof Error ? ` (${error.message})` : ''}`,
        options,
      );
  }
}
