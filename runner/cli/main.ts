/** The command line: a table of verbs. Each verb is a file and loads when it is asked for. */
import { Command, CommanderError } from 'commander';
import { ConfigErrors, EXIT, type ExitCode, OxiError } from '../engine/errors.ts';
import { turnPage } from './help.ts';
import { withOutput } from './output.ts';
import { version } from './version.ts';

interface Verb {
  name: string;
  summary: string;
  load(): Promise<{ command(program: (word: string | undefined) => Promise<Command>): Command }>;
}

const VERBS: readonly Verb[] = [
  { name: 'init', summary: 'make a project that runs at once', load: () => import('./init.ts') },
  { name: 'run', summary: 'run a pipeline, or go on where it stopped', load: () => import('./run.ts') },
  { name: 'pipeline', summary: 'list, add, check and explain pipelines', load: () => import('./pipeline.ts') },
  { name: 'preview', summary: 'show the records as they leave a step', load: () => import('./preview.ts') },
  { name: 'map', summary: 'try an expression on records', load: () => import('./map.ts') },
  { name: 'state', summary: 'show, move, back up and mend what runs have saved', load: () => import('./state.ts') },
  { name: 'worker', summary: 'list, show and stop the workers of runs', load: () => import('./worker.ts') },
  { name: 'status', summary: 'say how a run is doing', load: () => import('./status.ts') },
  { name: 'cancel', summary: 'ask a run to save a checkpoint and end', load: () => import('./cancel.ts') },
  { name: 'pause', summary: 'ask a run to save a checkpoint and wait', load: () => import('./pause.ts') },
  { name: 'resume', summary: 'let a run go on that was paused', load: () => import('./resume.ts') },
  { name: 'history', summary: 'show how runs have ended, with figures', load: () => import('./history.ts') },
  { name: 'doctor', summary: 'say what is wrong here and what to do', load: () => import('./doctor.ts') },
  { name: 'oxi', summary: 'list and explain the oxis, of which pipelines are made', load: () => import('./oxi.ts') },
  { name: 'schema', summary: 'print the JSON Schema of a file, for editors', load: () => import('./schema.ts') },
  {
    name: 'completion',
    summary: 'print a script that completes names in a shell',
    load: () => import('./completion.ts'),
  },
  { name: 'version', summary: 'print the version', load: () => import('./version.ts') },
];

/** Runs the command line `args` and returns the exit code. Known failures are one sentence on stderr. */
export function main(args: readonly string[]): Promise<ExitCode> {
  return withOutput(() => command(args));
}

/** The program with the verb `word` and the names of all others. */
async function programFor(word: string | undefined): Promise<Command> {
  const program = new Command('oxiflow')
    .description('Runs data pipelines, one YAML file each, in constant memory. More: VERB --help')
    .version(version(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show help')
    .helpCommand(false)
    // Its own options are verbs as well: the screen is for those.
    .configureHelp({ visibleOptions: () => [] });
  for (const verb of VERBS) {
    if (verb.name === word) program.addCommand((await verb.load()).command(programFor));
    else program.command(verb.name).description(verb.summary);
  }
  return program;
}

/** The program with all of its verbs. */
export async function wholeProgram(): Promise<Command> {
  const program = new Command('oxiflow');
  for (const verb of VERBS) program.addCommand((await verb.load()).command(programFor));
  return program;
}

async function command(args: readonly string[]): Promise<ExitCode> {
  // `oxiflow help run` is what `oxiflow run --help` is.
  const words = args[0] === 'help' ? [...args.slice(1), '--help'] : args;
  const [word] = words;
  const wanted = VERBS.find(({ name }) => name === word);
  const program = await programFor(word);
  if (words.includes('--all') && (words.includes('--help') || words.includes('-h'))) turnPage(program);
  program.action(() => {
    program.outputHelp({ error: true });
    process.exitCode = EXIT.config;
  });
  strict(program);
  try {
    if (word !== undefined && wanted === undefined && !word.startsWith('-')) throw await unknownVerb(word);
    await program.parseAsync([...words], { from: 'user' });
    return (process.exitCode as ExitCode | undefined) ?? EXIT.ok;
  } catch (error) {
    if (word === 'run' && process.env.DAGSTER_PIPES_CONTEXT !== undefined) await tellDagster(error);
    return report(error, args);
  }
}

/** Whoever started a run by Dagster Pipes sees nothing but the exit code of one that never began. */
async function tellDagster(error: unknown): Promise<void> {
  if (error instanceof CommanderError && error.exitCode === 0) return;
  const { refuseInPipes } = await import('../observe/pipes.ts');
  const message =
    error instanceof CommanderError
      ? `oxiflow run: ${commanderSentence(error.message)} oxiflow run --help shows how`
      : messageOf(error);
  const code =
    error instanceof OxiError ? error.code : error instanceof CommanderError ? 'COMMAND_INVALID' : 'INTERNAL';
  refuseInPipes(process.env, code, message, { warn: (told) => void process.stderr.write(`${told}\n`) });
}

/** Commander ends the process by itself, and speaks in a style of its own, unless every command is told not to. */
function strict(command: Command, names = command.name()): void {
  command.exitOverride();
  command.configureOutput({
    outputError: (text, write) => write(`${names}: ${commanderSentence(text)} ${names} --help shows how\n`),
  });
  for (const sub of command.commands) strict(sub, `${names} ${sub.name()}`);
}

/** `error: unknown option '--x'` and `(Did you mean --y?)` in two lines, in our style in one. */
function commanderSentence(text: string): string {
  const sentence = text
    .trim()
    .replace(/^error: /, '')
    .replaceAll(/\s*\n\(Did you mean (.*?)\?\)/g, '; did you mean $1?')
    .replaceAll("'", '"')
    .replace(/\.$/, '')
    .replaceAll(/\. ([A-Z])/g, (_, first: string) => `: ${first.toLowerCase()}`);
  return sentence.endsWith('?') ? sentence : `${sentence};`;
}

async function unknownVerb(word: string): Promise<OxiError> {
  const { didYouMean } = await import('../config/nearest.ts');
  const names = VERBS.map(({ name }) => name);
  const near = didYouMean(word, names);
  const shown = JSON.stringify(word.slice(0, 60));
  return new OxiError(
    'COMMAND_INVALID',
    `oxiflow: unknown verb ${shown}${near === '' ? `; there are: ${names.join(', ')}` : near}`,
  );
}

/** Prints what went wrong and returns the exit code; what nobody expected is printed with its stack. */
function report(error: unknown, args: readonly string[]): ExitCode {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.config;
  const known = error instanceof OxiError;
  const message = known ? sentences(error, args) : messageOf(error);
  process.stderr.write(wantsJson(args) ? jsonLine(known ? error.code : 'INTERNAL', message) : `${message}\n`);
  return known ? error.exitCode : EXIT.failed;
}

function sentences(error: OxiError, args: readonly string[]): string {
  // Only this verb says more on -v when its pipeline is wrong.
  const all = args[0] !== 'run' || args.includes('-v') || args.includes('--verbose');
  if (all || !(error instanceof ConfigErrors) || error.errors.length === 1) return error.message;
  return `${error.errors[0]?.message}\nand ${error.errors.length - 1} more; -v shows them all`;
}

function messageOf(error: unknown): string {
  if (error instanceof OxiError) return error.message;
  return `oxiflow met a bug: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
}

/** Whoever reads the log as JSON reads what was wrong with the start there, too. */
function wantsJson(args: readonly string[]): boolean {
  const at = args.indexOf('--log-format');
  return args.includes('--log-format=json') || (at >= 0 && args[at + 1] === 'json');
}

function jsonLine(code: string, message: string): string {
  return `${JSON.stringify({ level: 'error', ts: new Date().toISOString(), code, message })}\n`;
}
