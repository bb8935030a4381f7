import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readTemplates } from '../../runner/cli/templates.ts';
import { EXIT } from '../../runner/engine/errors.ts';
import { pages } from '../../runner/oxis/reference.ts';
import { checkout, ROOT } from './checkout.ts';

const README = readFileSync(join(ROOT, 'README.md'), 'utf8');

/** The fenced blocks of a language, in their order. */
function blocks(language: string): string[] {
  return [...README.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].flatMap(([, name, text = '']) =>
    name === language ? [text] : [],
  );
}

const [install = '', checks = '', ...commands] = blocks('sh');
const [orders = '', paid = ''] = blocks('json');
const [pipeline = ''] = blocks('yaml');
const [rides = ''] = blocks('csv');

test('the first command runs the main job on real data', { timeout: 60_000 }, () => {
  expect(install).toMatch(/^npm ci && [^\n]+\n$/);
  using copy = checkout();
  const { status, stderr } = copy.shell(install.replace('npm ci && ', ''));
  expect(stderr).toContain('1,707 read');
  expect(status).toBe(0);
  const output = readFileSync(join(copy.folder, 'examples/earthquakes/output/earthquakes.ndjson'), 'utf8');
  expect(output.split('\n')).toHaveLength(85 + 1);
});

// Not run here: it is the command that runs this test.
test('the second command is what CI runs, and it runs every check there is', () => {
  expect(checks).toBe('npm ci && npm run check\n');
  expect(readFileSync(join(ROOT, '.ci/run'), 'utf8')).toContain(checks.trim());
  const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  expect(scripts.check).toBe(
    'npm run lint && npm run typecheck && npm run unused && npm run build && npm test && npm run python',
  );
  expect(Object.keys(scripts)).toEqual(expect.arrayContaining(['lint', 'typecheck', 'unused', 'build', 'test']));
});

test('every other command runs, and the example gives what the page shows', { timeout: 60_000 }, () => {
  using copy = checkout();
  writeFileSync(join(copy.folder, 'orders.ndjson'), orders);
  writeFileSync(join(copy.folder, 'paid.yaml'), pipeline);
  writeFileSync(join(copy.folder, 'rides.csv'), rides);
  // Pipelines that are called by their first line.
  for (const text of blocks('yaml')) {
    const [, name] = /^# (\S+\.yaml)\n/.exec(text) ?? [];
    if (name !== undefined) writeFileSync(join(copy.folder, name), text);
  }
  const outputs = commands.map((block) => {
    const said = copy.quickShell(block);
    expect(said, block).toMatchObject({ status: 0 });
    return said.stdout;
  });
  expect(outputs[0]).toBe(paid);
  expect(outputs.length).toBeGreaterThan(3);
});

test('the mistake that the page shows is told in these words', { timeout: 20_000 }, () => {
  using copy = checkout();
  writeFileSync(join(copy.folder, 'orders.ndjson'), orders);
  writeFileSync(join(copy.folder, 'paid.yaml'), pipeline.replace('where:', 'wher:'));
  const { status, stderr } = copy.quickShell('npx oxiflow run paid.yaml');
  const [, sentence = 'no sentence'] = /A mistake is one sentence with its place: `([^`]+)`/.exec(README) ?? [];
  expect(stderr).toContain(sentence);
  expect(status).toBe(EXIT.config);
});

test('a test of a pipeline that fails says what the page shows', { timeout: 20_000 }, () => {
  using copy = checkout();
  const [, text = ''] = blocks('yaml');
  writeFileSync(join(copy.folder, 'rides.yaml'), text.replace('start: null, km: 2.5', 'start: null, km: 2.4'));
  const { status, stderr } = copy.quickShell('npx oxiflow pipeline test rides.yaml');
  const [, sentence = 'no sentence'] = /first difference: `([^`]+)`/.exec(README) ?? [];
  expect(stderr.split('\n')[0]).toBe(sentence);
  expect(status).toBe(EXIT.data);
});

test('the table of exit codes has every code, and no other', () => {
  const [, table = ''] = README.split('## Exit codes');
  const codes = [...table.matchAll(/^\| ([\d, ]+) \|/gm)].flatMap(([, cell = '']) => cell.split(', ').map(Number));
  expect(codes).toEqual(Object.values(EXIT).toSorted((a, b) => a - b));
});

test('the oxi table and the reference are those of the schemas', () => {
  for (const [path, text] of pages()) expect(readFileSync(path, 'utf8'), `npm run reference\n${path}`).toBe(text);
});

describe('links lead somewhere', () => {
  const documents = [
    'README.md',
    'SECURITY.md',
    'CHANGELOG.md',
    'providers/README.md',
    'providers/oxiflow/README.md',
    'examples/README.md',
    'examples/airflow/README.md',
    'providers/dagster/README.md',
    'examples/dagster/README.md',
    'examples/prefect/README.md',
    'providers/prefect/README.md',
  ];
  test.each(documents)('of %s', (document) => {
    const text = readFileSync(join(ROOT, document), 'utf8');
    const links = [...text.matchAll(/\]\(([^)#]+)(#[^)]*)?\)/g)].flatMap(([, to = '']) =>
      /^https:\/\//.test(to) ? [] : [to],
    );
    const broken = links.filter((to) => !existsSync(resolve(ROOT, dirname(document), to)));
    expect(broken).toEqual([]);
  });
});

test('the table of templates has every one, and its own words', async () => {
  const { templates } = await readTemplates(join(ROOT, 'runner/templates'));
  const [, table = ''] = README.split('| template | what it shows |');
  const rows = [...(table.split('\n\n')[0] ?? '').matchAll(/^\| `(\w+)` \| (.+) \|$/gm)].map(([, ...cells]) => cells);
  expect(rows).toEqual(Object.entries(templates).map(([name, { summary }]) => [name, summary]));
});

test('every guarantee names the tests that prove it', () => {
  const rows = README.split('\n').filter((line) => /^\| G\d \|/.test(line));
  expect(rows).toHaveLength(5);
  for (const row of rows) expect(row).toMatch(/\]\(test\/[^)]+\.test\.ts\)/);
});
