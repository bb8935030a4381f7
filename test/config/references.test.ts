import { describe, expect, it } from 'vitest';
import { parseEnvFile } from '../../runner/config/environment.ts';
import { expand, type Scope } from '../../runner/config/references.ts';
import { configOf, load, projectFolder, refusal } from './fixtures.ts';

const scope: Scope = {
  variable: (name) => ({ REGION: 'eu', EMPTY: '', SNEAKY: '${REGION}', LIMIT: '10', QUOTE: '" || true || "' })[name],
  step: () => undefined,
};

describe('a reference', () => {
  it.each([
    ['plain', 'plain'],
    ['${REGION}/orders.csv', 'eu/orders.csv'],
    ['${REGION}${REGION}', 'eueu'],
    ['a${EMPTY}b', 'ab'],
    ['${MISSING:-us}', 'us'],
    ['${EMPTY:-us}', 'us'],
    ['${MISSING:-}', ''],
    ['${MISSING:-{"a": {}}}', '{"a": {}}'],
    ['${MISSING:-a:-b:?c}', 'a:-b:?c'],
    ['${REGION:?needed}', 'eu'],
    ['$${REGION}', '${REGION}'],
    ['$$${REGION}', '$${REGION}'],
    ['$REGION $ {REGION}', '$REGION $ {REGION}'],
    ['${SNEAKY}', '${REGION}'],
  ])('%s becomes %s', (text, expected) => {
    expect(expand(text, scope)).toMatchObject({ text: expected, deferred: false });
  });

  it.each([
    ['${MISSING}', '${MISSING} is not set; set the variable MISSING, or give a default as in ${MISSING:-default}'],
    ['${EMPTY:?give a region}', '${EMPTY} is not set: give a region'],
    ['${', 'a reference ${ has no closing }; write $${ for a plain ${'],
    [
      '${}',
      'a reference is ${NAME}, ${NAME:-default}, ${NAME:?message} or ${steps.ID.FIELD}; write $${ for a plain ${',
    ],
    [
      '${steps.orders}',
      'a reference is ${NAME}, ${NAME:-default}, ${NAME:?message} or ${steps.ID.FIELD}; write $${ for a plain ${',
    ],
    ['${steps.orders.size:?x}', '${steps.orders.size} can have a default (:-) but no message (:?)'],
  ])('%s is refused', (text, error) => {
    expect(expand(text, scope)).toEqual({ error });
  });

  it('to a step is found in both forms and waits for the run', () => {
    const steps = [
      { step: 'a-b', path: ['size'] },
      { step: 'c', path: ['user', 'city'] },
      { step: 'd', path: ['metadata'] },
    ];
    expect(expand('${steps.a-b.metadata.size} ${steps.c.user.city:-x} ${steps.d.metadata}', scope)).toMatchObject({
      deferred: true,
      steps,
    });
  });

  it.each([
    ['total > ${LIMIT}', 'total > 10'],
    ['${REGION} == 1', 'eu == 1'],
    ['region == "${REGION}"', 'region == "eu"'],
    ["region == 'it\\'s ${SNEAKY}'", "region == 'it\\'s ${REGION}'"],
    ['total > ${MISSING:-size(items) - 1}', 'total > size(items) - 1'],
  ])('in the expression %s keeps its structure', (text, expected) => {
    expect(expand(text, scope, true)).toMatchObject({ text: expected });
  });

  it.each(['region == "${QUOTE}"', '${QUOTE}', 'x == ${SNEAKY}', '"a" + ${QUOTE}'])(
    'can not change the expression %s',
    (text) => {
      expect(expand(text, scope, true)).toMatchObject({
        error: expect.stringContaining('would change the expression; use env.'),
      });
    },
  );
});

const READ = `
environment: { INPUT: from-pipeline, OWN: "\${INPUT:-none}/own" }
parameters: { INPUT: { default: from-default }, LATE: { default: late } }
pipeline:
  - name: read_file
    config: { path: "\${INPUT}" }
  - name: write_file
    config: { path: "\${OWN} \${LATE} \${SHARED}" }
`;
const PROJECT = 'environment: { INPUT: from-project, SHARED: shared, LATE: never }\n';

describe('precedence', () => {
  it('goes --set, --param, real environment, --env-file, pipeline, project', async () => {
    using folder = projectFolder({ '.env': 'INPUT=from-file\n' });
    const envFile = `${folder.root}/.env`;
    const env = { INPUT: 'from-env' };
    const params = ['INPUT=from-param'];
    const path = async (given: object, text = READ) =>
      configOf(await load(text, { project: PROJECT, ...given }), 'read_file');
    expect(await path({ sets: ['read_file.path=from-set'], params, env, envFile })).toMatchObject({ path: 'from-set' });
    expect(await path({ params, env, envFile })).toMatchObject({ path: 'from-param' });
    expect(await path({ env, envFile })).toMatchObject({ path: 'from-env' });
    expect(await path({ envFile })).toMatchObject({ path: 'from-file' });
    expect(await path({})).toMatchObject({ path: 'from-pipeline' });
    expect(await path({}, READ.replace('INPUT: from-pipeline, ', ''))).toMatchObject({ path: 'from-default' });
    expect(await path({}, 'pipeline: [{ name: read_file, config: { path: "${INPUT}" } }]')).toMatchObject({
      path: 'from-project',
    });
  });

  it("a pipeline's variables see the layers around them, not each other", async () => {
    const pipeline = await load(READ, { project: PROJECT, env: { INPUT: 'outer' } });
    expect(configOf(pipeline, 'write_file')).toMatchObject({ path: 'outer/own late shared' });
  });
});

describe('coercion', () => {
  const csv = async (config: string, env = {}) =>
    configOf(await load(`pipeline: [{ name: parse_csv, config: ${config} }]`, { env }), 'parse_csv');

  it("turns a variable's text into the type of the field", async () => {
    expect(await csv('{ skip_rows: "${SKIP}", headers: "${HEADERS}" }', { SKIP: '4', HEADERS: 'FALSE' })).toMatchObject(
      { skip_rows: 4, headers: false },
    );
    expect(await csv('{ skip_rows: "4", headers: "true" }')).toMatchObject({ skip_rows: 4, headers: true });
  });

  it.each(['4x', ' 4', '0x10', '1e999', '', 'NaN', '4 # four'])('refuses %j for a number', async (text) => {
    const error = await refusal(csv('{ skip_rows: "${SKIP}" }', { SKIP: text }));
    expect(error.message).toContain('field "skip_rows": must be a whole number');
  });

  it('keeps the text of a bare number where text is wanted', async () => {
    expect(await csv('{ delimiter: 7 }')).toMatchObject({ delimiter: '7' });
    const pipeline = await load(
      'pipeline: [{ name: read_file, config: { path: 007 } }]\nmetadata: { version: 1.10 }\n',
    );
    expect(configOf(pipeline, 'read_file')).toMatchObject({ path: '007' });
    expect(pipeline.metadata.version).toBe('1.10');
  });

  it('leaves a field of any type as YAML has it', async () => {
    const pipeline = await load(
      'pipeline: [{ name: write_file, config: { path: a, default_on_missing: { a: [1, "1", null] } } }]',
    );
    expect(configOf(pipeline, 'write_file')).toMatchObject({ default_on_missing: { a: [1, '1', null] } });
  });

  it('takes the alternative of a union that fits', async () => {
    const columns = async (text: string, sets: string[] = []) =>
      configOf(await load(`pipeline: [{ name: format_csv, config: ${text} }]`, { sets }), 'format_csv');
    expect(await columns('{ columns: first, max_depth: "3" }')).toMatchObject({ columns: 'first', max_depth: 3 });
    expect(await columns('{ columns: [a, 2], max_depth: none }')).toMatchObject({
      columns: ['a', '2'],
      max_depth: 'none',
    });
    expect(await columns('{}', ['format_csv.columns=["a"]'])).toMatchObject({ columns: ['a'] });
    expect(await columns('{}', ['format_csv.columns=first'])).toMatchObject({ columns: 'first' });
  });
});

describe('--set', () => {
  const text = `
pipeline:
  - name: read_file
    id: orders
    config: { path: a.csv }
  - name: parse_csv
    config: { has_headers: true }
  - name: map
    config: { set: { total: "1" } }
`;

  it('reaches fields, aliases, nested fields, threads and universal fields', async () => {
    const sets = [
      'orders.path=b=c.csv',
      'parse_csv.has_headers=false',
      'map.set.net=total * 2',
      'map.drop=["a"]',
      'orders.threads=3',
    ];
    const pipeline = await load(text, {
      sets: [...sets, 'orders.retry_attempts=5', 'parse_csv.config.delimiter=;', 'map.limits.max_memory_mb=7'],
    });
    expect(configOf(pipeline, 'orders')).toMatchObject({ path: 'b=c.csv' });
    expect(configOf(pipeline, 'parse_csv')).toMatchObject({ headers: false, delimiter: ';' });
    expect(configOf(pipeline, 'map')).toEqual({ set: { total: '1', net: 'total * 2' }, drop: ['a'] });
    expect(pipeline.steps[0]).toMatchObject({ threads: 3, retryAttempts: 5 });
    expect(pipeline.steps[2]?.limits).toEqual({ max_memory_mb: 7 });
  });

  it('is plain text: a reference in it stays as it is', async () => {
    const pipeline = await load(text, { sets: ['orders.path=${HOME}/a'], env: { HOME: '/root' } });
    expect(configOf(pipeline, 'orders')).toMatchObject({ path: '${HOME}/a' });
  });

  it('gives a run key of its own, the same for the same options in another order', async () => {
    const hash = async (sets: string[]) => (await load(text, { sets })).overridesHash;
    expect(await hash(['orders.path=b', 'orders.threads=2'])).toBe(await hash(['orders.threads=2', 'orders.path=b']));
    expect(await hash(['orders.path=b'])).not.toBe(await hash(['orders.path=c']));
    expect(await hash(['orders.path=b'])).toMatch(/^[0-9a-f]{12}$/);
  });
});

describe('parameters', () => {
  it('are typed', async () => {
    const text = `
pipeline: [{ name: parse_csv }]
parameters:
  day: { type: date, default: 2026-07-31 }
  at: { type: timestamp }
  limit: { type: int, default: 5, description: Rows }
  huge: { type: int, default: "9007199254740993" }
  rate: { type: float, default: "1.5" }
  full: { type: bool, default: "false" }
  size: { choices: [s, m], default: m }
`;
    const pipeline = await load(text, { params: ['at=2026-07-31T12:00:00Z', 'full=true'] });
    expect(Object.fromEntries(pipeline.params)).toEqual({
      day: '2026-07-31',
      at: '2026-07-31T12:00:00Z',
      limit: 5,
      huge: 9007199254740993n,
      rate: 1.5,
      full: true,
      size: 'm',
    });
    expect(pipeline.parameters.find(({ name }) => name === 'limit')).toMatchObject({
      type: 'int',
      description: 'Rows',
      default: 5,
    });
  });
});

describe('a default in the file', () => {
  it('keeps the digits that it is written with', async () => {
    const text = `
pipeline: [{ name: parse_csv }]
parameters:
  huge: { type: int, default: 9007199254740993 }
  version: { default: 1.10 }
  padded: { default: 007 }
  rate: { type: float, default: 1e3 }
  mask: { type: int, default: 0x10 }
`;
    expect(Object.fromEntries((await load(text)).params)).toEqual({
      huge: 9007199254740993n,
      version: '1.10',
      padded: '007',
      rate: 1000,
      mask: 16,
    });
  });

  it('is one of the choices, whatever way a number is written', async () => {
    const sizes =
      'pipeline: [{ name: parse_csv }]\nparameters: { size: { type: float, choices: [1.0, 2.5], default: 1 } }\n';
    expect((await load(sizes)).params.get('size')).toBe(1);
    expect((await load(sizes, { params: ['size=2.50'] })).params.get('size')).toBe(2.5);
    expect((await refusal(load(sizes, { params: ['size=3'] }))).message).toBe(
      '--param size: must be one of 1, 2.5, got "3"',
    );
  });
});

describe('an outline', () => {
  it('needs no variable and no parameter: each stands for itself, and is told', async () => {
    const text = `
pipeline:
  - { name: read_file, config: { path: "\${INBOX}/\${day}.csv" } }
  - { name: map, config: { set: { large: "total > \${LEAST} && name == '\${WHO}'" } } }
parameters: { day: { type: date } }
`;
    const outline = await load(text, { outline: true });
    expect(configOf(outline, 'read_file')).toMatchObject({ path: '${INBOX}/${day}.csv' });
    expect(configOf(outline, 'map')).toEqual({ set: { large: "total > 0 && name == '0'" } });
    expect(outline.unset).toEqual(['INBOX', 'LEAST', 'WHO']);
    expect((await refusal(load(text))).message).toContain('the parameter "day" has no default');
  });
});

describe('an env file', () => {
  it('is read like a shell would, without expanding anything', () => {
    const text = '\uFEFF# shop\r\nexport A=1\nB = two words # note\nC="x # \\"y\\"\\n"\nD=\'$A ${A}\'\nE=\nF=a=b#c\n';
    expect(Object.fromEntries(parseEnvFile(text, '.env'))).toEqual({
      A: '1',
      B: 'two words',
      C: 'x # "y"\n',
      D: '$A ${A}',
      E: '',
      F: 'a=b#c',
    });
  });

  it.each([
    ['1A=x', '.env:1: must be NAME=value'],
    ['A="canary', '.env:1: has a quote that is not closed, or text behind it'],
    ["A='x' y", '.env:1: has a quote that is not closed, or text behind it'],
  ])('%s is refused without quoting it', (text, message) => {
    expect(() => parseEnvFile(text, '.env')).toThrow(message);
  });

  it('that is missing is refused', async () => {
    const error = await refusal(load('pipeline: [{ name: parse_csv }]', { envFile: '/nowhere/prod.env' }));
    expect(error).toMatchObject({ code: 'COMMAND_INVALID', message: '--env-file /nowhere/prod.env: no such file' });
  });
});
