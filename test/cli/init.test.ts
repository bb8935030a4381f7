/** New projects: each template runs as it is and gives these bytes; nothing is overwritten, and nothing is left half made. */
import { mkdirSync, readdirSync, readFileSync, symlinkSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { schemaText } from '../../runner/cli/schema.ts';
import { nameProblem, TEMPLATES } from '../../runner/cli/templates.ts';
import { registry } from '../../runner/oxis/registry.ts';
import { folder, NOBODY, oxiflow, REPOSITORY, shell, snapshot } from './program.ts';
import { CTRL_C, watch } from './terminal.ts';

/** What a run of each template writes, and prints on stdout. */
const OUTPUTS: Readonly<Record<string, { files: Record<string, string>; stdout?: string }>> = {
  basic: {
    files: {
      'output/shop.ndjson':
        '{"order":2,"placed":"2026-03-02T09:20:00Z","total":80.00,"tax":15.2,"country":"FR"}\n' +
        '{"order":4,"placed":"2026-03-02T11:45:00Z","total":240.00,"tax":45.6,"country":"PL"}\n',
    },
  },
  etl: {
    files: {
      'output/shop.csv':
        'sold_on,sale,country,store,product,quantity,revenue\n' +
        '2026-03-02,1,DE,berlin,Green tea,3,13.5\n' +
        '2026-03-02,2,FR,paris,"Coffee, ground",1,11.9\n' +
        '2026-03-03,4,other,porto,Cocoa,2,12.4\n',
    },
  },
  validation: {
    files: {
      'output/shop.ndjson':
        '{"sensor":"roof","at":"2026-03-02T09:00:00Z","celsius":4.5,"battery":0.91}\n' +
        '{"sensor":"cellar","at":"2026-03-02T09:00:00Z","celsius":11.0}\n' +
        '{"sensor":"garden","at":"2026-03-02T09:10:00Z","celsius":5.0,"battery":0.40}\n',
      'output/shop_rejected.ndjson':
        '{"step":"validate","class":"data","code":"SCHEMA","reason":"\\"celsius\\" must be <= 60","file":"input/readings.ndjson","offset":75,"record":"{\\"sensor\\":\\"roof\\",\\"at\\":\\"2026-03-02T09:10:00Z\\",\\"celsius\\":400,\\"battery\\":0.91}"}\n' +
        '{"step":"validate","class":"data","code":"SCHEMA","reason":"\\"celsius\\" must be number","file":"input/readings.ndjson","offset":213,"record":"{\\"sensor\\":\\"cellar\\",\\"at\\":\\"2026-03-02T09:10:00Z\\",\\"celsius\\":\\"eleven\\"}"}\n' +
        '{"step":"parse_json","class":"data","code":"GRAMMAR","reason":"a value is missing","file":"input/readings.ndjson","offset":280,"record":"{\\"sensor\\":\\"garden\\",\\"at\\":\\"2026-03-02T09:00:00Z\\",\\"celsius\\":"}\n',
    },
  },
  batch: {
    files: {
      'output/shop.ndjson':
        '[{"ride":1,"city":"Porto","km":3.2,"fare":9.50},{"ride":2,"city":"Porto","km":12.9,"fare":24.00}]\n' +
        '[{"ride":3,"city":"Lyon","km":1.1,"fare":5.00},{"ride":4,"city":"Lyon","km":30.0,"fare":51.20}]\n' +
        '[{"ride":5,"city":"Porto","km":7.4,"fare":15.80}]\n',
      'output/shop_long.ndjson':
        '{"ride":2,"city":"Porto","km":12.9,"fare":24.00}\n{"ride":4,"city":"Lyon","km":30.0,"fare":51.20}\n',
    },
  },
  api: {
    files: {
      'output/shop.ndjson':
        '{"id":101,"name":"Green tea","amount":4.5,"currency":"EUR","available":true}\n' +
        '{"id":102,"name":"Cocoa","amount":6.2,"currency":"EUR","available":false}\n' +
        '{"id":103,"name":"Coffee, ground","amount":11.9,"currency":"EUR","available":true}\n',
      'output/shop_pages.ndjson':
        '{"page":1,"pages":2,"next":"https://api.example.com/v1/products?page=2"}\n' +
        '{"page":2,"pages":2,"next":null}\n',
    },
  },
  streaming: {
    files: {},
    stdout:
      '{"from":"2026-03-02T09:00:00Z","clicks":3,"slow":1,"pages":["/","/tea"]}\n' +
      '{"from":"2026-03-02T09:00:03Z","clicks":2,"slow":1,"pages":["/","/cart"]}\n',
  },
};

/** The command lines that are printed under "next:". */
function next(stdout: string): string[] {
  return (stdout.split('next:\n')[1] ?? '').split('\n').flatMap((line) => (line === '' ? [] : [line.slice(2)]));
}

const VALIDATORS = Object.fromEntries(
  await Promise.all(
    ['project', 'pipeline'].map(async (kind) => {
      const text = await schemaText(kind, registry);
      const validate = new Ajv2020({ strict: false, allErrors: true }).compile(JSON.parse(text));
      return [kind, { text, validate }] as const;
    }),
  ),
);

/** The first line of the file leads editors to the schema, and the file keeps to it: then null, else what is wrong. */
function keepsToSchema(root: string, file: string, kind: string): unknown {
  const text = readFileSync(join(root, file), 'utf8');
  const [, path = ''] = /^# yaml-language-server: \$schema=(\S+)\n/.exec(text) ?? [];
  const schema = VALIDATORS[kind];
  if (schema === undefined || readFileSync(join(root, file, '..', path), 'utf8') !== schema.text)
    return `${path} is not the schema`;
  if (schema.validate({ ...parse(text), metdata: {} })) return 'the schema takes everything';
  return schema.validate(parse(text)) ? null : schema.validate.errors;
}

const REFUSED = 'is there already, and nothing is overwritten; choose another name or folder\n';

describe('each template', () => {
  test('is a folder of its own, and has its outputs below', () => {
    const folders = readdirSync(join(REPOSITORY, 'runner/templates')).filter((name) => name !== 'project');
    expect([...TEMPLATES].sort()).toEqual(folders.sort());
    expect(Object.keys(OUTPUTS)).toEqual([...TEMPLATES]);
  });

  test.concurrent.each(TEMPLATES)('%s: the commands that init prints run, and give these bytes', async (template) => {
    const cwd = folder({});
    const made = await oxiflow(['init', 'shop', '--template', template], { cwd });
    expect(made).toMatchObject({ code: 0, stderr: '' });
    const root = join(cwd, 'shop');
    const before = snapshot(root);
    expect(keepsToSchema(root, 'oxiflow.yaml', 'project')).toBe(null);
    expect(keepsToSchema(root, 'pipelines/shop.yaml', 'pipeline')).toBe(null);
    const { metadata } = parse(before['pipelines/shop.yaml'] ?? '');
    expect(metadata).toMatchObject({ name: 'shop', category: template, description: expect.stringMatching(/^[A-Z]/) });

    const lines = next(made.stdout);
    expect(lines[0]).toMatch(/^cd shop && oxiflow run shop( < \S+)?$/);

    const run = await shell(lines[0] ?? '', { cwd });
    const { files, stdout = '' } = OUTPUTS[template] ?? { files: {} };
    expect(run).toMatchObject({ code: 0, stdout });
    const after = snapshot(root);
    const utf8 = Object.keys(files).map((path) => [path, readFileSync(join(root, path), 'utf8')]);
    expect(Object.fromEntries(utf8)).toEqual(files);
    expect(Object.keys(after)).toEqual([...Object.keys(before), ...Object.keys(files)].sort());

    // The whole of it as a person pastes it: the second line counts on the cd of the first.
    const both = await shell(lines.join(' -q\n').replace(/ < (\S+) -q/, ' -q < $1'), { cwd });
    expect(both).toMatchObject({ code: 0, stderr: '' });
    expect(both.stdout).toMatch(/^shop: good, [23] tests passed$/m);
    expect(snapshot(root)).toEqual(after);
  });
});

describe('init', () => {
  test.concurrent('without a terminal takes the first template, and the name of the folder', async () => {
    const cwd = folder({});
    const { code, stdout } = await oxiflow(['init', '--directory', 'deep/down/rides', '--json'], { cwd });
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toEqual({
      project: 'rides',
      folder: join(cwd, 'deep/down/rides'),
      template: 'basic',
      pipeline: 'rides',
      made: [
        '.gitignore',
        'input/orders.ndjson',
        'oxiflow.yaml',
        'pipelines/rides.yaml',
        'schemas/pipeline.schema.json',
        'schemas/project.schema.json',
      ],
      next: ['cd deep/down/rides && oxiflow run rides', 'oxiflow pipeline test'],
    });
    expect(Object.keys(snapshot(cwd))).toHaveLength(6);
    expect(readFileSync(join(cwd, 'deep/down/rides/.gitignore'), 'utf8')).toBe(
      '# What runs write: their outputs and their state.\noutput/\n.oxiflow/\n',
    );
  });
  test.concurrent('without a terminal and a name says so, asks nothing and makes nothing', async () => {
    const cwd = folder({});
    for (const args of [['init'], ['init', '--json']])
      expect(await oxiflow(args, { cwd, input: 'shop\n' })).toMatchObject({
        code: 2,
        stdout: '',
        stderr: 'init: the project needs a name: oxiflow init NAME\n',
      });
    expect(readdirSync(cwd)).toEqual([]);
  });
  test.concurrent('fills an empty folder that is there, also the one it stands in', async () => {
    const cwd = folder({});
    const { code, stdout } = await oxiflow(['init', 'shop', '--directory', '.'], { cwd });
    expect({ code, next: next(stdout) }).toEqual({ code: 0, next: ['oxiflow run shop', 'oxiflow pipeline test'] });
    expect(Object.keys(snapshot(cwd))).toContain('pipelines/shop.yaml');
  });
  test.concurrent('prints commands that a shell and npx take', async () => {
    const cwd = folder({});
    const env = { npm_command: 'exec' };
    const { stdout } = await oxiflow(['init', 'shop', '--directory', "Ann's shop"], { cwd, env });
    expect(next(stdout)[0]).toBe("cd 'Ann'\\''s shop' && npx oxiflow run shop");
  });
  test.concurrent('lists what the templates show', async () => {
    const cwd = folder({});
    const { stdout } = await oxiflow(['init', '--list'], { cwd });
    expect(stdout.split('\n').map((line) => line.split(' ')[0])).toEqual([...TEMPLATES, '']);
    const json = JSON.parse((await oxiflow(['init', '--list', '--json'], { cwd })).stdout);
    expect(json[0]).toEqual({ name: 'basic', summary: 'JSON lines in, JSON lines out: filter, compute, drop' });
  });
  test.concurrent('refuses a place where something is, and leaves it as it is', async () => {
    const cwd = folder({ 'shop/notes.txt': 'mine\n', file: 'mine\n', 'hidden/.keep': '' });
    const before = snapshot(cwd);
    symlinkSync('nowhere', join(cwd, 'link'));
    for (const name of ['shop', 'file', 'link', 'hidden'])
      expect(await oxiflow(['init', name], { cwd })).toMatchObject({ code: 2, stderr: `${name}: ${REFUSED}` });
    expect(await oxiflow(['init', 'shop', '--directory', 'file/shop'], { cwd })).toMatchObject({
      code: 2,
      stderr: 'file/shop: a part of its path is a file and no folder\n',
    });
    expect(readdirSync(cwd).sort()).toEqual(['file', 'hidden', 'link', 'shop']);
    unlinkSync(join(cwd, 'link'));
    expect(snapshot(cwd)).toEqual(before);
  });
  test.concurrent('takes names that are safe in a path, in YAML and in a shell, and no others', async () => {
    for (const name of ['shop', '7', '_', 'A-b_c-9', 'x'.repeat(64)]) expect(nameProblem(name)).toBe(undefined);
    const bad = ['../shop', 'a/b', '.', '', 'shop.yaml', 'my shop', 'caf\u00e9', '$(id)', '-rf', 'a\n', 'x'.repeat(65)];
    for (const name of bad) expect(nameProblem(name), name).toMatch(/^a name is 1 to 64 letters, digits, - and _/);
    const cwd = folder({});
    expect(await oxiflow(['init', '../shop'], { cwd })).toMatchObject({
      code: 2,
      stderr: 'init: a name is 1 to 64 letters, digits, - and _, with no - in front; got "../shop"\n',
    });
    expect(readdirSync(join(cwd, '..'))).not.toContain('shop');
  });
  test.concurrent('names the nearest template', async () => {
    const cwd = folder({});
    expect(await oxiflow(['init', 'shop', '--template', 'bsic'], { cwd })).toMatchObject({
      code: 2,
      stderr: 'init: --template: no template "bsic"; did you mean "basic"?\n',
    });
    expect((await oxiflow(['init', 'shop', '--template', 'x'], { cwd })).stderr).toBe(
      'init: --template: no template "x"; there are: basic, etl, validation, batch, api, streaming\n',
    );
    expect(readdirSync(cwd)).toEqual([]);
  });
  test.concurrent('that fails half-way leaves nothing behind, not even the folders above', async () => {
    const cwd = folder({});
    mkdirSync(join(cwd, 'empty'));
    // The schemas are larger than a file may be here.
    for (const directory of ['new', 'deep/down/shop', 'empty']) {
      const { code, stderr } = await shell(`ulimit -f 20; oxiflow init shop --directory ${directory}`, { cwd });
      expect(stderr).toMatch(new RegExp(`^${directory}: EFBIG [^\n]*\n$`));
      expect(code).toBe(1);
    }
    expect(readdirSync(cwd, { recursive: true })).toEqual(['empty']);
  });
  test.skipIf(process.getuid?.() !== 0)('in a folder of somebody else ends with 126, and makes nothing', async () => {
    const cwd = folder({});
    expect(await oxiflow(['init', 'shop'], { cwd, uid: NOBODY })).toMatchObject({
      code: 126,
      stderr: expect.stringMatching(/^shop: permission denied \(EACCES\)[^\n]*\n$/),
    });
    expect(readdirSync(cwd)).toEqual([]);
  });
  test.concurrent('makes files that others may read as the umask says', async () => {
    const cwd = folder({});
    const { code, stdout } = await shell("umask 022; oxiflow init shop > made.txt && stat -c '%a' shop shop/input", {
      cwd,
    });
    expect({ code, stdout }).toEqual({ code: 0, stdout: '755\n755\n' });
  });
});

describe('at a terminal', () => {
  const NAME = 'Name of the project [my_project]: ';
  const TEMPLATE = 'Template, by name or number [basic]: ';

  test.concurrent('init asks for what is not given', async () => {
    const cwd = folder({});
    const then = [
      [NAME, 'rides\n'],
      [TEMPLATE, '2\n'],
    ] as const;
    const { code, screen } = await watch('init', { cwd, then });
    expect(code).toBe(0);
    expect(screen).toContain('2  etl         CSV in, CSV out: types, cleaning, no duplicates, new columns');
    expect(screen).toContain('made rides, from the template etl:');
    expect(Object.keys(snapshot(join(cwd, 'rides')))).toEqual(
      expect.arrayContaining(['input/sales.csv', 'oxiflow.yaml', 'pipelines/rides.yaml']),
    );
  });
  test.concurrent('an empty answer takes what stands in brackets', async () => {
    const cwd = folder({});
    const then = [
      [NAME, '\n'],
      [TEMPLATE, '\n'],
    ] as const;
    expect((await watch('init', { cwd, then })).code).toBe(0);
    expect(Object.keys(snapshot(cwd))).toContain('my_project/input/orders.ndjson');
  });
  test.concurrent('an answer that will not do is told why, and asked for again; what is typed ahead counts', async () => {
    const cwd = folder({ 'shop/notes.txt': 'mine\n' });
    const then = [[NAME, '../up\nshop\nrides\nbach\nbatch\n']] as const;
    const { code, screen } = await watch('init', { cwd, then });
    expect(code).toBe(0);
    expect(screen).toContain('a name is 1 to 64 letters, digits, - and _, with no - in front; got "../up"');
    expect(screen).toContain(`shop: ${REFUSED.trim()}`);
    expect(screen).toContain('no template "bach"; did you mean "batch"?');
    expect(Object.keys(snapshot(cwd))).toContain('rides/input/rides.ndjson');
    expect(readdirSync(cwd).sort()).toEqual(['rides', 'shop']);
  });
  test.concurrent.each([
    ['Ctrl-C', CTRL_C],
    ['Ctrl-D', '\u0004'],
  ])('%s at a question ends it with 130, and nothing is made', async (_key, key) => {
    const cwd = folder({});
    const then = [
      [NAME, 'rides\n'],
      [TEMPLATE, key],
    ] as const;
    const { code, screen } = await watch('init', { cwd, then });
    expect(code).toBe(130);
    expect(screen).toMatch(/interrupted: nothing was made\r\n$/);
    expect(readdirSync(cwd)).toEqual([]);
  });
  test.concurrent('nothing is asked where all is given, with --json, or where stdin is no terminal', async () => {
    const cwd = folder({});
    const lines = ['init one --template api', 'init two --json', 'init three < /dev/null'];
    for (const line of lines) {
      const { code, screen } = await watch(line, { cwd });
      expect(code).toBe(0);
      expect(screen).not.toMatch(/Name of|Template/);
    }
    expect(readdirSync(cwd).sort()).toEqual(['one', 'three', 'two']);
  });
});

describe('pipeline add', () => {
  const project = { 'oxiflow.yaml': 'project: { name: shop }\n' };

  test.concurrent('adds a pipeline, its sample data and the schema; what it prints runs, from a subfolder too', async () => {
    const cwd = folder({ ...project, 'notes/a.txt': '' });
    const added = await oxiflow(['pipeline', 'add', 'clicks', '--template', 'streaming'], { cwd: join(cwd, 'notes') });
    expect(added).toEqual({
      code: 0,
      signal: null,
      stderr: '',
      stdout: [
        'added pipelines/clicks.yaml, from the template streaming:',
        '  input/clicks.ndjson',
        '  pipelines/clicks.yaml',
        '  schemas/pipeline.schema.json',
        'next:',
        '  cd .. && oxiflow run clicks < input/clicks.ndjson',
        '  oxiflow pipeline test clicks',
        '',
      ].join('\n'),
    });
    const ran = await shell(next(added.stdout).join('\n'), { cwd: join(cwd, 'notes') });
    expect(ran).toMatchObject({ code: 0 });
    expect(ran.stdout).toBe(
      `${OUTPUTS.streaming?.stdout}clicks: passed: clicks of people are summed up, three at a time\nclicks: passed: a broken line does not end the stream\nclicks: good, 2 tests passed\n`,
    );
  });
  test.concurrent('leaves data that is there as it is, and says so', async () => {
    const mine = '{"order":9,"status":"paid","total":50,"customer":{"country":"at"}}\n';
    const cwd = folder({ ...project, 'input/orders.ndjson': mine });
    const { code, stdout } = await oxiflow(['pipeline', 'add', 'paid', '--json', '--project', cwd], {
      cwd: join(cwd, 'input'),
    });
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toEqual({
      pipeline: 'paid',
      file: 'pipelines/paid.yaml',
      template: 'basic',
      folder: cwd,
      made: ['pipelines/paid.yaml', 'schemas/pipeline.schema.json'],
      kept: ['input/orders.ndjson'],
      next: ['cd .. && oxiflow run paid', 'oxiflow pipeline test paid'],
    });
    expect(snapshot(cwd)['input/orders.ndjson']).toBe(mine);
  });
  test.concurrent('keeps to the folders of the project', async () => {
    const settings = 'settings: { pipeline_dir: jobs/daily, output_dir: out }\n';
    const cwd = folder({ 'oxiflow.yaml': settings });
    expect(await oxiflow(['pipeline', 'add', 'paid'], { cwd })).toMatchObject({ code: 0 });
    const text = readFileSync(join(cwd, 'jobs/daily/paid.yaml'), 'utf8');
    expect(text).toMatch(/^# yaml-language-server: \$schema=\.\.\/\.\.\/schemas\/pipeline\.schema\.json\n/);
    expect(await oxiflow(['run', 'paid', '-q'], { cwd })).toMatchObject({ code: 0 });
    expect(Object.keys(snapshot(cwd))).toContain('out/paid.ndjson');
  });
  test.concurrent('refuses one that is there, a bad name, and a folder that is no project', async () => {
    const cwd = folder({ ...project, 'pipelines/paid.yaml': 'mine\n', 'pipelines/open.yml': 'mine\n' });
    const before = snapshot(cwd);
    const refused: [string, string][] = [
      ['paid', `pipelines/paid.yaml: ${REFUSED}`],
      ['open', `pipelines/open.yml: ${REFUSED}`],
      ['../up', 'pipeline add: a name is 1 to 64 letters, digits, - and _, with no - in front; got "../up"\n'],
    ];
    for (const [name, stderr] of refused)
      expect(await oxiflow(['pipeline', 'add', name], { cwd })).toMatchObject({ code: 2, stdout: '', stderr });
    expect(snapshot(cwd)).toEqual(before);
    const nowhere = folder({});
    expect(await oxiflow(['pipeline', 'add', 'paid'], { cwd: nowhere })).toMatchObject({
      code: 2,
      stderr: `${nowhere}: is no project, it has no oxiflow.yaml; make one with oxiflow init\n`,
    });
    expect(readdirSync(nowhere)).toEqual([]);
  });
  test.concurrent('that fails half-way takes away what it made, and nothing else', async () => {
    const cwd = folder({ ...project, 'input/mine.txt': 'mine\n' });
    const { code } = await shell('ulimit -f 20; oxiflow pipeline add paid', { cwd });
    expect(code).toBe(1);
    expect(readdirSync(cwd, { recursive: true }).sort()).toEqual(['input', 'input/mine.txt', 'oxiflow.yaml']);
  });
});
