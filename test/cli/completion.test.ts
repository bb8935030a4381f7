/** Completion as shells ask for it, and the documentation of oxis. */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { registry } from '../../runner/oxis/registry.ts';
import { GOOD_PROJECT } from './cases/case.ts';
import { folder, NODE, oxiflow, PROGRAM, plainEnvironment, shell } from './program.ts';

const FILES = { ...GOOD_PROJECT, 'pipelines/nightly/rides.yaml': 'pipeline: []\n', 'pipelines/or der.yaml': '' };

/** What bash offers for a line, the cursor at its end. */
async function inBash(cwd: string, words: readonly string[]): Promise<string[]> {
  const list = words.map((word) => `'${word}'`).join(' ');
  const { stdout, stderr } = await shell(
    `source <(oxiflow completion bash)
complete -p oxiflow
COMP_WORDS=(oxiflow ${list}); COMP_CWORD=${words.length}
_oxiflow oxiflow "\${COMP_WORDS[COMP_CWORD]}"
printf '%s\\n' "\${COMPREPLY[@]}"`,
    { cwd },
  );
  expect(stderr).toBe('');
  const [registered, ...found] = stdout.trimEnd().split('\n');
  expect(registered).toBe('complete -F _oxiflow oxiflow');
  return found.filter((one) => one !== '');
}

describe('completion in bash', () => {
  test.concurrent.each([
    [['ru'], ['run']],
    [['pipeline', 'man'], ['manifest']],
    [['state', 'ex'], ['export']],
    [
      ['state', 'unlock', '--'],
      ['--force', '--help', '--json', '--project', '--run-key', '--state-backend'],
    ],
    [['worker', 'stop', ''], []],
    [
      ['run', '--dr'],
      ['--drain-timeout', '--dry-run'],
    ],
    [
      ['run', '--log-format', ''],
      ['text', 'json'],
    ],
    [['run', '--log-format', '=', 'j'], ['json']],
    [['run', 'orders', '--param', 'day=1', '--jso'], ['--json']],
    [['run', 'ni'], ['nightly/rides']],
    [
      ['oxi', 'docs', 'parse_'],
      ['parse_json', 'parse_csv'],
    ],
    [
      ['completion', ''],
      ['bash', 'zsh'],
    ],
    [['no', 'such', 'verb'], []],
    [['run', '--project', 'nowhere', 'ni'], []],
  ] as const)('of %j gives %j', async (words, expected) => {
    expect(await inBash(folder(FILES), words)).toEqual(expected);
  });

  test.concurrent('offers the runs that are saved, and files where a file is wanted', async () => {
    const cwd = folder({ ...FILES, 'saved.json': '' });
    await oxiflow(['run', 'orders', '-q', '--run-key', 'monday'], { cwd });
    expect(await inBash(cwd, ['status', '--run-key', ''])).toEqual(['monday']);
    expect(await inBash(cwd, ['state', 'import', 'sav'])).toEqual(['saved.json']);
    expect(await inBash(cwd, ['state', 'export', '--output', 'sav'])).toEqual(['saved.json']);
  });

  test.concurrent('offers pipelines and then files', async () => {
    expect(await inBash(folder({ ...FILES, 'orphan.yaml': '' }), ['run', 'or'])).toEqual(['orders', 'orphan.yaml']);
  });

  test.concurrent('runs nothing that the name of a pipeline or of a file spells', async () => {
    const cwd = folder({ 'pipelines/pp$((a[$(>PWN)])).yaml': '', 'qq$((a[$(>PWN)])).yaml': '' });
    const { stdout } = await shell(
      `printf 'source <(oxiflow completion bash)\noxiflow run pp\t\t\noxiflow run qq\t\t\necho over-$?\nexit\n' |
  INPUTRC=/dev/null TERM=dumb bash --norc --noprofile -i 2>&1`,
      { cwd },
    );
    expect(stdout).toContain('over-');
    expect(readdirSync(cwd)).not.toContain('PWN');
    expect(await inBash(cwd, ['run', 'pp'])).toEqual([]);
    expect(await inBash(cwd, ['run', 'qq'])).toEqual([]);
  });
});

// Not every machine has that shell, and the tests install nothing.
const zsh = spawnSync('zsh', ['--version']).status === 0;

test.runIf(zsh)('completion in zsh offers the same', () => {
  const script = `oxiflow() { '${NODE}' -- '${PROGRAM}' "$@"; }
compdef() { print -r -- "$@"; }
compadd() { print -rl -- "\${found[@]}"; }
_files() { print files; }
eval "$(oxiflow completion zsh)"
words=(oxiflow run --log-format ''); CURRENT=4; _oxiflow
words=(oxiflow run ni); CURRENT=3; _oxiflow`;
  const { stdout, stderr } = spawnSync('zsh', ['-f', '-c', script], {
    cwd: folder(FILES),
    env: plainEnvironment(),
    encoding: 'utf8',
  });
  expect(stderr).toBe('');
  expect(stdout.trimEnd().split('\n')).toEqual(['_oxiflow oxiflow', 'text', 'json', 'files', 'nightly/rides']);
});

describe('oxi', () => {
  test.concurrent('list and docs name every oxi on 80 columns', async () => {
    const cwd = folder({});
    const [list, text, json] = await Promise.all(
      [
        ['oxi', 'list'],
        ['oxi', 'docs'],
        ['oxi', 'docs', '--format', 'json'],
      ].map(async (args) => (await oxiflow(args, { cwd })).stdout),
    );
    const names = [...registry.keys()];
    expect(
      list
        ?.trimEnd()
        .split('\n')
        .map((one) => one.split(' ')[0]),
    ).toEqual(names);
    expect(JSON.parse(json ?? '').map(({ name }: { name: string }) => name)).toEqual(names);
    for (const name of names) expect(text).toMatch(new RegExp(`^${name} \\(`, 'm'));
    for (const one of text?.split('\n') ?? []) expect(one.length).toBeLessThanOrEqual(80);
  });
  test.concurrent('docs of one tells its fields, and of none what was meant', async () => {
    const cwd = folder({});
    const markdown = await oxiflow(['oxi', 'docs', 'parse_csv', '--format', 'markdown'], { cwd });
    expect(markdown.stdout).toMatch(/^## parse_csv\n/);
    expect(markdown.stdout).toContain('| `headers` (also `has_headers`) | true or false | `true` |');
    const { code, stderr } = await oxiflow(['oxi', 'docs', 'pars_csv'], { cwd });
    expect({ code, stderr }).toEqual({ code: 2, stderr: 'oxi docs: no oxi "pars_csv"; did you mean "parse_csv"?\n' });
  });
});
