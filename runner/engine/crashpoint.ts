/**
 * Numbered places at which a test lets the process die (as kill -9 would) or freeze: around read, apply, write, prepare,
 * commit and publish. Builds leave them out (`OXIFLOW_CRASHPOINTS` is defined as false there), so they cost nothing in
 * production, and no variable that is named here means anything to a build.
 */
import { writeSync } from 'node:fs';

declare const OXIFLOW_CRASHPOINTS: boolean | undefined;

const enabled = typeof OXIFLOW_CRASHPOINTS === 'undefined' || OXIFLOW_CRASHPOINTS;

/** The `at`-th place that is passed (from 1); of those called `name`, where one is given. */
interface Target {
  name: string | undefined;
  at: number;
}

/** `7`, `publish` or `write:3`. */
function targetOf(variable: string): Target | undefined {
  const text = enabled ? process.env[variable] : undefined;
  if (text === undefined) return undefined;
  const [, name, at] = /^([a-z]+)?:?(\d+)?$/.exec(text) ?? [];
  return { name, at: Number(at ?? 1) };
}

const crash = targetOf('OXIFLOW_CRASH_AT');
const stop = targetOf('OXIFLOW_STOP_AT');
const report = enabled && process.env.OXIFLOW_CRASH_REPORT === '1';
const passed = new Map<string | undefined, number>();

/** The run passes the place `name`; the one that `OXIFLOW_CRASH_AT` means is its last, at that of `OXIFLOW_STOP_AT` it freezes. */
export function crashpoint(name: string): void {
  if (!enabled || (crash === undefined && stop === undefined && !report)) return;
  for (const counted of [undefined, name]) passed.set(counted, (passed.get(counted) ?? 0) + 1);
  if (report) writeSync(2, `crashpoint ${passed.get(undefined)} ${name}\n`);
  if (isAt(crash, name)) process.kill(process.pid, 'SIGKILL');
  if (isAt(stop, name)) process.kill(process.pid, 'SIGSTOP');
}

function isAt(target: Target | undefined, name: string): boolean {
  if (target === undefined || (target.name !== undefined && target.name !== name)) return false;
  return passed.get(target.name) === target.at;
}

/** A thread of a pool takes a block; `OXIFLOW_THREAD_EXIT_AT` says before which of its blocks (from 1) it dies. */
export function threadpoint(): void {
  const at = enabled ? process.env.OXIFLOW_THREAD_EXIT_AT : undefined;
  if (at === undefined) return;
  const taken = (passed.get('thread') ?? 0) + 1;
  passed.set('thread', taken);
  if (taken === Number(at)) process.exit(9);
}

/** `OXIFLOW_SOFT_INTERVAL_MS`: milliseconds between soft checkpoints, so that small inputs have many; `usual` without it. */
export function softInterval(usual: number): number {
  const ms = enabled ? process.env.OXIFLOW_SOFT_INTERVAL_MS : undefined;
  return ms === undefined ? usual : Number(ms);
}

/** `OXIFLOW_STUCK_AFTER_MS`: milliseconds until a run that does not move is stuck; `usual` without it. */
export function stuckAfter(usual: number): number {
  const ms = enabled ? process.env.OXIFLOW_STUCK_AFTER_MS : undefined;
  return ms === undefined ? usual : Number(ms);
}
