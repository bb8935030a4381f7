/** The files of a new project: all of them or none, whatever happens while they are written. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { makeProject } from '../../runner/cli/scaffold.ts';
import { folder } from './program.ts';

/** Three files; `event` happens when the first one is written. */
class Files extends Map<string, string> {
  readonly #event: () => void;

  constructor(event: () => void) {
    super([
      ['oxiflow.yaml', 'project: {}\n'],
      ['input/a.ndjson', '{}\n'],
      ['input/b.ndjson', '{}\n'],
    ]);
    this.#event = event;
  }

  override *[Symbol.iterator](): MapIterator<[string, string]> {
    let count = 0;
    for (const entry of super[Symbol.iterator]()) {
      if (count++ === 1) this.#event();
      yield entry;
    }
    return undefined;
  }
}

describe('a project is made whole or not at all', () => {
  test.each([
    ['SIGINT', 'INTERRUPTED'],
    ['SIGTERM', 'TERMINATED'],
  ] as const)('when %s comes half-way', async (signal, code) => {
    const root = folder({});
    mkdirSync(join(root, 'empty'));
    // The listeners of the tests' own process are not asked.
    const others = process.listeners(signal);
    const send = (): void => {
      for (const listener of process.listeners(signal)) if (!others.includes(listener)) listener(signal);
    };
    for (const name of ['deep/new', 'empty'])
      await expect(makeProject(join(root, name), name, new Files(send))).rejects.toMatchObject({ code });
    expect(readdirSync(root, { recursive: true })).toEqual(['empty']);
    expect(process.listeners(signal)).toEqual(others);
  });

  test('when somebody else makes the same folder meanwhile: theirs stays', async () => {
    const root = folder({});
    const theirs = vi.fn(() => {
      mkdirSync(join(root, 'shop'));
      writeFileSync(join(root, 'shop/notes.txt'), 'theirs\n');
    });
    await expect(makeProject(join(root, 'shop'), 'shop', new Files(theirs))).rejects.toThrow(
      'shop: is there already, and nothing is overwritten',
    );
    expect(theirs).toHaveBeenCalledOnce();
    expect(readdirSync(root, { recursive: true }).sort()).toEqual(['shop', 'shop/notes.txt']);
  });

  test('when somebody else writes one of its files into the empty folder meanwhile: theirs stays', async () => {
    const root = folder({});
    const theirs = (): void => {
      mkdirSync(join(root, 'input'));
      writeFileSync(join(root, 'input/b.ndjson'), 'theirs\n');
    };
    await expect(makeProject(root, '.', new Files(theirs))).rejects.toThrow('input/b.ndjson: is there already');
    expect(readdirSync(root, { recursive: true }).sort()).toEqual(['input', 'input/b.ndjson']);
    expect(readFileSync(join(root, 'input/b.ndjson'), 'utf8')).toBe('theirs\n');
  });
});
