/** The tales of a bicycle hire, and for each a small oracle of its own: what its pipeline has to make of the day's rides. */
import type { Random } from './random.ts';
import type { ExpectedLetter, Tale } from './scene.ts';

interface Ride {
  ride: number;
  bike: string;
  from: string;
  km: number;
  note: string;
}

const STATIONS = ['Harbour', 'Hill', 'Market', 'University', 'Zoo', 'Bahnhof Süd'] as const;
const NOTES = ['', 'bell broken', 'says "mine", left', 'two\nlines', 'naïve, 🚲', '7', ' blank'] as const;
/** Makes a ride about 200 bytes long. */
const ROUTE = 'along the river and over the old bridge, then up the hill and past the mill; ';

/** Rides of about so many bytes together, as text of one ride a line. */
function rides(random: Random, bytes: number): Ride[] {
  const list: Ride[] = [];
  for (let held = 0; held < bytes; held += 190) {
    list.push({
      ride: list.length,
      bike: `b${random.below(300)}`,
      from: random.pick(STATIONS),
      km: random.below(400) / 10,
      note: ROUTE + random.pick(NOTES),
    });
  }
  return list;
}

function lines(records: readonly unknown[]): string {
  return records.map((record) => `${JSON.stringify(record)}\n`).join('');
}

function cell(text: string): string {
  return /[",\r\n]/.test(text) || /^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** RFC 4180 by hand, LF behind a row. */
function csv(columns: readonly string[], rows: readonly Readonly<Record<string, unknown>>[]): string {
  const row = (cells: readonly string[]): string => `${cells.map(cell).join(',')}\n`;
  return row(columns) + rows.map((record) => row(columns.map((name) => String(record[name] ?? '')))).join('');
}

const INPUT = 'in/rides.ndjson';
const ofLines = (random: Random, bytes: number): Record<string, string> => ({ [INPUT]: lines(rides(random, bytes)) });
/** The rides of an input that holds nothing else. */
const ridesIn = (input: Readonly<Record<string, string>>): Ride[] =>
  (input[INPUT] ?? '')
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Ride);

const READ = [
  { name: 'read_file', config: { path: INPUT } },
  { name: 'parse_json', config: { framing: 'lines' } },
];

/** Each month's file knows more columns than the one before. */
const growing: Tale = {
  name: 'CSV to CSV with columns that grow',
  threads: 1,
  input: (random, bytes) => {
    const all = rides(random, bytes);
    const part = Math.ceil(all.length / 3);
    return {
      'in/1-april.csv': csv(['ride', 'km', 'note'], all.slice(0, part) as never),
      'in/2-may.csv': csv(['ride', 'from', 'note', 'km'], all.slice(part, 2 * part) as never).replaceAll(
        /\n(?=\d)/g,
        '\r\n',
      ),
      'in/3-june.csv': csv(['bike', 'note', 'ride', 'km'], all.slice(2 * part) as never),
    };
  },
  pipeline: {
    pipeline: [
      { name: 'read_file', config: { path: 'in/*.csv' } },
      { name: 'parse_csv' },
      { name: 'filter', config: { where: 'km != "0"' } },
      { name: 'format_csv' },
      { name: 'write_file', config: { path: 'out/rides.csv' } },
    ],
  },
  outcome: (input) => {
    const read = (name: string): Record<string, string>[] => rows(input[name] ?? '');
    const all = ['in/1-april.csv', 'in/2-may.csv', 'in/3-june.csv'].flatMap(read);
    const kept = all.filter(({ km }) => km !== '0');
    return {
      files: { 'rides.csv': csv(['ride', 'km', 'note', 'from', 'bike'], kept) },
      counters: { added: all.length, out: kept.length, filtered: all.length - kept.length },
    };
  },
};

/** Reads CSV with a header by one regular expression a cell. */
function rows(text: string): Record<string, string>[] {
  const found: string[][] = [[]];
  for (const [, quoted, plain = '', end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|$)/g)) {
    if (end === '' && plain === '' && quoted === undefined) break;
    found.at(-1)?.push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
    if (end !== ',') found.push([]);
  }
  const [header = [], ...rest] = found.filter((cells) => cells.length > 0);
  return rest.map((cells) => Object.fromEntries(header.map((name, i) => [name, cells[i] ?? ''])));
}

const arrays: Tale = {
  name: 'batches into arrays',
  threads: 1,
  input: ofLines,
  pipeline: {
    pipeline: [
      ...READ,
      { name: 'filter', config: { where: 'km > 1' } },
      { name: 'batch', config: { emit: 'array', batch_size: 701 } },
      { name: 'write_file', config: { path: 'out/batches.ndjson' } },
    ],
  },
  outcome: (input) => {
    const all = ridesIn(input);
    const kept = all.filter(({ km }) => km > 1);
    const batches: Ride[][] = [];
    for (let at = 0; at < kept.length; at += 701) batches.push(kept.slice(at, at + 701));
    return {
      files: { 'batches.ndjson': lines(batches) },
      counters: { added: all.length, filtered: all.length - kept.length, out: batches.length },
    };
  },
};

const records: Tale = {
  name: 'batches of records, filled and emptied by two threads',
  threads: 1,
  input: ofLines,
  pipeline: {
    pipeline: [
      ...READ,
      { name: 'batch', config: { strategy: 'size', batch_size: 977, threads: 2 } },
      { name: 'map', config: { set: { km: 'km * 2' }, drop: ['note'] } },
      { name: 'write_file', config: { path: 'out/rides.ndjson' } },
    ],
  },
  outcome: (input) => {
    const made = ridesIn(input).map(({ note: _note, ...ride }) => ({ ...ride, km: ride.km * 2 }));
    return { files: { 'rides.ndjson': lines(made) }, counters: { added: made.length, out: made.length } };
  },
};

const WITHIN = 900;

/** Of rides with the same bike and station, the first among the last so many that stayed. */
function deduped(all: readonly Ride[]): Ride[] {
  const recent: string[] = [];
  const seen = new Set<string>();
  return all.filter(({ bike, from }) => {
    const key = JSON.stringify([bike, from]);
    if (seen.has(key)) return false;
    seen.add(key);
    recent.push(key);
    if (recent.length > WITHIN) seen.delete(recent.shift() ?? '');
    return true;
  });
}

const FIRST = 15_000;

/** The limit stands in a chain of its own: in the main one it would end the reading, sooner or later. */
const remembered: Tale = {
  name: 'dedupe, and a limit in a chain of its own',
  threads: 1,
  input: ofLines,
  pipeline: {
    pipeline: [
      ...READ,
      { name: 'dedupe', config: { key: ['bike', 'from'], within: WITHIN } },
      {
        name: 'tee',
        config: {
          steps: [
            { name: 'limit', config: { records: FIRST } },
            { name: 'write_file', id: 'first', config: { path: 'out/first.ndjson' } },
          ],
        },
      },
      { name: 'write_file', config: { path: 'out/rides.ndjson' } },
    ],
  },
  outcome: (input) => {
    const kept = deduped(ridesIn(input));
    return { files: { 'first.ndjson': lines(kept.slice(0, FIRST)), 'rides.ndjson': lines(kept) } };
  },
};

const teed: Tale = {
  name: 'a tee to two files',
  threads: 2,
  input: ofLines,
  pipeline: {
    pipeline: [
      ...READ,
      {
        name: 'tee',
        config: {
          steps: [
            { name: 'filter', id: 'long', config: { where: 'km >= 20' } },
            { name: 'format_csv', config: { columns: ['ride', 'note', 'km'] } },
            { name: 'write_file', id: 'longs', config: { path: 'out/long.csv' } },
          ],
        },
      },
      { name: 'map', config: { set: { metres: 'round(km * 1000)' }, drop: ['note'] } },
      { name: 'format_json', config: { framing: 'array' } },
      { name: 'write_file', config: { path: 'out/rides.json' } },
    ],
  },
  outcome: (input) => {
    const all = ridesIn(input);
    const made = all.map(({ note: _note, ...ride }) => ({ ...ride, metres: Math.round(ride.km * 1000) }));
    const long = all.filter(({ km }) => km >= 20);
    return {
      files: {
        'long.csv': csv(['ride', 'note', 'km'], long as never),
        'rides.json': `${JSON.stringify(made)}\n`,
      },
    };
  },
};

/** One line in seven is broken for the parser, one in eleven for the map. */
const letters: Tale = {
  name: 'dead letters of a parser and of a map',
  threads: 2,
  input: (random, bytes) => ({
    [INPUT]: rides(random, bytes)
      .map((ride) => {
        const line = JSON.stringify(ride);
        if (ride.ride % 7 === 3) return `${line.slice(0, random.pick([1, 20, 50]))}\n`;
        if (ride.ride % 11 === 5) return `${line.replace(/"km":[\d.]+/, '"km":"far"')}\n`;
        return `${line}\n`;
      })
      .join(''),
  }),
  pipeline: {
    pipeline: [
      { name: 'read_file', config: { path: INPUT } },
      { name: 'parse_json', config: { framing: 'lines' }, on_error: 'dead_letter' },
      { name: 'map', config: { set: { km: 'km * 2' }, drop: ['note'] }, on_error: 'dead_letter' },
      { name: 'write_file', config: { path: 'out/rides.ndjson' } },
    ],
    dead_letter: { path: 'out/letters.ndjson', max_records: 1_000_000 },
  },
  outcome: (input) => {
    const made: unknown[] = [];
    const given: ExpectedLetter[] = [];
    let offset = 0;
    const all = (input[INPUT] ?? '').split('\n').slice(0, -1);
    for (const line of all) {
      const letter = (step: string, code: string): void =>
        void given.push({ step, code, file: INPUT, offset, record: line });
      let ride: (Omit<Ride, 'km'> & { km: unknown }) | undefined;
      try {
        ride = JSON.parse(line);
      } catch {
        letter('parse_json', 'GRAMMAR');
      }
      if (ride !== undefined) {
        const { note: _note, km, ...rest } = ride;
        if (typeof km === 'number') {
          const { ride: number, bike, from } = rest;
          made.push({ ride: number, bike, from, km: km * 2 });
        } else letter('map', 'VALUE');
      }
      offset += Buffer.byteLength(line) + 1;
    }
    return {
      files: { 'rides.ndjson': lines(made) },
      letters: given,
      counters: { added: all.length, out: made.length, dead_lettered: given.length },
    };
  },
};

const twoSegments: Tale = {
  name: 'two segments: the second reads what the first wrote, and how much',
  threads: 2,
  input: (random, bytes) => ({
    'in/rides.csv': csv(['ride', 'bike', 'from', 'km', 'note'], rides(random, bytes) as never),
  }),
  pipeline: {
    pipeline: [
      { name: 'read_file', id: 'rides', config: { path: 'in/rides.csv' } },
      { name: 'parse_csv', config: { types: { ride: 'int', km: 'float' } } },
      { name: 'filter', config: { where: 'km > 10' } },
      { name: 'write_file', id: 'long', config: { path: 'out/long.ndjson' } },
      { name: 'read_file', id: 'again', config: { path: 'out/long.ndjson' } },
      { name: 'parse_json', id: 'parse_again' },
      { name: 'map', config: { set: { of: '${steps.long.records}' }, drop: ['note', 'bike'] } },
      { name: 'write_file', id: 'share', config: { path: 'out/share.ndjson' } },
    ],
  },
  outcome: (input) => {
    const long = rows(input['in/rides.csv'] ?? '')
      .map(({ ride, bike, from, km, note }) => ({ ride: Number(ride), bike, from, km: Number(km), note }))
      .filter(({ km }) => km > 10);
    const share = long.map(({ ride, from, km }) => ({ ride, from, km, of: long.length }));
    return { files: { 'long.ndjson': lines(long), 'share.ndjson': lines(share) } };
  },
};

const sideBySide: Tale = {
  name: 'stages side by side on two threads each',
  threads: 2,
  input: ofLines,
  pipeline: {
    pipeline: [
      { name: 'read_file', config: { path: INPUT } },
      { name: 'parse_json', config: { framing: 'lines', threads: 2 } },
      { name: 'filter', config: { where: 'from != "Zoo"', threads: 3 } },
      { name: 'map', config: { set: { km: 'km / 2' }, rename: { bike: 'cycle' }, threads: 2 } },
      { name: 'format_csv', config: { columns: ['ride', 'cycle', 'km', 'note'] } },
      { name: 'write_file', config: { path: 'out/rides.csv' } },
    ],
  },
  outcome: (input) => {
    const all = ridesIn(input);
    const kept = all.filter(({ from }) => from !== 'Zoo');
    const made = kept.map((ride) => ({ ...ride, cycle: ride.bike, km: ride.km / 2 }));
    return {
      files: { 'rides.csv': csv(['ride', 'cycle', 'km', 'note'], made as never) },
      counters: { added: all.length, out: made.length, filtered: all.length - made.length },
    };
  },
};

export const TALES: readonly Tale[] = [growing, arrays, records, remembered, teed, letters, twoSegments, sideBySide];
