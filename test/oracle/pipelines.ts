/**
 * What the example pipelines have to write, computed without the runner: one function a pipeline, from the input's text to
 * the records of the output. `test/oracle/oracle.ts` is the command around it.
 */
import { keep, made, type Node, parse, print, put, read, rename, touch } from './tokens.ts';

/** The lines of NDJSON text that hold a record. */
function* linesOf(text: string): Generator<string> {
  for (const line of text.split('\n')) if (line.trim() !== '') yield line;
}

/** One event of a web shop, or undefined where the filter takes it out. */
export function event(line: string): string | undefined {
  const record = parse(line);
  if (read(record, 'ok') !== true) return undefined;
  const total = Math.round(Number(read(record, 'amount')) * 119) / 100;
  const userKey = `${read(record, 'user', 'country')}:${read(record, 'user', 'id')}`;
  put(record, 'total', made(total));
  put(record, 'user_key', made(userKey));
  rename(record, 'ts', 'timestamp');
  keep(record, (key) => key !== 'ua');
  return print(record);
}

/** Pipelines `events` and `events_stream`, and W1 of the benchmark: NDJSON text to records. */
export function events(text: string): string[] {
  const records: string[] = [];
  for (const line of linesOf(text)) {
    const record = event(line);
    if (record !== undefined) records.push(record);
  }
  return records;
}

/** A copy of NDJSON: every record checked, white space outside strings removed. W4 of the benchmark. */
export function copy(text: string): string[] {
  return [...linesOf(text)].map((line) => print(parse(line)));
}

/** Pipeline `earthquakes`: a GeoJSON document to flat records. */
export function earthquakes(text: string, minMagnitude = 4.5): string[] {
  const features = touch(parse(text), 'features');
  if (features?.kind !== 'array') throw new Error('the document has no list "features"');
  const records: string[] = [];
  for (const feature of features.items) {
    const properties = (key: string): unknown => read(feature, 'properties', key);
    if (properties('type') !== 'earthquake' || Number(properties('mag')) < minMagnitude) continue;
    const depth = Number(read(feature, 'geometry', 'coordinates', 2));
    const computed: [string, unknown][] = [
      ['magnitude', properties('mag')],
      ['place', properties('place')],
      ['time_ms', properties('time')],
      ['longitude', read(feature, 'geometry', 'coordinates', 0)],
      ['latitude', read(feature, 'geometry', 'coordinates', 1)],
      ['depth_km', depth],
      ['depth', depth < 70 ? 'shallow' : depth < 300 ? 'intermediate' : 'deep'],
      ['felt_reports', properties('felt') ?? 0],
      ['tsunami_bulletin', properties('tsunami') === 1],
    ];
    const names = new Set(['event']);
    for (const [key, value] of computed) {
      put(feature, key, { kind: 'token', text: JSON.stringify(value) });
      names.add(key);
    }
    rename(feature, 'id', 'event');
    keep(feature, (key) => names.has(key));
    records.push(print(feature));
  }
  return records;
}

function itemsOf(text: string): Node[] {
  const array = parse(text);
  if (array.kind !== 'array') throw new Error('the text is no array');
  return array.items;
}

/** Pipeline `flights`: an array of flights to those that were late by an hour or more. */
export function flights(text: string): string[] {
  const records: string[] = [];
  for (const flight of itemsOf(text)) {
    const delay = Number(read(flight, 'delay'));
    if (delay < 60) continue;
    const time = Number(read(flight, 'time'));
    put(flight, 'delay_hours', made(Math.round((delay * 100) / 60) / 100));
    put(flight, 'distance_km', made(Math.round(Number(read(flight, 'distance')) * 1.609344)));
    const part = time < 6 ? 'night' : time < 12 ? 'morning' : time < 18 ? 'afternoon' : 'evening';
    put(flight, 'part_of_day', made(part));
    rename(flight, 'delay', 'delay_minutes');
    keep(flight, (key) => key !== 'distance');
    records.push(print(flight));
  }
  return records;
}

/** Pipeline `flights_as_lines`: the elements of an array as they are. */
export function flightsAsLines(text: string): string[] {
  return itemsOf(text).map(print);
}

/** Records as NDJSON text: a line feed behind each. */
export function asLines(records: readonly string[]): string {
  return records.map((record) => `${record}\n`).join('');
}

/** Pipeline `flights_by_threads`: every flight, in metric units. */
export function metricFlights(text: string): string[] {
  return itemsOf(text).map((flight) => {
    put(flight, 'delay_hours', made(Math.round((Number(read(flight, 'delay')) * 100) / 60) / 100));
    put(flight, 'distance_km', made(Math.round(Number(read(flight, 'distance')) * 1.609344)));
    keep(flight, (key) => key !== 'distance');
    return print(flight);
  });
}
