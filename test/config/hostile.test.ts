import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { OxiError } from '../../runner/engine/errors.ts';
import { configOf, load, loadBoth, refusal } from './fixtures.ts';

/** Small seeded generator (mulberry32). */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The kinds and keys of a value, without its texts. */
function shape(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(shape);
  if (typeof value !== 'object' || value === null) return typeof value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, shape(inner)]));
}

const GOOD = `# orders of a day
environment: { INPUT: "input/orders.csv" }
parameters: { day: { type: date, default: 2026-07-31 } }
x-limits: &limits { max_memory_mb: 64 }
pipeline:
  - name: read_file
    id: orders
    config: { path: "\${INPUT}" }
    limits: *limits
  - name: parse_csv
    config:
      delimiter: ";"
      skip_rows: 2
  - name: map
    config:
      set: { total: "price * 2" }
      drop: [a, 'b']
  - name: write_file
    config:
      path: >-
        out.csv
max_errors: 1%
`;

describe('a hostile document', () => {
  let names: string[];
  beforeEach(() => {
    names = Object.getOwnPropertyNames(Object.prototype).concat(Object.getOwnPropertyNames(Array.prototype)).sort();
  });
  afterEach(() => {
    expect(
      Object.getOwnPropertyNames(Object.prototype).concat(Object.getOwnPropertyNames(Array.prototype)).sort(),
    ).toEqual(names);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });

  const key = (name: string) => [
    `${name}: { polluted: 1 }\npipeline: []\n`,
    `environment: { ${name}: polluted }\npipeline: [{ name: parse_csv }]\n`,
    `parameters: { ${name}: { default: polluted } }\npipeline: [{ name: parse_csv }]\n`,
    `pipeline: [{ name: map, config: { set: { ${name}: { polluted: 1 } } } }]\n`,
    `pipeline: [{ name: write_file, config: { path: a, default_on_missing: { a: [{ ${name}: { polluted: 1 } }] } } }]\n`,
    `pipeline: [{ name: parse_csv, ${name}: { polluted: 1 } }]\n`,
    `pipeline: [{ name: parse_csv }]\nmetadata: { ${name}: { polluted: 1 } }\n`,
    `pipeline: [{ name: parse_csv }]\ntests: [{ ${name}: { polluted: 1 } }]\n`,
    `pipeline: [{ name: parse_csv }]\nx-free: { ${name}: { polluted: 1 } }\n`,
  ];

  it.each(['__proto__', 'constructor', 'prototype', '"__proto__"', "'constructor'", '"\\x5f_proto__"'])(
    'with the key %s is refused everywhere',
    async (name) => {
      for (const text of key(name))
        expect((await refusal(load(text))).message).toMatch(
          /the key "(__proto__|constructor|prototype)" is not allowed/,
        );
    },
  );

  it.each([
    'parse_csv.__proto__.polluted=1',
    '__proto__.polluted=1',
    'constructor.prototype.polluted=1',
    'parse_csv.config.__proto__.polluted=1',
    'parse_csv.limits.constructor={"polluted":1}',
    'parse_csv.toString=1',
    'parse_csv.hasOwnProperty.call=1',
    'toString.path=1',
  ])('--set %s is refused', async (option) => {
    expect((await refusal(load('pipeline: [{ name: parse_csv }]', { sets: [option] }))).exitCode).toBe(2);
  });

  it.each(['__proto__=1', 'constructor=1', 'toString=1'])('--param %s is refused', async (option) => {
    expect((await refusal(load('pipeline: [{ name: parse_csv }]', { params: [option] }))).message).toContain(
      'no such parameter',
    );
  });

  it('can not reach a prototype through a reference or an oxi name', async () => {
    for (const name of ['__proto__', 'constructor', 'toString']) {
      expect(
        (await refusal(load(`pipeline: [{ name: ${name === '__proto__' ? `"${name}"` : name} }]`))).message,
      ).toContain('unknown oxi');
      expect(
        (await refusal(load(`pipeline: [{ name: read_file, config: { path: "\${${name}}" } }]`))).message,
      ).toContain('is not set');
      const later = await load(
        `pipeline: [{ name: parse_csv }, { name: write_file, config: { path: "\${steps.parse_csv.${name}}" } }]`,
      );
      expect(() => later.steps[1]?.resolve(new Map([['parse_csv', { rows: 1 }]]))).toThrow(
        `has no "${name}" yet; it has: rows`,
      );
    }
    const quiet = await load('pipeline: [{ name: read_file, config: { path: a } }]', {
      env: JSON.parse('{"__proto__":"polluted"}'),
    });
    expect(configOf(quiet, 'read_file')).toMatchObject({ path: 'a' });
  });

  it.each([
    [
      'an alias bomb',
      `x-a: &a [x,x,x,x,x,x,x,x,x,x]\n${'bcdefghi'.replace(/./g, (name) => `x-${name}: &${name} [${`*${String.fromCharCode(name.charCodeAt(0) - 1)},`.repeat(10)}]\n`)}`,
      'its aliases grow to more than 100000 values',
    ],
    ['brackets without an end', '['.repeat(900_000), 'is nested deeper than 64 levels'],
    ['dashes without an end', '- '.repeat(400_000), 'is nested deeper than 64 levels'],
    ['nested maps', '{a: '.repeat(200_000), 'is nested deeper than 64 levels'],
    ['keys of keys', '? '.repeat(200_000), 'is nested deeper than 64 levels'],
    [
      'a hundred levels by indent',
      Array.from({ length: 100 }, (_, level) => `${' '.repeat(level)}a:\n`).join(''),
      'is nested deeper than 64 levels',
    ],
    ['more than a megabyte', `x: ${'a'.repeat(2 ** 20)}`, 'is larger than 1 MB'],
    ['endless lines', 'a\n'.repeat(500_000), 'is too long: more than 20000 lines'],
    ['endless documents', '---\n'.repeat(10_000), 'holds more than one YAML document'],
    ['endless items', `x: [${'1,'.repeat(500_000)}]`, 'is too long'],
    ['endless errors', '] '.repeat(20_000), 'is not expected here'],
  ])('of %s is refused at once', async (_title, text, message) => {
    const before = performance.now();
    expect((await refusal(load(text))).message).toContain(message);
    expect(performance.now() - before).toBeLessThan(5000);
  });

  it('with honest anchors is taken', async () => {
    const steps = Array.from(
      { length: 150 },
      (_, index) => `  - { name: parse_csv, id: s${index}, config: *csv, limits: *limits }\n`,
    ).join('');
    const pipeline = await load(
      `x-csv: &csv { delimiter: ";" }\nx-limits: &limits { max_memory_mb: 64 }\npipeline:\n${steps}`,
    );
    expect(pipeline.steps).toHaveLength(150);
    expect(configOf(pipeline, 's149')).toMatchObject({ delimiter: ';' });
  });
});

describe("a variable's text", () => {
  const NASTY = [
    'a\nb: c',
    'a\n  - name: exec',
    '"',
    "'",
    '"}, "x": {"y": "z',
    ': ',
    '- a',
    '{}',
    '{a: 1}',
    '[1, 2]',
    '${INPUT}',
    '${',
    '$${INPUT}',
    '${steps.orders.size}',
    '!!js/function x',
    '&a',
    '*limits',
    '<<',
    '# comment',
    '|-',
    '%YAML 1.1',
    '---',
    '\t',
    '\0',
    '\u2028',
    '\uD800',
    '__proto__',
    'null',
    'true',
    '1e5',
  ];

  it.each(NASTY)('%j stays text and changes no structure', async (nasty) => {
    const harmless = await load(GOOD, { env: { INPUT: 'orders.csv' } });
    const attacked = await load(GOOD, { env: { INPUT: nasty } });
    expect(attacked.steps.map((step) => shape(step.resolve(new Map())))).toEqual(
      harmless.steps.map((step) => shape(step.resolve(new Map()))),
    );
    expect(configOf(attacked, 'orders')).toMatchObject({ path: nasty });
    const set = await load(GOOD, { sets: [`orders.path=${nasty}`] });
    expect(configOf(set, 'orders')).toMatchObject({ path: nasty });
  });

  it('in random pieces stays one text', async () => {
    const seed = 20260731;
    const next = random(seed);
    for (let round = 0; round < 60; round += 1) {
      const value = Array.from(
        { length: 1 + Math.floor(next() * 6) },
        () => NASTY[Math.floor(next() * NASTY.length)],
      ).join('');
      const pipeline = await load(GOOD, { env: { INPUT: value } });
      expect(configOf(pipeline, 'orders'), `seed ${seed}, round ${round}`).toMatchObject({ path: value });
      expect(pipeline.steps, `seed ${seed}, round ${round}`).toHaveLength(4);
    }
  });
});

describe('random damage', () => {
  const SIGNS = [
    '{',
    '}',
    '[',
    ']',
    ':',
    ',',
    '-',
    '"',
    "'",
    '\n',
    '\t',
    ' ',
    '#',
    '&a ',
    '*a',
    '!',
    '|',
    '>',
    '%',
    '@',
    '`',
    '$',
    '${',
    '<<',
    '\0',
    '\uFEFF',
    '?',
    'é',
    '\u2028',
  ];

  it('to a good file ends in an OxiError or a pipeline, never in anything else', async () => {
    const seed = 4711;
    const next = random(seed);
    const pick = (count: number) => Math.floor(next() * count);
    let refused = 0;
    for (let round = 0; round < 400; round += 1) {
      let text = GOOD;
      for (let damage = 1 + pick(4); damage > 0; damage -= 1) {
        const at = pick(text.length);
        const kind = pick(3);
        if (kind === 0) text = text.slice(0, at) + text.slice(at + 1 + pick(8));
        else if (kind === 1) text = text.slice(0, at) + (SIGNS[pick(SIGNS.length)] ?? '') + text.slice(at);
        else text = text.slice(0, at) + String.fromCharCode(pick(256)) + text.slice(at + 1);
      }
      try {
        await load(text);
      } catch (error) {
        refused += 1;
        if (!(error instanceof OxiError))
          throw new Error(`seed ${seed}, round ${round}: ${JSON.stringify(text)}`, { cause: error });
        expect(error.message, `seed ${seed}, round ${round}`).toMatch(/^pipelines\/orders\.yaml(:\d+:\d+)?: /);
      }
    }
    expect(refused, 'refused').toBeGreaterThan(100);
    expect(refused, 'refused').toBeLessThan(390);
  });
});

describe('a secret', () => {
  const CANARY = 'canary-7f3a9c';
  const text = `
pipeline:
  - name: fetch_api
    config:
      url: "https://user:\${PASS}@example.com/orders"
      token: "\${TOKEN}"
      password: "\${PASS}"
      headers: { authorization: "Bearer \${TOKEN}" }
`;
  const env = { TOKEN: `${CANARY}-token`, PASS: `${CANARY}-pass` };

  it('is a Secret in the config, and in no text of a pipeline or project', async () => {
    const { pipeline, project } = await loadBoth(text, {
      env,
      project: 'environment: { SHARED_TOKEN: "canary-7f3a9c-shared" }\n',
    });
    const config = configOf(pipeline, 'fetch_api') as {
      token: { reveal(): string };
      headers: Record<string, { reveal(): string }>;
    };
    expect(config.token.reveal()).toBe(env.TOKEN);
    expect(config.headers.authorization?.reveal()).toBe(`Bearer ${env.TOKEN}`);
    for (const value of [pipeline, project]) {
      expect(JSON.stringify(value)).not.toContain(CANARY);
      expect(inspect(value, { depth: 20, showHidden: false })).not.toContain(CANARY);
      expect(`${value}`).not.toContain(CANARY);
    }
    expect(JSON.stringify({ ...config, url: '' })).not.toContain(CANARY);
  });

  it('is scrubbed from any text by the registry', async () => {
    const { pipeline, project } = await loadBoth(text, { env });
    const { url } = configOf(pipeline, 'fetch_api') as { url: string };
    expect(project.secrets.redact(`GET ${url} with Bearer ${env.TOKEN} failed`)).toBe(
      'GET https://user:***@example.com/orders with *** failed',
    );
    project.secrets.add('p@ss word/1');
    expect(project.secrets.redact('p%40ss%20word%2F1 and p@ss word/1')).toBe('*** and ***');
    expect(project.secrets.redact('nothing to hide')).toBe('nothing to hide');
  });

  it.each([
    ['token: [ "${TOKEN}" ]', 'field "token": must be text, got a list'],
    ['password: "short"', 'field "password": must have at least 12 characters'],
    ['threads: "${TOKEN}"', 'field "threads": must be a whole number'],
    ['threads: "${URL}"', 'field "threads": must be a whole number'],
    ['tokens: "${TOKEN}"', 'unknown field "tokens"; did you mean "token"?'],
    ['token: "${MISSING:?set it}"', '${MISSING} is not set: set it'],
    ['token: "canary-7f3a9c" "x"', ''],
    ['token: "canary-7f3a9c\n', ''],
    ['headers: { a: { b: canary-7f3a9c } }', 'field "headers.a": must be text, got a map'],
  ])('is quoted by no message: %s', async (line, message) => {
    const error = await refusal(
      load(
        `${text}      ${line}\n`
          .replace(/ +token: "\$\{TOKEN\}"\n/, line.startsWith('token:') ? '' : '$&')
          .replace(/ +password:.*\n/, line.startsWith('password') ? '' : '$&')
          .replace(/ +headers:.*\n(?= +headers)/, ''),
        { env: { ...env, URL: `redis://:${CANARY}@host` } },
      ),
    );
    expect(error.message).toContain(message);
    expect(`${error.message} ${error.stack} ${JSON.stringify(error)} ${inspect(error)}`).not.toContain(CANARY);
  });

  it('given by --set or --param is quoted by no message', async () => {
    const set = await refusal(
      load(text, { env, sets: [`fetch_api.password=${CANARY.slice(0, 6)}`, `fetch_api.tokn=${CANARY}`] }),
    );
    expect(set.message).not.toContain(CANARY.slice(0, 6));
    const param = await refusal(
      load(`${text}parameters: { api_key: { type: int } }\n`, { env, params: [`api_key=${CANARY}`] }),
    );
    expect(param.message).toBe('--param api_key: must be a whole number');
    const fallback = await refusal(
      load(`${text}parameters: { limit: { type: int, default: "\${TOKEN}" } }\n`, { env }),
    );
    expect(fallback.message).toMatch(/field "parameters.limit.default": must be a whole number$/);
  });
});
