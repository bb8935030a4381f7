/** `repair` of a run in Redis: what is damaged goes to a hash beside it, and the newest version that is whole takes its place. */
import { newer, older } from '../faults.ts';
import { FORMAT } from '../seal.ts';
import type { Part } from '../store.ts';
import { FORMAT as LAYOUT, unpackHead } from './head.ts';
import type { Keys } from './keys.ts';
import type { Place } from './place.ts';
import { unsealDocument } from './rows.ts';
import { ALL_HEADS, ENTRIES, EVICT, MEND } from './scripts.ts';

interface Damage {
  part: Part;
  /** As it was found. */
  head: string;
  isHeadBad: boolean;
  /** Id of the last entry, and of those that are not whole. */
  last: string;
  bad: string[];
  /** That becomes the newest; 0 for none. */
  version: number;
}

/** Times that it looks again where others write meanwhile. */
const ROUNDS = 5;

export async function repairRun(
  place: Place,
  keys: Keys,
  runKey: string,
  location: string,
): Promise<{ quarantined: string[]; restored: { part: Part; version: number }[] }> {
  const quarantined: string[] = [];
  const restored: { part: Part; version: number }[] = [];
  const run = keys.run(runKey);
  const aside = keys.aside(runKey);
  const evict = async (key: string, type: string): Promise<void> => {
    const away = `${key}:foreign:${new Date().toISOString()}`;
    if (Number(await place.call(runKey, EVICT, [key, away], [type])) === 1) quarantined.push(away);
  };
  await evict(run, 'hash');
  await evict(keys.requests(runKey), 'list');
  await evict(aside, 'hash');
  for (let round = 0; round < ROUNDS; round++) {
    const heads = (await place.call(runKey, ALL_HEADS, [run])) as string[];
    const damages: Damage[] = [];
    const known = new Set<string>();
    const look = async (part: Part, head: string): Promise<boolean> => {
      known.add(part);
      await evict(keys.documents(runKey, part), 'stream');
      const entries = (await place.call(runKey, ENTRIES, [run], [part], [part])) as string[];
      if (head === '' && entries.length === 0) return false;
      const damage = damageOf(part, head, entries, runKey, location);
      if (damage !== undefined) damages.push(damage);
      return true;
    };
    for (let i = 0; i < heads.length; i += 2) await look(heads[i] as Part, heads[i + 1] ?? '');
    // Where the hash was evicted, the documents are still there.
    if (!known.has('run')) await look('run', '');
    for (const kind of ['split', 'group'] as const)
      for (let k = 0; known.has(`${kind}-${k}`) || (await look(`${kind}-${k}`, '')); k++);
    if (damages.length === 0) break;
    for (const { part, head, isHeadBad, last, bad, version } of damages) {
      const stamp = new Date().toISOString();
      const args = [part, head, last, isHeadBad ? '1' : '0', stamp, ...bad];
      if (Number(await place.call(runKey, MEND, [run, aside], args, [part])) !== 1) continue;
      quarantined.push(
        ...[...(isHeadBad ? [`h:${part}`] : []), ...bad.map((id) => `${part} ${id}`)].map(
          (name) => `${aside} ${stamp} ${name}`,
        ),
      );
      if (version > 0) restored.push({ part, version });
    }
  }
  return { quarantined, restored };
}

/** `entries`: id and document of each, oldest first. */
function damageOf(
  part: Part,
  head: string,
  entries: readonly string[],
  runKey: string,
  location: string,
): Damage | undefined {
  const found = unpackHead(head);
  if (found.kind === 'foreign') throw (found.format > LAYOUT ? newer : older)(location, found.format, LAYOUT);
  const bad: string[] = [];
  let version = 0;
  let last = '';
  for (let i = 0; i < entries.length; i += 2) {
    last = entries[i] ?? '';
    const itsVersion = Number(last.split('-')[1]);
    const document = unsealDocument(entries[i + 1] ?? '', runKey, part);
    if (document.kind === 'newer') throw newer(location, document.format, FORMAT);
    if (document.kind === 'good' && document.version === itsVersion) version = itsVersion;
    else bad.push(last);
  }
  const isWhole = found.kind === 'good' && found.present === entries.length > 0 && !bad.includes(last);
  const isHeadBad = head !== '' && (found.kind === 'damaged' || entries.length === 0);
  return isWhole ? undefined : { part, head, isHeadBad, last, bad, version };
}
