/** `repair` of a run in Redis: what is damaged goes to a hash beside it, and the version before takes its place where it is whole. */
import { newer } from '../faults.ts';
import { FORMAT } from '../seal.ts';
import type { Part } from '../store.ts';
import { type Head, FORMAT as LAYOUT, unpackHead } from './head.ts';
import type { Keys } from './keys.ts';
import type { Place } from './place.ts';
import { unsealDocument } from './rows.ts';
import { DUMP, EVICT, MEND } from './scripts.ts';

type Fields = Map<string, string>;

interface Damage {
  part: Part;
  /** Version and checksum that become the newest; 0 for none. */
  version: number;
  sum: string;
  fields: string[];
}

const TIMES = /^\d+ \d+ \d+ \d+$/;
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
  const types = [
    [keys.run(runKey), 'hash'],
    [keys.requests(runKey), 'list'],
    [keys.aside(runKey), 'hash'],
  ] as const;
  for (const [key, type] of types) {
    const away = `${key}:foreign:${new Date().toISOString()}`;
    if (Number(await place.call(runKey, EVICT, [key, away], [type])) === 1) quarantined.push(away);
  }
  for (let round = 0; round < ROUNDS; round++) {
    const fields = await dump(place, keys.run(runKey));
    const damages = partsOf(fields).flatMap((part) => damageOf(fields, part, runKey, location) ?? []);
    if (damages.length === 0) break;
    for (const { part, version, sum, fields: bad } of damages) {
      const stamp = new Date().toISOString();
      const aside = keys.aside(runKey);
      const args = [part, fields.get(`h:${part}`) ?? '', version, sum, stamp, ...bad];
      if (Number(await place.call(runKey, MEND, [keys.run(runKey), aside], args)) !== 1) continue;
      quarantined.push(...bad.map((field) => `${aside} ${stamp} ${field}`));
      if (version > 0) restored.push({ part, version });
    }
  }
  return { quarantined, restored };
}

async function dump(place: Place, key: string): Promise<Fields> {
  const flat = (await place.call(undefined, DUMP, [key])) as string[];
  return new Map(Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i] ?? '', flat[2 * i + 1] ?? '']));
}

function partsOf(fields: Fields): Part[] {
  const names = [...fields.keys()].flatMap((field) => /^[h01]:(.+)$/s.exec(field)?.[1] ?? []);
  return [...new Set(names)] as Part[];
}

function damageOf(fields: Fields, part: Part, runKey: string, location: string): Damage | undefined {
  const head = headOf(fields.get(`h:${part}`), location);
  const slots = ['0', '1'].flatMap((slot) => {
    const field = `${slot}:${part}`;
    const text = fields.get(field);
    if (text === undefined) return [];
    const found = unsealDocument(text, runKey, part);
    if (found.kind === 'newer') throw newer(location, found.format, FORMAT);
    const good = found.kind === 'good' && found.version % 2 === Number(slot) ? found : { version: 0, sum: '-' };
    return [{ field, version: good.version, sum: good.sum }];
  });
  if (head !== undefined) {
    const none = { version: 0, sum: '-' };
    const newest = head.present ? slots.find(({ sum, version }) => sum === head.sum && version === head.version) : none;
    const times = `t:${part}`;
    if (newest !== undefined)
      return TIMES.test(fields.get(times) ?? '')
        ? undefined
        : { part, version: newest.version, sum: newest.sum, fields: [times] };
  }
  const good = slots.filter(({ version }) => version > 0).sort((a, b) => b.version - a.version)[0];
  const others = slots.filter((slot) => slot !== good).map(({ field }) => field);
  const bad = head === undefined && fields.has(`h:${part}`) ? [`h:${part}`, ...others] : others;
  return { part, version: good?.version ?? 0, sum: good?.sum ?? '-', fields: bad.length > 0 ? bad : [`h:${part}`] };
}

/** undefined: damaged, or gone. */
function headOf(raw: string | undefined, location: string): Head | undefined {
  const found = unpackHead(raw ?? '');
  if (found.kind === 'newer') throw newer(location, found.format, LAYOUT);
  return found.kind === 'good' ? found.head : undefined;
}
