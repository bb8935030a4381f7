/**
 * What one version of a document holds in the backend `file`, and how runs and leases are called on disk.
 */
import { hash } from 'node:crypto';
import { corrupt, newer } from './faults.ts';
import { type LeaseRecord, parseLease } from './lease.ts';
import { FORMAT, isObject, unseal } from './seal.ts';
import type { Json, Lease, Part, StoredDocument } from './store.ts';

export type Body = { [key: string]: Json };

/** One version of a document. `version` counts writes of the body, the number of the file counts everything. */
export interface Payload {
  run_key: string;
  part: Part;
  version: number;
  token: number;
  written_at: string;
  boot_id: string;
  /** null: nothing written yet, or removed. */
  body: Body | null;
  lease: LeaseRecord | null;
  removed: boolean;
}

/** `number` is that of the file in its chain. */
export type Head = Payload & { number: number };

/** A version without its body. */
export type Glance = Omit<Head, 'body'> & { present: boolean };

/** Readable, and never more than one plain name: the text is cut and cleaned, the hash tells apart what looks alike. */
export function folderName(runKey: string): string {
  return `${runKey.replaceAll(/[^A-Za-z0-9_-]/g, '_').slice(0, 48)}-${hash('sha256', runKey).slice(0, 20)}`;
}

/** Others that stand beside the folders of runs are not ours. */
export function isFolderName(name: string): boolean {
  return /^[A-Za-z0-9_-]{0,48}-[0-9a-f]{20}$/.test(name);
}

export function beatName(part: Part, token: number): string {
  return `lease-${part}-${token}.json`;
}

/** The lease is the one that the newest version names. */
export function holds(head: Pick<Head, 'token' | 'lease'>, lease: Lease): boolean {
  return head.token === lease.token && head.lease !== null && !head.lease.released;
}

export function documentOf(head: Head | undefined): StoredDocument | undefined {
  if (head === undefined || head.body === null) return undefined;
  return { version: head.version, token: head.token, writtenAt: head.written_at, body: head.body };
}

/** The payload of a state file; throws where it is damaged or newer. */
export function openPayload(text: string, path: string, runKey: string): Body {
  const found = unseal(text);
  if (found.kind === 'newer') throw newer(path, found.format, FORMAT);
  if (found.kind === 'damaged') throw corrupt(path, found.reason, runKey);
  return found.payload;
}

/** The payload of a version, or why it is damaged; throws where it is newer. */
export function parsePayload(
  text: string,
  path: string,
  runKey: string,
  part: Part,
): { payload: Payload } | { reason: string } {
  const found = unseal(text);
  if (found.kind === 'newer') throw newer(path, found.format, FORMAT);
  if (found.kind === 'damaged') return { reason: found.reason };
  const { run_key, part: itsPart, version, token, written_at, boot_id, body, removed } = found.payload;
  const lease = found.payload.lease === null ? null : parseLease(found.payload.lease);
  if (run_key !== runKey || itsPart !== part) return { reason: 'it belongs to another run or part' };
  if (
    typeof version !== 'number' ||
    typeof token !== 'number' ||
    typeof written_at !== 'string' ||
    typeof boot_id !== 'string' ||
    typeof removed !== 'boolean' ||
    lease === undefined ||
    !(body === null || isObject(body))
  ) {
    return { reason: 'its fields are not those of a state document' };
  }
  return { payload: { run_key, part, version, token, written_at, boot_id, body, lease, removed } };
}
