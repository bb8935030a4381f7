/** `oxiflow doctor`: what is wrong with the machine and the project, and what to do about it, a line for each thing it looks at. */
import { statSync } from 'node:fs';
import { dirname, isAbsolute, resolve } from 'node:path';
import { Command } from 'commander';
import packageJson from '../../package.json' with { type: 'json' };
import { isFolder, listPipelines } from '../config/files.ts';
import { loadPipeline } from '../config/pipeline.ts';
import type { Project } from '../config/project.ts';
import { type Check, ok, warning, wrong } from '../doctor/check.ts';
import { checkDisk, checkFolder, disksOf, type Probe, probeFolder } from '../doctor/folders.ts';
import { checkClock, checkMemory, checkNode, checkStreams, checkTemporary } from '../doctor/machine.ts';
import {
  checkPipelines,
  checkSecrets,
  checkVariables,
  type Examined,
  mostThreads,
  noteErrors,
  unknownPipeline,
} from '../doctor/pipelines.ts';
import { checkConnections, checkState } from '../doctor/state.ts';
import { EXIT, OxiError } from '../engine/errors.ts';
import { allNodes, sinksOf } from '../engine/plan.ts';
import { sayIfSlow } from '../engine/slow.ts';
import { redactStrings } from '../observe/redaction.ts';
import { oneLine } from '../observe/safe-text.ts';
import { Terminal } from '../observe/terminal.ts';
import { registry } from '../oxis/registry.ts';
import { openStore } from '../state/open.ts';
import { firstInput, planOf } from './load.ts';
import { openProject } from './open-project.ts';
import { printJson } from './state-store.ts';

interface Options {
  project?: string;
  envFile?: string;
  stateBackend?: string;
  json?: true;
}

export function command(): Command {
  return new Command('doctor')
    .description('look for what is wrong with the machine and the project, and say what to do')
    .option('--project <dir>', 'folder of the project')
    .option('--env-file <file>', 'variables, one NAME=value a line')
    .option('--state-backend <name>', 'where state is kept: auto, sqlite, file, nfs, redis')
    .option('--json', 'print one JSON document')
    .action(async (options: Options) => {
      const tell = (text: string): void => void process.stderr.write(`${text}\n`);
      const checks = await sayIfSlow(tell, 'looking', examine(options));
      if (options.json === true) printJson({ ok: checks.every(({ verdict }) => verdict !== 'wrong'), checks });
      else say(checks);
      process.exitCode = checks.some(({ verdict }) => verdict === 'wrong') ? EXIT.failed : EXIT.ok;
    });
}

async function examine(options: Options): Promise<Check[]> {
  const machine = [checkNode(process.versions.node, packageJson.devDependencies.node), checkStreams()];
  const now = Date.now();
  const built = builtAt(now);
  let project: Project | undefined;
  const checks: Check[] = [];
  try {
    project = await openProject(options);
  } catch (error) {
    // A slip on the command line is none of the project's.
    if (!(error instanceof OxiError) || error.code === 'COMMAND_INVALID') throw error;
    checks.push(wrong('project', oneLine(error.message)));
  }
  if (project === undefined || !(await isProject(project))) {
    if (project !== undefined)
      checks.push(
        warning(
          'project',
          `none here: no oxiflow.yaml in ${project.root} or above it`,
          'oxiflow doctor --project DIR looks at one',
        ),
      );
    return [...machine, checkClock(now, { built }), checkMemory(undefined), await checkTemporary(), ...checks];
  }
  const of = await examineProject(project, now);
  return redactStrings(
    [
      ...machine,
      checkClock(now, { built, disk: of.disk, saved: of.saved }),
      checkMemory(mostThreads(of.pipelines)),
      await checkTemporary(),
      ...of.checks,
    ],
    (text) => project.secrets.redact(text),
  );
}

/** A folder without an oxiflow.yaml is a project of defaults, if there is anything in it. */
async function isProject({ file, root, settings }: Project): Promise<boolean> {
  if (file !== undefined) return true;
  return (await isFolder(resolve(root, settings.pipelineDir))) || (await isFolder(resolve(root, '.oxiflow')));
}

interface Found {
  checks: Check[];
  pipelines: Examined[];
  /** What the file system of the state calls now, and the newest time that the state holds. */
  disk: number | undefined;
  saved: number | undefined;
}

async function examineProject(project: Project, now: number): Promise<Found> {
  const { root, settings, state, notices } = project;
  const name = project.name === undefined ? '' : `"${project.name}" `;
  const without = notices.length === 0 ? '' : `; ${notices.length} settings without effect`;
  const checks = [
    ok('project', `${name}in ${root}${project.file === undefined ? ', without an oxiflow.yaml' : ''}${without}`),
  ];
  const pipelines: Examined[] = [];
  for (const file of await listPipelines(root, settings.pipelineDir))
    pipelines.push(await examinePipeline(project, file.name));

  const probes: Probe[] = [];
  const look = async (what: string, path: string): Promise<Probe> => {
    const probe = await probeFolder(path);
    probes.push(probe);
    checks.push(checkFolder(what, path, probe));
    return probe;
  };
  await look('folder', root);
  const output = resolve(root, settings.outputDir);
  await look('output', output);
  for (const letters of new Set(pipelines.flatMap(({ letters: path }) => path ?? [])))
    await look('dead letters', letters);

  let saved: number | undefined;
  let disk: number | undefined;
  const stateChecks: Check[] = [];
  try {
    const warn = (text: string): void =>
      void stateChecks.push(warning('state', text, 'change the settings of the server'));
    await using store = await openStore(state, { warn });
    // The state of a server is in no folder.
    if (isAbsolute(store.location)) {
      const probe = await look('state folder', store.backend === 'sqlite' ? dirname(store.location) : store.location);
      disk = 'at' in probe ? probe.at : undefined;
    }
    const found = await checkState(store, project.stuckAfterMs, now);
    saved = found.saved;
    stateChecks.push(...found.checks);
  } catch (error) {
    if (!(error instanceof OxiError)) throw error;
    stateChecks.push(wrong('state', error.message));
  }
  const folders = probes.flatMap((probe) => ('folder' in probe ? [probe.folder] : []));
  for (const found of await disksOf(folders)) checks.push(checkDisk(found));
  checks.push(checkConnections(state), ...stateChecks);
  checks.push(checkSecrets(project.secrets.inClear));
  checks.push(...checkPipelines(pipelines, resolve(root, settings.pipelineDir)), checkVariables(pipelines));
  return { checks, pipelines, disk, saved };
}

async function examinePipeline(project: Project, name: string): Promise<Examined> {
  const found = unknownPipeline(name);
  try {
    const pipeline = await loadPipeline(project, name, { oxis: registry, env: process.env });
    const plan = await planOf(project, pipeline, 1, { now: Date.now() });
    const nodes = plan.segments.flatMap(({ planned }) => allNodes(planned?.nodes ?? []));
    found.threads = nodes.reduce((sum, node) => sum + (node.kind === 'stage' ? node.threads : 0), 0) || 1;
    if (plan.deadLetters !== undefined) found.letters = dirname(resolve(project.root, plan.deadLetters.path));
    await trouble(found, () => firstInput(plan));
    for (const { sink } of sinksOf(nodes)) await trouble(found, async () => await sink.check?.());
    await trouble(found, async () => await plan.deadLetters?.sink.check?.());
  } catch (error) {
    noteErrors(found, error);
  }
  return found;
}

/** What could not be read or written at the moment is no mistake of the pipeline. */
async function trouble(found: Examined, look: () => Promise<unknown>): Promise<void> {
  try {
    await look();
  } catch (error) {
    if (!(error instanceof OxiError)) throw error;
    found.troubles.push(oneLine(error.message));
  }
}

/** When the program was made, which no clock can be before. */
function builtAt(now: number): number {
  const { mtimeMs } = statSync(process.argv[1] ?? process.execPath, { throwIfNoEntry: false }) ?? { mtimeMs: now };
  return mtimeMs;
}

function say(checks: readonly Check[]): void {
  const terminal = new Terminal(process.stdout, process.env);
  const width = Math.max(...checks.map(({ name }) => Math.min(name.length, 14)));
  for (const { name, verdict, text, remedy } of checks) {
    const word = verdict.padEnd(7);
    const shown = verdict === 'ok' ? word : terminal.paint(verdict === 'wrong' ? 'red' : 'yellow', word);
    const line = oneLine(`${name.padEnd(width)}  ${text}${remedy === undefined ? '' : `; ${remedy}`}`);
    process.stdout.write(`${shown}  ${line}\n`);
  }
  const count = (verdict: Check['verdict']): number => checks.filter((check) => check.verdict === verdict).length;
  process.stdout.write(`${count('wrong')} wrong, ${count('warning')} to look at, ${count('ok')} fine\n`);
}
