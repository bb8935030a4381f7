/** A secret that a project uses is found nowhere afterwards: not in what is printed, not in any file that the program wrote. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { GOOD_PROJECT, read, write } from './cases/case.ts';
import { type Ended, folder, oxiflow, pipelineOf } from './program.ts';

const CANARY = {
  env: 'canary-env-7Qd2Lx',
  file: 'canary-file-x81Bmm',
  project: 'canary-project-Zk09Pp',
  pipeline: 'canary-pipeline-h3Yt4c',
  url: 'canary-url-Tn55Wv',
  token: 'canary-token-Gg20Ra',
  param: 'canary-param-Uu61Fe',
  set: 'canary-set-Vb74Hs',
};

/** What users write; all else in the folder is the program's. */
const OURS = ['oxiflow.yaml', 'shop.env', 'pipelines/', 'input/'];

const FILES = {
  ...GOOD_PROJECT,
  'oxiflow.yaml': `
state_manager:
  backend: sqlite
  redis:
    connection_url: "redis://shop:${CANARY.url}@redis.internal:6379"
  http:
    base_url: "https://shop:${CANARY.url}@state.internal"
    auth_token: ${CANARY.token}
environment:
  WAREHOUSE_PASSWORD: ${CANARY.project}
`,
  'shop.env': `MAIL_PASSWORD=${CANARY.file}\n`,
};
const ENV = { SHOP_API_KEY: CANARY.env };

const USE_ALL = ['SHOP_API_KEY', 'MAIL_PASSWORD', 'WAREHOUSE_PASSWORD', 'DB_PASSWORD']
  .map((name) => `"\${${name}}" != string(order)`)
  .join(' && ');

function pipeline(where: string, set: object = {}): string {
  return pipelineOf(
    [read, ['parse_json'], ['filter', { where }], ['map', { set: { note: '"sold"', ...set } }], write],
    {
      environment: { DB_PASSWORD: CANARY.pipeline },
      parameters: { password: { type: 'string', default: 'none' }, api_key: { type: 'int', default: 1 } },
    },
  );
}

const LOUD = ['-v', '--env-file', 'shop.env', '--events', 'events.ndjson', '--summary', 'summary.json', '--json'];

/** Places where a canary sings. */
function leaks(root: string, { stdout, stderr }: Ended): string[] {
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter(
    (name) => statSync(join(root, name)).isFile() && !OURS.some((own) => name.startsWith(own)),
  );
  const texts: [string, string][] = [
    ['stdout', stdout],
    ['stderr', stderr],
    ...files.map((name): [string, string] => [name, name + readFileSync(join(root, name), 'latin1')]),
  ];
  return texts.flatMap(([name, text]) =>
    Object.values(CANARY).flatMap((canary) => (text.includes(canary) ? [`${name}: ${canary}`] : [])),
  );
}

interface Case {
  title: string;
  code: number;
  files?: Record<string, string>;
  args?: string[];
  env?: Record<string, string>;
}

const secret = '${SHOP_API_KEY}';
const cases: Case[] = [
  { title: 'a run that succeeds', code: 0 },
  { title: 'a run that logs JSON', code: 0, args: ['--log-format', 'json'] },
  { title: 'a run with state in files', code: 0, args: ['--state-backend', 'file'] },
  {
    title: 'a parameter and an override',
    code: 0,
    args: ['--param', `password=${CANARY.param}`, '--set', `filter.where="${CANARY.set}" != "x"`],
  },
  {
    title: 'an expression that fails for a record',
    code: 3,
    files: { 'pipelines/orders.yaml': pipeline(`${USE_ALL} && totl > 1`) },
  },
  {
    title: 'an expression of wrong types',
    code: 3,
    files: { 'pipelines/orders.yaml': pipeline(`order > "${secret}"`) },
  },
  {
    title: 'an expression that reads a variable and casts it',
    code: 3,
    files: { 'pipelines/orders.yaml': pipeline('int(env.SHOP_API_KEY) > 1') },
  },
  {
    title: 'an expression that reads a variable of an env file and parses it as a time',
    code: 3,
    files: { 'pipelines/orders.yaml': pipeline('timestamp(env.MAIL_PASSWORD) != null') },
  },
  {
    title: 'a condition that casts a variable',
    code: 2,
    files: {
      'pipelines/orders.yaml': pipelineOf([
        read,
        ['parse_json'],
        ['filter', { where: 'true' }, { condition: 'int(env.SHOP_API_KEY) > 1' }],
        write,
      ]),
    },
  },
  { title: 'a switch with the name of a secret', code: 0, env: { NPM_AUTH: 'true', APP_TOKEN: 'status' } },
  { title: 'an expression that breaks off', code: 2, files: { 'pipelines/orders.yaml': pipeline(`"${secret}" ==`) } },
  { title: 'an unknown function', code: 2, files: { 'pipelines/orders.yaml': pipeline(`secretly("${secret}")`) } },
  { title: 'an input that is missing', code: 1, args: ['--set', `read_file.path=input/${secret}.ndjson`] },
  { title: 'a value of a wrong type', code: 2, args: ['--set', `write_file.append=${secret}`] },
  { title: 'a parameter of a wrong type', code: 2, args: ['--param', `api_key=${CANARY.param}`] },
  {
    title: 'an override of a secret name that is no expression',
    code: 2,
    args: ['--set', `map.set.password=${CANARY.set} +`],
  },
  {
    title: 'a variable in place of an oxi',
    code: 2,
    files: { 'pipelines/orders.yaml': pipeline(USE_ALL).replace('parse_json', secret) },
  },
  { title: 'an env file with a line that is none', code: 2, files: { 'shop.env': `MAIL_PASSWORD="${CANARY.file}\n` } },
  {
    title: 'an address of a backend that is not there',
    code: 2,
    files: { 'oxiflow.yaml': 'project: { name: shop }\nenvironment: { WAREHOUSE_PASSWORD: none }\n' },
    env: { OXIFLOW_STATE_URL: `https://shop:${CANARY.url}@state.internal` },
  },
  {
    title: 'an address where nobody answers',
    code: 69,
    files: { 'oxiflow.yaml': 'project: { name: shop }\nenvironment: { WAREHOUSE_PASSWORD: none }\n' },
    env: { OXIFLOW_STATE_URL: `redis://shop:${CANARY.url}@127.0.0.1:1` },
  },
  {
    title: 'an address that is none',
    code: 2,
    files: { 'oxiflow.yaml': 'project: { name: shop }\nenvironment: { WAREHOUSE_PASSWORD: none }\n' },
    env: { OXIFLOW_STATE_URL: `redis://shop:${CANARY.url}@127.0.0.1:port` },
  },
  {
    title: 'an address of a backend that was not chosen',
    code: 0,
    env: { OXIFLOW_STATE_URL: `redis://shop:${CANARY.url}@redis.internal:6379` },
  },
];

describe('nothing of a secret is left by', () => {
  test.concurrent.each(cases)('$title', async ({ code, files, args = [], env }) => {
    const root = folder({ ...FILES, 'pipelines/orders.yaml': pipeline(USE_ALL), ...files });
    const options = { cwd: root, env: { ...ENV, ...env } };
    const run = await oxiflow(['run', 'orders', ...LOUD, ...args], options);
    expect({ code: run.code, leaks: leaks(root, run), stderr: run.stderr }).toEqual({
      code,
      leaks: [],
      stderr: expect.any(String),
    });
    // What is redacted is still the document that was promised.
    if (code === 0) expect(JSON.parse(run.stdout)).toMatchObject({ pipeline: 'orders', exit_code: 0 });
    for (const verb of [
      ['pipeline', 'test', '--env-file', 'shop.env'],
      ['pipeline', 'info', 'orders', '--json', '--env-file', 'shop.env'],
      ['state', 'show', 'orders', '--json'],
    ])
      expect(leaks(root, await oxiflow(verb, options))).toEqual([]);
  });
});

test('a variable of a program is its own: what the program says of it is hidden, whatever its name', async () => {
  const canary = 'canary-exec-Pm42Kd';
  const root = folder({
    ...GOOD_PROJECT,
    'pipelines/orders.yaml': pipelineOf([
      ['read_file', { path: 'input/orders.ndjson' }],
      ['parse_json'],
      ['exec', { command: ['sh', '-c', 'echo "depot $DEPOT" >&2; exit 3'], env: { DEPOT: canary } }],
      ['write_file', { path: 'output/orders.ndjson' }],
    ]),
  });
  const ended = await oxiflow(['run', 'orders', '-v', '--events', 'events.ndjson'], { cwd: root });
  expect(ended.code, ended.stderr).toBe(1);
  expect(ended.stderr).toMatch(/"sh" ended with code 3, having answered 0 of \d+ lines. It said: depot \*\*\*/);
  for (const text of [ended.stderr, ended.stdout, readFileSync(join(root, 'events.ndjson'), 'utf8')])
    expect(text).not.toContain(canary);
});
