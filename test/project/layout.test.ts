import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ROOT } from './checkout.ts';

const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '-z'], {
  cwd: ROOT,
  encoding: 'utf8',
  maxBuffer: 64 * 1024 * 1024,
})
  .split('\0')
  .filter((path) => path !== '');

test('the top level holds what it should and nothing else', () => {
  const folders = ['runner', 'providers', 'examples', 'docker', 'test'];
  const plain = ['package.json', 'package-lock.json', 'tsconfig.json'];
  const pages = ['README.md', 'LICENSE', 'CHANGELOG.md', 'SECURITY.md'];
  const top = new Set(files.map((path) => path.split('/')[0] ?? '').filter((name) => !name.startsWith('.')));
  expect([...top].filter((name) => ![...folders, ...plain, ...pages].includes(name))).toEqual([]);
});

describe('the lock file', () => {
  const text = readFileSync(join(ROOT, 'package-lock.json'), 'utf8');
  const { packages } = JSON.parse(text) as {
    packages: Record<string, { version: string; optionalDependencies?: Record<string, string> }>;
  };

  test('names no registry', () => {
    expect(text).not.toContain('"resolved"');
    expect(text).not.toMatch(/registry/);
  });

  // npm leaves out those that it could not ask for, and then `npm ci` refuses the file.
  test('has every optional package of every platform', () => {
    const missing = Object.values(packages).flatMap(({ optionalDependencies = {} }) =>
      Object.keys(optionalDependencies).filter((name) => packages[`node_modules/${name}`] === undefined),
    );
    expect(missing).toEqual([]);
  });
});

describe('the linter', () => {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'oxiflow-lint-'));
    for (const name of ['.biome.json', 'package.json', '.gitignore'])
      copyFileSync(join(ROOT, name), join(folder, name));
    symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
    mkdirSync(join(folder, 'runner'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const lint = (sources: Record<string, string>) => {
    for (const [name, text] of Object.entries(sources)) writeFileSync(join(folder, 'runner', name), text);
    const biome = join(ROOT, 'node_modules/.bin/biome');
    return spawnSync(biome, ['check', '--error-on-warnings', '.'], { cwd: folder, encoding: 'utf8' });
  };
  const order = "import { price } from './price.ts';\n\nexport const order = () => price();\n";

  test('takes two files of which one imports the other', () => {
    const { status, stderr } = lint({ 'order.ts': order, 'price.ts': 'export const price = () => 1;\n' });
    expect(status, stderr).toBe(0);
  });

  test.each([
    ['values', "import { order } from './order.ts';\n\nexport const price = () => order.length;\n"],
    ['types', "import type { order } from './order.ts';\n\nexport const price = (by?: typeof order) => Number(by);\n"],
  ])('refuses a circle of imports of %s', (_what, price) => {
    const { status, stderr } = lint({ 'order.ts': order, 'price.ts': price });
    expect(stderr).toContain('noImportCycles');
    expect(status).not.toBe(0);
  });
});
