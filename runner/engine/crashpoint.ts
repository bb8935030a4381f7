/**
 * Numbered places at which a test lets the process die, as kill -9 would: around read, apply, write, prepare, commit and
 * publish. Builds leave them out (`OXIFLOW_CRASHPOINTS` is defined as false there), so they cost nothing in production.
 */
import { writeSync } from 'node:fs';

declare const OXIFLOW_CRASHPOINTS: boolean | undefined;

const enabled = typeof OXIFLOW_CRASHPOINTS === 'undefined' || OXIFLOW_CRASHPOINTS;
const target = enabled ? Number(process.env.OXIFLOW_CRASH_AT ?? 0) : 0;
const report = enabled && process.env.OXIFLOW_CRASH_REPORT === '1';
let passed = 0;

/** The run passes the place `name`; the `OXIFLOW_CRASH_AT`-th one (from 1) is its last. */
export function crashpoint(name: string): void {
  if (!enabled || (target === 0 && !report)) return;
  passed++;
  if (report) writeSync(2, `crashpoint ${passed} ${name}\n`);
  if (passed === target) process.kill(process.pid, 'SIGKILL');
}
