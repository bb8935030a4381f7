/**
 * Makes lines and streams that both sides of the protocol have to judge alike: `generated.ndjson`, random lines of every type
 * and the same with one thing changed, each with the schemas' verdict; `streams/`, whole files, whole and damaged, with what a
 * reader has to find in them. The same every time: a test holds the files to it.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { EVENT_TYPES, type EventType, jsonSchemas, lineSchema } from '../../../runner/observe/event-schemas.ts';
import { type Random, randomOf } from '../../fault/random.ts';

const HERE = fileURLToPath(new URL('./', import.meta.url));
const PER_TYPE = 40;

interface Schema {
  $ref?: string;
  $defs?: Record<string, Schema>;
  anyOf?: Schema[];
  const?: unknown;
  enum?: unknown[];
  type?: string;
  pattern?: string;
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
}

/** good: within the schemas. newer: with a field or type that they don't have, which a reader passes over. bad: neither. */
export interface Line {
  verdict: 'good' | 'newer' | 'bad';
  what: string;
  line: string;
}

const TEXTS = [
  '',
  'rides',
  'Hügel',
  '雪',
  '😀',
  '"quoted" \\ and /',
  'two\nlines',
  '\u2028',
  '\u0000',
  '-1',
  'null',
  'é',
];

class Maker {
  readonly #random: Random;
  readonly #defs: Record<string, Schema>;

  constructor(random: Random, defs: Record<string, Schema>) {
    this.#random = random;
    this.#defs = defs;
  }

  value(schema: Schema): unknown {
    const random = this.#random;
    if (schema.$ref !== undefined) return this.value(this.#defs[schema.$ref.replace('#/$defs/', '')] ?? {});
    if (schema.anyOf !== undefined) return this.value(random.pick(schema.anyOf));
    if (schema.const !== undefined) return schema.const;
    if (schema.enum !== undefined) return random.pick(schema.enum);
    switch (schema.type) {
      case 'object': {
        const required = new Set(schema.required);
        const entries = Object.entries(schema.properties ?? {}).filter(
          ([name]) => required.has(name) || random.below(2),
        );
        return Object.fromEntries(entries.map(([name, own]) => [name, this.value(own)]));
      }
      case 'array':
        return Array.from({ length: random.below(3) }, () => this.value(schema.items ?? {}));
      case 'string':
        if (schema.pattern?.includes('T')) return '2026-03-01T06:00:01.037Z';
        return schema.pattern === undefined ? random.pick(TEXTS) : random.pick(['IO_FAILED', 'A', 'X9_']);
      case 'boolean':
        return random.below(2) === 1;
      case 'null':
        return null;
      default:
        return this.#number(schema);
    }
  }

  #number({ type, minimum, maximum, exclusiveMinimum }: Schema): number {
    const low = minimum ?? (exclusiveMinimum === undefined ? -1000 : exclusiveMinimum + 1);
    const high = Math.min(maximum ?? 1e300, Number.MAX_SAFE_INTEGER);
    const whole = [low, low + 1, high, Math.min(high, 12_345)];
    return this.#random.pick(type === 'integer' ? whole : [...whole, low + 0.25, Math.min(high, low + 1e-9)]);
  }
}

type Place = { holder: Record<string, unknown> | unknown[]; key: string | number };

/** Every value inside of `value`, and where it is. */
function places(value: unknown): Place[] {
  if (typeof value !== 'object' || value === null) return [];
  const holder = value as Record<string, unknown>;
  return Object.keys(holder).flatMap((key) => [{ holder, key }, ...places(holder[key])]);
}

const WRONG: unknown[] = [null, true, -1, 0.5, '7', '', [], {}, 1e17, 'warning', ['rides']];

function changed(event: Record<string, unknown>, random: Random): { what: string; value: unknown } {
  const value = structuredClone(event);
  const { holder, key } = random.pick(places(value));
  const object = holder as Record<string, unknown>;
  if (random.below(4) === 0 && !Array.isArray(holder)) {
    delete object[key];
    return { what: `without ${key}`, value };
  }
  if (random.below(4) === 0 && !Array.isArray(holder)) {
    object.later = 1;
    return { what: `with a field beside ${key} that is not known`, value };
  }
  const wrong = random.pick(WRONG);
  object[key] = wrong;
  return { what: `${key}: ${JSON.stringify(wrong)}`, value };
}

export function generatedLines(): Line[] {
  const random = randomOf(20_260_301);
  const schemas = jsonSchemas() as Map<string, Schema>;
  const defs = schemas.get('event')?.$defs ?? {};
  const maker = new Maker(random, defs);
  return EVENT_TYPES.flatMap((type) =>
    Array.from({ length: PER_TYPE }, (_, i): Line => {
      const good = maker.value(schemas.get(type) ?? {}) as Record<string, unknown>;
      if (i % 3 === 0) return { verdict: judge(good), what: type, line: JSON.stringify(good) };
      const { what, value } = changed(good, random);
      return { verdict: judge(value), what: `${type} ${what}`, line: JSON.stringify(value) };
    }),
  );
}

/** By zod. A line that is good without the fields that nobody knows is newer; so is a type that nobody knows. */
function judge(value: unknown): Line['verdict'] {
  const { type } = value as { type?: unknown };
  if (typeof type === 'string' && !EVENT_TYPES.includes(type as EventType)) return 'newer';
  const schema = EVENT_TYPES.includes(type as EventType) ? lineSchema(type as EventType) : undefined;
  if (schema === undefined) return 'bad';
  const { error } = schema.safeParse(value);
  if (error === undefined) return 'good';
  return error.issues.every(({ code }) => code === 'unrecognized_keys') ? 'newer' : 'bad';
}

/** A file, how its process ended, and what a reader finds. */
export interface Stream {
  name: string;
  what: string;
  bytes: Buffer;
  exit_code: number;
  events: number;
  malformed: number;
  lost: number;
  outcome: 'succeeded' | 'retry' | 'no retry';
}

export function streams(): Stream[] {
  const read = (name: string): Buffer => readFileSync(`${HERE}recorded/${name}.ndjson`);
  const resumed = read('resumed');
  const lines = resumed.toString().trimEnd().split('\n');
  const all = lines.length;
  const text = (some: readonly string[]): Buffer => Buffer.from(some.map((line) => `${line}\n`).join(''));
  const [first = '', ...rest] = lines;
  const clean = { malformed: 0, lost: 0 } as const;
  const done = { exit_code: 0, outcome: 'succeeded' } as const;
  const count = (name: string): number => read(name).toString().trimEnd().split('\n').length;
  const bad = (line: Buffer): Buffer => Buffer.concat([text([first]), line, Buffer.from('\n'), text(rest)]);
  const later = JSON.stringify({ ...JSON.parse(rest[0] ?? ''), type: 'run.cloned', from: 7 });
  return [
    { name: 'resumed', what: 'a run that went on and succeeded', bytes: resumed, events: all, ...clean, ...done },
    {
      name: 'interrupted',
      what: 'a run that was told to end and has saved a checkpoint',
      bytes: read('interrupted'),
      events: count('interrupted'),
      ...clean,
      exit_code: 143,
      outcome: 'retry',
    },
    {
      name: 'repeated',
      what: 'a request that has finished before: one event says so again',
      bytes: read('repeated'),
      events: count('repeated'),
      ...clean,
      ...done,
    },
    {
      name: 'bad-data',
      what: 'a run that the data stopped',
      bytes: read('bad-data'),
      events: count('bad-data'),
      ...clean,
      exit_code: 3,
      outcome: 'no retry',
    },
    { name: 'nothing', what: 'no event', bytes: Buffer.alloc(0), events: 0, ...clean, exit_code: 0, outcome: 'retry' },
    {
      name: 'refused',
      what: 'no event, of a runner that refused to start',
      bytes: Buffer.alloc(0),
      events: 0,
      ...clean,
      exit_code: 2,
      outcome: 'no retry',
    },
    {
      name: 'no-end',
      what: 'a run that ended with 0 and no run.finished',
      bytes: text(lines.slice(0, -1)),
      events: all - 1,
      ...clean,
      exit_code: 0,
      outcome: 'retry',
    },
    {
      name: 'half-a-line',
      what: 'a runner that was killed while it wrote its last line',
      bytes: resumed.subarray(0, -100),
      events: all - 1,
      malformed: 1,
      lost: 0,
      exit_code: -9,
      outcome: 'retry',
    },
    {
      name: 'killed-at-the-end',
      what: 'a runner that was killed when it had said that all is well',
      bytes: resumed,
      events: all,
      ...clean,
      exit_code: -9,
      outcome: 'retry',
    },
    {
      name: 'not-utf-8',
      what: 'a line in the middle that is not UTF-8',
      bytes: bad(Buffer.from('{"v":1,"message":"caf\xe9"}', 'latin1')),
      events: all,
      malformed: 1,
      lost: 0,
      ...done,
    },
    {
      name: 'zeros',
      what: 'a hole in the file, as a disk that was full leaves it',
      bytes: bad(Buffer.alloc(3000)),
      events: all,
      malformed: 1,
      lost: 0,
      ...done,
    },
    {
      name: 'empty-lines',
      what: 'lines without anything',
      bytes: bad(Buffer.from('\n\n')),
      events: all,
      ...clean,
      ...done,
    },
    {
      name: 'deep',
      what: 'brackets that never close, deeper than any stack',
      bytes: bad(Buffer.from('['.repeat(50_000))),
      events: all,
      malformed: 1,
      lost: 0,
      ...done,
    },
    {
      name: 'gap',
      what: 'two lines that were dropped because the reader was slow',
      bytes: text([first, ...rest.slice(2)]),
      events: all - 2,
      malformed: 0,
      lost: 2,
      ...done,
    },
    {
      name: 'began-anew',
      what: 'a file that had grown to its limit: the first event again, with how many are left out',
      bytes: text([first.replace(/\}$/, ',"left_out":4}'), ...rest.slice(4)]),
      events: all - 4,
      ...clean,
      ...done,
    },
    {
      name: 'later-type',
      what: 'an event of a type that later versions have in place of one',
      bytes: text([first, later, ...rest.slice(1)]),
      events: all - 1,
      malformed: 0,
      lost: 1,
      ...done,
    },
    {
      name: 'next-version',
      what: 'a version of the protocol that nobody here knows',
      bytes: text(lines.map((line) => line.replace('"v":1,', '"v":2,'))),
      events: 0,
      malformed: all,
      lost: 0,
      exit_code: 0,
      outcome: 'retry',
    },
    {
      name: 'no-last-line-feed',
      what: 'a last line that is whole but for its end',
      bytes: resumed.subarray(0, -1),
      events: all,
      ...clean,
      ...done,
    },
  ];
}

/** The files by name. */
export function generatedFiles(): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  files.set(
    'generated.ndjson',
    Buffer.from(
      generatedLines()
        .map((line) => `${JSON.stringify(line)}\n`)
        .join(''),
    ),
  );
  const all = streams();
  for (const { name, bytes } of all) files.set(`streams/${name}.ndjson`, bytes);
  const index = all.map(({ bytes: _, ...told }) => told);
  files.set('streams/index.json', Buffer.from(`${JSON.stringify(index, null, 2)}\n`));
  return files;
}

export function writeGenerated(): void {
  rmSync(`${HERE}streams`, { recursive: true, force: true });
  mkdirSync(`${HERE}streams`);
  for (const [name, bytes] of generatedFiles()) writeFileSync(`${HERE}${name}`, bytes);
}

/** The generated files that are in the repository. */
export function storedFiles(): Map<string, Buffer> {
  const names = ['generated.ndjson', ...readdirSync(`${HERE}streams`).map((name) => `streams/${name}`)];
  return new Map(names.map((name) => [name, readFileSync(`${HERE}${name}`)]));
}
