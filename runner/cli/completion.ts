/**
 * `oxiflow completion bash|zsh`: a script that asks this program, at each press of the tab key, what may stand at the place of
 * the cursor. The answers come from the commands themselves, the project and the registry.
 */
import { Argument, Command, type Option } from 'commander';
import { listPipelines } from '../config/files.ts';
import { OxiError } from '../engine/errors.ts';
import type { StateStore } from '../state/store.ts';
import { openProject } from './open-project.ts';

/** Every verb with its options, for the one word that is there. */
export type Verbs = (word: string | undefined) => Promise<Command>;

export function command(verbs: Verbs): Command {
  return new Command('completion')
    .description('print a script that completes names and options in a shell')
    .addArgument(new Argument('[shell]', 'which shell').choices(['bash', 'zsh']))
    .option('--words <word...>', 'what may stand in place of the last of these words')
    .addHelpText('after', HOW)
    .action(async (shell: 'bash' | 'zsh' | undefined, { words }: { words?: string[] }) => {
      if (words !== undefined) return await answer(words, verbs);
      if (shell === undefined) throw new OxiError('COMMAND_INVALID', 'completion: name a shell: bash or zsh');
      process.stdout.write(SCRIPTS[shell]);
    });
}

const HOW = `
In ~/.bashrc: eval "$(oxiflow completion bash)"
In ~/.zshrc, behind compinit: eval "$(oxiflow completion zsh)"`;

/** Whoever presses a key is told nothing of what went wrong. */
async function answer(words: readonly string[], verbs: Verbs): Promise<void> {
  // Each begins with a mark, so that none is taken for an option of this verb.
  const typed = words.map((word) => word.replace(/^\+/, ''));
  const found = await candidates(typed, verbs).catch(() => []);
  process.stdout.write(found.map((one) => `${one}\n`).join(''));
}

/** A shell takes these as they are. Others are not offered: bash expands what it offers among files, `$(...)` in it too. */
const PLAIN = /^[\p{L}\p{M}\p{N}_./-]+$/u;

/** What may stand in place of the last word, in order. A file or folder is asked for by `/files` or `/folders`. */
export async function candidates(typed: readonly string[], verbs: Verbs): Promise<string[]> {
  // To bash "=" is a word of its own.
  const words = typed.filter((word, i) => word !== '=' || i === typed.length - 1);
  const current = words.at(-1) === '=' ? '' : (words.at(-1) ?? '');
  const before = words.slice(0, -1);
  let at: Command = await verbs(before.find((word) => !word.startsWith('-')));
  let place = 0;
  let asked: Option | undefined;
  let project: string | undefined;
  for (const word of before) {
    if (asked !== undefined) {
      if (asked.long === '--project') project = word;
      asked = undefined;
      continue;
    }
    const [name = ''] = word.split('=');
    const option = word.startsWith('-') ? optionOf(at, name) : undefined;
    if (word.startsWith('-')) {
      if (option?.long === '--project' && word.includes('=')) project = word.slice(name.length + 1);
      asked = option?.required === true && !word.includes('=') ? option : undefined;
      continue;
    }
    const sub = place === 0 ? at.commands.find((one) => one.name() === word) : undefined;
    if (sub === undefined) place += 1;
    else at = sub;
  }
  const starting = (names: readonly string[]): string[] =>
    names.filter((name) => (name.startsWith(current) || name.startsWith('/')) && PLAIN.test(name));
  if (asked !== undefined) return starting(await valuesOf(asked, project));
  if (current.startsWith('-')) return starting(optionNames(at));
  if (at.commands.length > 0) return starting(at.commands.map((one) => one.name()));
  return starting(await argumentsOf(at, place, project));
}

function optionOf(verb: Command, name: string): Option | undefined {
  return verb.options.find(({ long, short }) => long === name || short === name);
}

function optionNames(verb: Command): string[] {
  return [...verb.options.flatMap(({ long }) => long ?? []), '--help'].sort();
}

async function valuesOf({ argChoices, flags, long }: Option, project: string | undefined): Promise<readonly string[]> {
  if (argChoices !== undefined) return argChoices;
  if (long === '--run-key')
    return await inStore(project, async (store) => (await store.list()).map((run) => run.runKey));
  if (long === '--template') return (await import('./templates.ts')).TEMPLATES;
  if (/<dir>/.test(flags)) return ['/folders'];
  return /<file/.test(flags) ? ['/files'] : [];
}

async function argumentsOf(verb: Command, place: number, project: string | undefined): Promise<readonly string[]> {
  const { registeredArguments } = verb;
  const last = registeredArguments.at(-1);
  const argument = registeredArguments[place] ?? (last?.variadic === true ? last : undefined);
  if (argument === undefined) return [];
  if (argument.argChoices !== undefined) return argument.argChoices;
  if (argument.name() === 'oxi') return [...(await import('../oxis/registry.ts')).registry.keys()];
  if (argument.name() === 'file') return ['/files'];
  if (argument.name() === 'worker') {
    const { listWorkers, workerIdOf } = await import('../state/registration.ts');
    return await inStore(project, async (store) => (await listWorkers(store)).map(workerIdOf));
  }
  if (!/^pipelines?$/.test(argument.name())) return [];
  const { root, settings } = await openProject({ project });
  return [...(await listPipelines(root, settings.pipelineDir)).map(({ name }) => name), '/files'];
}

async function inStore(
  project: string | undefined,
  names: (store: StateStore) => Promise<string[]>,
): Promise<string[]> {
  const { openStore } = await import('../state/open.ts');
  await using store = await openStore((await openProject({ project })).state);
  return await names(store);
}

const BASH = `_oxiflow() {
  local word files=
  local -a typed=("\${COMP_WORDS[@]:1:COMP_CWORD}") found=()
  COMPREPLY=()
  while IFS= read -r word; do
    case "$word" in
      /files) files=-f ;;
      /folders) files=-d ;;
      *) found+=("$word") ;;
    esac
  done < <(oxiflow completion --words "\${typed[@]/#/+}" 2>/dev/null)
  if [ -n "$files" ]; then
    compopt -o filenames 2>/dev/null
    while IFS= read -r word; do
      case "$word" in
        *'$'* | *'\`'*) ;;
        *) found+=("$word") ;;
      esac
    done < <(compgen "$files" -- "\${2#=}")
    COMPREPLY=("\${found[@]}")
  else
    for word in "\${found[@]}"; do COMPREPLY+=("$(printf %q "$word")"); done
  fi
}
complete -F _oxiflow oxiflow
`;

const ZSH = `#compdef oxiflow
_oxiflow() {
  local word
  local -a typed found
  typed=("\${(@)words[2,CURRENT]}")
  for word in "\${(@f)$(oxiflow completion --words "\${(@)typed/#/+}" 2>/dev/null)}"; do
    case "$word" in
      '') ;;
      /files) _files ;;
      /folders) _files -/ ;;
      *) found+=("$word") ;;
    esac
  done
  compadd -a found
}
if [ "$funcstack[1]" = _oxiflow ]; then _oxiflow; else compdef _oxiflow oxiflow; fi
`;

const SCRIPTS = { bash: BASH, zsh: ZSH } as const;
