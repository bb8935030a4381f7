/** What the machine gives to a run: Node, the streams, the clock, memory and processors, the folder for temporary files. */
import { fstatSync, readFileSync, statSync } from 'node:fs';
import { availableParallelism, tmpdir, totalmem } from 'node:os';
import { getHeapStatistics } from 'node:v8';
import { errnoOf } from '../engine/errors.ts';
import { humanBytes, humanDuration } from '../observe/human.ts';
import { type Check, ok, warning, wrong } from './check.ts';
import { probeFolder } from './folders.ts';

/** `pinned`: the version that the tests run on. Versions that can't run the program never get this far. */
export function checkNode(running: string, pinned: string): Check {
  const major = (version: string): number => Number.parseInt(version, 10);
  if (major(running) <= major(pinned)) return ok('node', `${running} (tested with ${pinned})`);
  return warning(
    'node',
    `${running}, and oxiflow is tested with ${pinned}`,
    `use Node ${major(pinned)} if anything is odd`,
  );
}

const STREAMS = ['stdin', 'stdout', 'stderr'] as const;

/** What Node finds closed it opens as /dev/null: such a stream swallows everything. */
export function checkStreams(kindOf: (fd: number) => StreamKind = streamKind): Check {
  const kinds = STREAMS.map((name, fd) => [name, kindOf(fd)] as const);
  const text = kinds.map(([name, kind]) => `${name} ${kind}`).join(', ');
  const shut = kinds.filter(([name, kind]) => kind === 'closed' && name !== 'stdin').map(([name]) => name);
  if (shut.length > 0)
    return wrong(
      'streams',
      text,
      `${shut.join(' and ')} must be open: the shell closed it with >&-; send it to a file`,
    );
  if (kinds[2]?.[1] === 'null')
    return warning('streams', text, 'nobody sees messages on /dev/null; send stderr to a file, or use --events FILE');
  return ok('streams', text);
}

export type StreamKind = 'terminal' | 'pipe' | 'socket' | 'file' | 'null' | 'closed' | 'device';

function streamKind(fd: number): StreamKind {
  try {
    const stat = fstatSync(fd);
    if (stat.isFIFO()) return 'pipe';
    if (stat.isSocket()) return 'socket';
    if (stat.isFile()) return 'file';
    if (stat.rdev === statSync('/dev/null').rdev) return isReopened(fd) ? 'closed' : 'null';
    return stat.isCharacterDevice() && isTerminal(fd) ? 'terminal' : 'device';
  } catch (error) {
    if (errnoOf(error) === 'EBADF') return 'closed';
    throw error;
  }
}

/** Node opens for reading and writing what was closed; a shell's `>/dev/null` is for writing only. */
function isReopened(fd: number): boolean {
  const flags = /^flags:\s*([0-7]+)/m.exec(readOr(`/proc/self/fdinfo/${fd}`, ''))?.[1];
  return fd > 0 && flags !== undefined && (Number.parseInt(flags, 8) & 3) === 2;
}

function isTerminal(fd: number): boolean {
  return process.getBuiltinModule('node:tty').isatty(fd);
}

/** A clock that is further off than this makes leases of other machines, retention and names of files wrong. */
const SKEW_MS = 60_000;

/**
 * `built`: when the program was made; `disk`: what the file system of the state calls now; `saved`: the newest time in the
 * state, all in milliseconds since the epoch.
 */
export function checkClock(
  now: number,
  times: { built: number; disk?: number | undefined; saved?: number | undefined },
): Check {
  const remedy = 'set the clock (chrony, systemd-timesyncd); times in logs, names and retention go by it';
  const shown = new Date(now).toISOString().slice(0, 19);
  const away = (ms: number): string => humanDuration(Math.abs(ms));
  if (now < times.built - 86_400_000)
    return wrong('clock', `${shown}Z is ${away(now - times.built)} before this program was made`, remedy);
  if (times.disk !== undefined && Math.abs(now - times.disk) > SKEW_MS)
    return warning('clock', `the file system of the state is ${away(now - times.disk)} away from this machine`, remedy);
  if (times.saved !== undefined && times.saved - now > SKEW_MS)
    return warning('clock', `the state was written ${away(times.saved - now)} in the future`, remedy);
  return ok('clock', `${shown}Z`);
}

/** What a run needs beside the heap: code, buffers, channels; and what a thread takes. */
const BASE_BYTES = 100e6;
const THREAD_BYTES = 60e6;

export interface Memory {
  /** Of the container, where it has a limit. */
  limit: number | undefined;
  total: number;
  heap: number;
  processors: number;
}

/** `threads`: the most that a pipeline asks for, and which one does. */
export function checkMemory(
  threads: { most: number; pipeline: string } | undefined,
  memory: Memory = thisMemory(),
): Check {
  const { limit, total, heap, processors } = memory;
  const room = limit ?? total;
  const facts = [
    limit === undefined ? `${humanBytes(total)} on the machine` : `${humanBytes(limit)} for the container`,
    `heap up to ${humanBytes(heap)}`,
    `${processors} ${processors === 1 ? 'processor' : 'processors'}`,
  ];
  const text = facts.join(', ');
  const most = threads?.most ?? 1;
  const needed = BASE_BYTES + most * THREAD_BYTES;
  if (needed > room)
    return warning(
      'memory',
      `${text}; "${threads?.pipeline ?? ''}" with ${most} threads needs about ${humanBytes(needed)}`,
      'give it fewer threads, or the container more memory',
    );
  if (heap > room)
    return warning(
      'memory',
      `${text}: the heap may outgrow what there is`,
      `set NODE_OPTIONS=--max-old-space-size=${Math.max(64, Math.floor((room * 0.6) / 1024 ** 2))}`,
    );
  if (most > processors)
    return warning(
      'memory',
      `${text}; "${threads?.pipeline ?? ''}" asks for ${most} threads`,
      `more than ${processors} gain nothing here`,
    );
  return ok('memory', text);
}

function thisMemory(): Memory {
  const total = totalmem();
  // Without a limit it is 0, or a number beyond all memory.
  const limit = process.constrainedMemory();
  return {
    limit: limit > 0 && limit < total ? limit : undefined,
    total,
    heap: getHeapStatistics().heap_size_limit,
    processors: availableParallelism(),
  };
}

export async function checkTemporary(): Promise<Check> {
  const folder = tmpdir();
  const probe = await probeFolder(folder);
  if ('problem' in probe)
    return warning(
      'temp',
      `${folder}: ${probe.problem}`,
      'set TMPDIR to a folder that can be written; tests of pipelines use it',
    );
  return ok('temp', folder);
}

function readOr(path: string, otherwise: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // Other systems have no such file.
    return otherwise;
  }
}
