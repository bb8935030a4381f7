/**
 * Who this process is, and whether another one is dead for certain. Proof needs the same host, boot and process-id
 * namespace (or an older boot of this very host); where there is none, only the end of a lease helps.
 */
import { hash } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { errnoOf } from '../engine/errors.ts';
import type { Holder } from './store.ts';

/** Linux: the inode of the namespace that a machine boots with; every container has another one. */
const FIRST_PID_SPACE = '4026531836';

export type Machine = Pick<Holder, 'host' | 'bootId' | 'pidSpace'>;

let machine: Machine | undefined;
let startedAt: string | undefined;

/** The host, boot and process-id namespace of this process. */
export function thisMachine(): Machine {
  machine ??= { host: readHost(), bootId: readBootId(), pidSpace: readPidSpace() };
  return machine;
}

export function thisHolder(workerId: string): Holder {
  startedAt ??= processAt(process.pid)?.startedAt ?? '';
  return { workerId, ...thisMachine(), pid: process.pid, startedAt };
}

/** The clock of this boot in milliseconds: the same for every process, untouched by changes of the wall clock. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** True only where the process can't be alive any more; false says nothing. */
export function isProvenDead(holder: Holder, here: Machine = thisMachine()): boolean {
  if (holder.host !== here.host || holder.bootId === '' || here.bootId === '') return false;
  if (holder.bootId !== here.bootId) {
    // A pod keeps its host name when it moves to another machine: inside a container another boot proves nothing.
    return isFirstPidSpace(holder.pidSpace) && isFirstPidSpace(here.pidSpace);
  }
  return holder.pidSpace === here.pidSpace && isProcessGone(holder.pid, (started) => started === holder.startedAt);
}

/** A short name of this process for temporary files, from which `isTagProvenDead` can tell whether it still lives. */
export function processTag(): string {
  const { host, bootId, pidSpace, pid, startedAt: started } = thisHolder('');
  return [short(host), short(bootId), isFirstPidSpace(pidSpace) ? 'first' : short(pidSpace), pid, short(started)].join(
    '-',
  );
}

/** As `isProvenDead`, for a name that `processTag` made. */
export function isTagProvenDead(tag: string): boolean {
  const [host, boot, space, pid, started] = tag.split('-');
  const mine = processTag().split('-');
  if (host !== mine[0] || thisMachine().bootId === '') return false;
  if (boot !== mine[1]) return space === 'first' && mine[2] === 'first';
  return space === mine[2] && isProcessGone(Number(pid), (startedHere) => short(startedHere) === started);
}

function isFirstPidSpace(pidSpace: string): boolean {
  return pidSpace === FIRST_PID_SPACE || pidSpace === '';
}

function isProcessGone(pid: number, isSameStart: (startedAt: string) => boolean): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (errnoOf(error) === 'ESRCH') return true;
    if (errnoOf(error) !== 'EPERM') throw error;
  }
  // Someone has this pid. Where the system hides him (hidepid), nothing is proven.
  const found = processAt(pid);
  return found !== undefined && (found.zombie || !isSameStart(found.startedAt));
}

/** Start and state of a process, or undefined where they can't be read. */
function processAt(pid: number): { startedAt: string; zombie: boolean } | undefined {
  try {
    if (process.platform === 'linux') return parseProcStat(readFileSync(`/proc/${pid}/stat`, 'latin1'));
    const text = processes()
      .execFileSync('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], {
        encoding: 'utf8',
        env: { ...process.env, LC_ALL: 'C', TZ: 'UTC' },
        stdio: ['ignore', 'pipe', 'ignore'],
      })
      .trim();
    const [state = '', ...started] = text.split(/\s+/);
    return { startedAt: started.join(' '), zombie: state.startsWith('Z') };
  } catch {
    return undefined;
  }
}

/** Fields 3 (state) and 22 (start in ticks since boot); the name in parentheses before them may hold blanks and `)`. */
export function parseProcStat(text: string): { startedAt: string; zombie: boolean } | undefined {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const started = fields[19];
  return started === undefined ? undefined : { startedAt: started, zombie: fields[0] === 'Z' || fields[0] === 'X' };
}

/** The host name alone is no identity ("localhost"); with the machine's id it nearly is. */
function readHost(): string {
  const id = process.platform === 'linux' ? readText('/etc/machine-id') : '';
  return id === '' ? hostname() : `${hostname()}/${short(id)}`;
}

function readBootId(): string {
  if (process.platform === 'linux') return readText('/proc/sys/kernel/random/boot_id');
  try {
    return processes().execFileSync('sysctl', ['-n', 'kern.bootsessionuuid'], { encoding: 'utf8' }).trim();
  } catch {
    return '';
  }
}

function readPidSpace(): string {
  try {
    return process.platform === 'linux' ? readlinkSync('/proc/self/ns/pid').replace(/\D/g, '') : '';
  } catch {
    return 'unknown';
  }
}

/** Asked for where there is no /proc to read: it is dear to load. */
function processes(): typeof import('node:child_process') {
  return process.getBuiltinModule('node:child_process');
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return '';
  }
}

function short(text: string): string {
  return hash('sha256', text).slice(0, 10);
}
