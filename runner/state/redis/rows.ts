/** What the scripts take and answer, as the contract's types. */
import { corrupt, newer } from '../faults.ts';
import { isProvenDead } from '../host.ts';
import { FORMAT, isObject, sealAs, unseal } from '../seal.ts';
import type * as store from '../store.ts';

export type Body = { [key: string]: store.Json };

/** A document as it is kept. */
export function sealDocument(runKey: string, part: store.Part, version: number, body: Body): string {
  return sealAs('crc32', { run_key: runKey, part, version, body });
}

export type Opened =
  | { kind: 'good'; version: number; body: Body }
  | { kind: 'damaged'; reason: string }
  | { kind: 'newer'; format: number };

export function unsealDocument(text: string, runKey: string, part: string): Opened {
  const found = unseal(text);
  if (found.kind !== 'good') return found;
  const { run_key, part: itsPart, version, body } = found.payload;
  if (run_key !== runKey || itsPart !== part) return { kind: 'damaged', reason: 'it belongs to another run or part' };
  if (typeof version !== 'number' || body === undefined || !isObject(body))
    return { kind: 'damaged', reason: 'its fields are not those of a state document' };
  return { kind: 'good', version, body };
}

/** The answer of READ; throws STATE_CORRUPT. */
export function documentOf(
  answer: readonly string[],
  runKey: string,
  part: store.Part,
  location: string,
): { document: store.StoredDocument; wrote: string; entry: string } | undefined {
  const [version, token, written, wrote = '', text, entry = ''] = answer;
  if (text === undefined) return undefined;
  const found = unsealDocument(text, runKey, part);
  if (found.kind === 'newer') throw newer(location, found.format, FORMAT);
  if (found.kind === 'damaged') throw corrupt(location, `${part}: ${found.reason}`, runKey);
  if (found.version !== Number(version))
    throw corrupt(location, `${part}: its version is not that of its entry`, runKey);
  const writtenAt = isoOf(Number(written));
  return { document: { version: found.version, token: Number(token), writtenAt, body: found.body }, wrote, entry };
}

/** Throws STATE_CORRUPT where it is no holder. */
export function holderOf(text: string, runKey: string, location: string): store.Holder {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  const holder = value as Partial<store.Holder> | undefined;
  const ok =
    typeof holder === 'object' &&
    holder !== null &&
    typeof holder.pid === 'number' &&
    [holder.workerId, holder.host, holder.bootId, holder.pidSpace, holder.startedAt].every(
      (field) => typeof field === 'string',
    );
  if (!ok) throw corrupt(location, 'the holder of a lease is damaged', runKey);
  return holder as store.Holder;
}

/** Who held the lease before, as ACQUIRE and CLAIM tell it; undefined where nobody did. */
export function predecessorOf(
  text: string,
  runKey: string,
  location: string,
): Extract<store.AcquireResult, { acquired: true }>['predecessor'] {
  const found = /^(\d+) ([12]) (.*)$/s.exec(text);
  if (found === null) return undefined;
  const holder = holderOf(found[3] ?? '', runKey, location);
  return { holder, token: Number(found[1]), released: found[2] === '2', provenDead: isProvenDead(holder) };
}

export function standingOf(holder: store.Holder, remainingMs: number): store.LeaseStanding {
  const provenDead = isProvenDead(holder);
  const over = provenDead || remainingMs <= 0;
  return { holder, over, provenDead, remainingMs: over ? 0 : remainingMs };
}

/** How the host of this process is written in a stored holder: of others nothing can be proven. */
export function hostMark(holder: store.Holder): string {
  return `"host":${JSON.stringify(holder.host)}`;
}

export function isoOf(ms: number): string {
  return ms === 0 ? '' : new Date(ms).toISOString();
}
