/** One file that two steps of a pipeline would have: refused before anything starts, whatever names links give it. */
import { linkSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { folder, oxiflow, pipelineOf, shell, snapshot } from './program.ts';

const ORDERS = '{"order":1}\n{"order":2}\n';
const READ = [['read_file', { path: 'orders.ndjson' }], ['parse_json']] as const;
const BOTH = (first: object, second: object) =>
  pipelineOf([
    ...READ,
    ['write_file', { path: 'out/a.ndjson', ...first }, { id: 'first' }],
    ['write_file', { path: 'out/b.ndjson', ...second }, { id: 'second' }],
  ]);

function shop(pipeline: string, links: (root: string) => void = () => undefined): string {
  const root = folder({
    'oxiflow.yaml': 'project: {name: shop}\n',
    'orders.ndjson': ORDERS,
    'out/a.ndjson': 'old\n',
    'pipelines/day.yaml': pipeline,
  });
  links(root);
  return root;
}

/** It is refused with exit 2 and one sentence, and nothing is other than before. */
async function refused(cwd: string, sentence: RegExp): Promise<void> {
  const before = snapshot(cwd);
  for (const more of [[], ['--dry-run']]) {
    const { code, stderr } = await oxiflow(['run', 'day', ...more], { cwd });
    expect(stderr).toMatch(sentence);
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
    expect(code).toBe(2);
  }
  expect(snapshot(cwd)).toEqual(before);
}

describe('two sinks on one file', () => {
  const twins: [how: string, links: (root: string) => void, second: string][] = [
    ['by a symbolic link', (root) => symlinkSync('a.ndjson', join(root, 'out/b.ndjson')), 'out/b.ndjson'],
    ['by a hard link', (root) => linkSync(join(root, 'out/a.ndjson'), join(root, 'out/b.ndjson')), 'out/b.ndjson'],
    ['by a link to the folder', (root) => symlinkSync('out', join(root, 'to')), 'to/a.ndjson'],
  ];
  test.concurrent.each(twins)('%s', async (_how, links, path) => {
    const sentence = new RegExp(
      `step "second": "first" writes to the same place: ${path}, which is the same file as out/a.ndjson$`,
      'm',
    );
    await refused(shop(BOTH({}, { path }), links), sentence);
  });

  test.concurrent('that is not there yet, in a folder with two names', async () => {
    const cwd = shop(BOTH({ path: 'new/deep/c.ndjson' }, { path: 'to/deep/c.ndjson' }), (root) => {
      mkdirSync(join(root, 'new'));
      symlinkSync('new', join(root, 'to'));
    });
    await refused(
      cwd,
      /"first" writes to the same place: to\/deep\/c\.ndjson, which is the same file as new\/deep\/c\.ndjson/,
    );
  });

  test.concurrent('that is not there yet, in a folder that only a link names so far', async () => {
    const create = { create_dirs: true };
    const cwd = shop(BOTH({ path: 'd/o.ndjson', ...create }, { path: 'e/o.ndjson', ...create }), (root) => {
      symlinkSync('f', join(root, 'e'));
      symlinkSync('d', join(root, 'f'));
    });
    await refused(cwd, /"first" writes to the same place: e\/o\.ndjson, which is the same file as d\/o\.ndjson/);
  });

  test.concurrent('one of which is the backup of the other, or its dead letters', async () => {
    await refused(
      shop(BOTH({ backup: true }, { path: 'out/a.ndjson.bak' })),
      /step "second": "first" puts its backup there: out\/a\.ndjson\.bak/,
    );
    const letters = pipelineOf(
      [
        ...READ,
        ['filter', { where: 'order > 1' }, { on_error: 'dead_letter' }],
        ['write_file', { path: 'out/a.ndjson', backup: true }],
      ],
      { dead_letter: { path: 'out/a.ndjson.bak' } },
    );
    await refused(
      shop(letters),
      /step "write_file": its backup out\/a\.ndjson\.bak would take the place of what "dead_letter" writes/,
    );
  });
});

describe('an output in the place of what the project lives on', () => {
  const over = (path: string, more: object = {}) => pipelineOf([...READ, ['write_file', { path, ...more }]]);
  const cases: [path: string, more: object, what: string][] = [
    ['pipelines/day.yaml', {}, "the pipeline's own file"],
    ['link.yaml', { append: true }, "the pipeline's own file"],
    ['oxiflow.yaml', {}, "the project's own file"],
    ['pipelines/other.yaml', {}, 'a file of the pipelines'],
    ['.oxiflow/state.db', {}, 'the state of the runs'],
    ['.oxiflow/new/a.ndjson', {}, 'the state of the runs'],
  ];
  test.concurrent.each(cases)('%s %o', async (path, more, what) => {
    const cwd = shop(over(path, more), (root) => symlinkSync('pipelines/day.yaml', join(root, 'link.yaml')));
    await refused(cwd, new RegExp(`step "write_file": its output ${path} would take the place of ${what}`));
  });

  test.concurrent('also as dead letters', async () => {
    const steps = [
      ...READ,
      ['filter', { where: 'order > 1' }, { on_error: 'dead_letter' }],
      ['write_file', { path: 'out/b' }],
    ];
    const cwd = shop(pipelineOf(steps as never, { dead_letter: { path: 'oxiflow.yaml' } }));
    await refused(cwd, /"dead_letter": its output oxiflow\.yaml would take the place of the project's own file/);
  });
});

describe('an output in the place of the input', () => {
  const over = (path: string, more: object = {}) => pipelineOf([...READ, ['write_file', { path, ...more }]]);
  const sentence = (path: string) =>
    new RegExp(
      `step "write_file": its output ${path} would take the place of orders.ndjson, which "read_file" reads; choose another path`,
    );

  test.concurrent('by its own name, also appended to', async () => {
    await refused(shop(over('orders.ndjson')), sentence('orders.ndjson'));
    await refused(shop(over('./orders.ndjson', { append: true })), sentence('./orders.ndjson'));
  });

  test.concurrent('by a link of either kind', async () => {
    await refused(
      shop(over('s.ndjson'), (root) => symlinkSync('orders.ndjson', join(root, 's.ndjson'))),
      sentence('s.ndjson'),
    );
    await refused(
      shop(over('h.ndjson'), (root) => linkSync(join(root, 'orders.ndjson'), join(root, 'h.ndjson'))),
      sentence('h.ndjson'),
    );
  });

  test.concurrent('by its backup', async () => {
    const cwd = shop(
      pipelineOf([
        ['read_file', { path: 'out/a.ndjson.bak' }],
        ['parse_json'],
        ['write_file', { path: 'out/a.ndjson', backup: true }],
      ]),
      (root) => linkSync(join(root, 'orders.ndjson'), join(root, 'out/a.ndjson.bak')),
    );
    await refused(
      cwd,
      /its backup out\/a\.ndjson\.bak would take the place of out\/a\.ndjson\.bak, which "read_file" reads/,
    );
  });

  test.concurrent('that a shell has put on standard input', async () => {
    const cwd = shop(pipelineOf([['read_stdin'], ['parse_json'], ['write_file', { path: 'orders.ndjson' }]]));
    const { code, stderr } = await shell('oxiflow run day < orders.ndjson', { cwd });
    expect(stderr).toContain('would take the place of the file on standard input, which "read_stdin" reads');
    expect(code).toBe(2);
    expect(readFileSync(join(cwd, 'orders.ndjson'), 'utf8')).toBe(ORDERS);
  });

  test.concurrent('but a later part may read what an earlier one has written, again and again', async () => {
    const cwd = shop(
      pipelineOf([
        ...READ,
        ['write_file', { path: 'out/half.ndjson' }, { id: 'half' }],
        ['read_file', { path: 'out/half.ndjson' }, { id: 'second' }],
        ['parse_json', {}, { id: 'parse' }],
        ['write_file', { path: 'out/whole.ndjson' }, { id: 'whole' }],
      ]),
    );
    for (let day = 0; day < 2; day++) {
      const { code, stderr } = await oxiflow(['run', 'day', '-q'], { cwd });
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    }
    expect(readFileSync(join(cwd, 'out/whole.ndjson'), 'utf8')).toBe(ORDERS);
  });

  test.concurrent('also of a part that only begins later, and can be seen only then', async () => {
    const cwd = shop(
      pipelineOf([
        ...READ,
        ['write_file', { path: 'out/half.ndjson' }, { id: 'half' }],
        ['read_file', { path: 'out/half.ndjson' }, { id: 'second' }],
        ['parse_json', {}, { id: 'parse' }],
        ['write_file', { path: 'link.ndjson' }, { id: 'whole' }],
      ]),
      (root) => symlinkSync('orders.ndjson', join(root, 'link.ndjson')),
    );
    await refused(
      cwd,
      /step "whole": its output link\.ndjson would take the place of orders\.ndjson, which "read_file" reads/,
    );
  });
});
