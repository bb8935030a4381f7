/** A secret that stands in a file as it is: it is found, its place is told, and what it is never is. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { loadProject } from '../../runner/config/project.ts';

const CANARY = 'canary-clear-Nb41Xw';
let root = '';
afterEach(() => rmSync(root, { recursive: true, force: true }));

async function inClear(yaml: string, env: Record<string, string> = {}): Promise<readonly string[]> {
  root = mkdtempSync(join(tmpdir(), 'oxiflow-clear-'));
  writeFileSync(join(root, 'oxiflow.yaml'), yaml);
  return (await loadProject(root, { env, exact: true })).secrets.inClear;
}

test.each([
  [
    'a field that is a secret',
    `state_manager:\n  http:\n    auth_token: ${CANARY}\n`,
    'oxiflow.yaml:3:17: "auth_token" holds a secret in clear; write ${AUTH_TOKEN} in its place and set that variable, or give it by --env-file',
  ],
  [
    'a password in a URL',
    `state_manager:\n  redis:\n    connection_url: "redis://shop:${CANARY}@redis.internal"\n`,
    'oxiflow.yaml:3:21: the URL in "connection_url" holds a password in clear; write ${CONNECTION_URL_PASSWORD} in its place and set that variable, or give it by --env-file',
  ],
  [
    'the default of a variable that is called like one',
    `environment:\n  DB_PASSWORD: ${CANARY}\n`,
    'oxiflow.yaml:2:16: "DB_PASSWORD" holds a secret in clear; take it out of the file and set the variable DB_PASSWORD where the run starts, or in an --env-file',
  ],
])('%s is told with its place', async (_what, yaml, sentence) => {
  const found = await inClear(yaml);
  expect(found).toEqual([sentence]);
  expect(found.join()).not.toContain(CANARY);
});

test.each([
  ['a reference', 'state_manager:\n  http:\n    auth_token: "${STATE_TOKEN:-none}"\n'],
  ['a URL with a reference', 'state_manager:\n  redis:\n    connection_url: "redis://shop:${PW:-}@redis"\n'],
  ['a URL without a password', 'state_manager:\n  redis:\n    connection_url: redis://redis.internal\n'],
  ['a switch', 'environment:\n  NPM_AUTH: "true"\n'],
  ['a variable of another name', 'environment:\n  INPUT_FOLDER: input/orders\n'],
])('%s is none', async (_what, yaml) => {
  expect(await inClear(yaml)).toEqual([]);
});
