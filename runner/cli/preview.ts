/** `oxiflow preview NAME`: the records as they leave a step. Writes nothing, saves nothing, takes no lease. */
import { Command } from 'commander';
import { EXIT, OxiError } from '../engine/errors.ts';
import { sayIfSlow } from '../engine/slow.ts';
import { registry } from '../oxis/registry.ts';
import { cutTo, findStep, lastStep } from '../testing/cut.ts';
import { preview, programsIn } from '../testing/preview.ts';
import { clean, openPipeline, type PipelineOptions, planOf } from './load.ts';
import { openProject } from './open-project.ts';
import { overriding, wholeNumber } from './options.ts';
import { print, refuseClosedOutput } from './output.ts';
import { printable } from './state-store.ts';

interface Options extends PipelineOptions {
  step?: string;
  limit: number;
  json?: true;
}

/** So many bad records are told one by one; the others are counted. */
const TOLD = 20;

export function command(): Command {
  const verb = new Command('preview')
    .description('show the records as they leave a step; nothing is written or saved')
    .argument('<pipeline>', 'name in the pipeline folder, or path of a YAML file')
    .option('--step <id>', 'the step (default: the last before the sinks)')
    .option('--limit <n>', 'show at most n records', wholeNumber(1, 1_000_000), 10)
    .option('--json', 'print one JSON document')
    .option('--project <dir>', 'folder of the project');
  return overriding(verb)
    .addHelpText(
      'after',
      `
A line of JSON for each record; of a source, its lines of text. The steps run
as they are, programs of exec too. Bad records are told on standard error; the
exit code is 3 where a run would stop at one.`,
    )
    .action(async (name: string, options: Options) => {
      process.exitCode = await show(name, options);
    });
}

async function show(name: string, options: Options): Promise<number> {
  refuseClosedOutput('preview');
  const project = await openProject(options, name);
  const redact = (text: string): string => project.secrets.redact(text);
  const cleaned = (error: unknown): never => {
    throw clean(error, redact);
  };
  const pipeline = await openPipeline(project, name, options).catch(cleaned);
  const now = Date.now();
  // The pipeline has to be right as a whole, and not only up to the step.
  await planOf(project, pipeline, 1, { now }).catch(cleaned);
  const target =
    options.step === undefined
      ? lastStep(pipeline.steps, registry)
      : findStep(pipeline.steps, options.step, 'preview: --step');
  if (target === undefined) throw new OxiError('COMMAND_INVALID', 'preview: the pipeline has no step to look at');
  const cut = cutTo(pipeline.steps, target, registry);
  const say = (sentence: string): void => {
    process.stderr.write(`${printable(redact(sentence))}\n`);
  };
  for (const { id } of programsIn(cut)) say(`"${id}" runs its program for this: what that does elsewhere is done`);
  if (cut.before.length > 0) say('what the part before it has left is needed: that runs to its end first');
  if (process.stdin.isTTY && cut.steps.some(({ oxi }) => oxi === 'read_stdin'))
    say('waiting for standard input; Ctrl-D ends it');
  const records: string[] = [];
  const errors: string[] = [];
  let bad = 0;
  using stop = stopping();
  const work = preview({
    pipeline,
    cut,
    oxis: registry,
    projectRoot: project.root,
    limit: options.limit,
    plan: (steps, oxis) =>
      planOf(project, { ...pipeline, steps, delivery: 'at_least_once', deadLetter: undefined }, 1, { now, oxis }),
    redact,
    take: async (some) => {
      if (options.json) records.push(...some);
      else await print(`${some.join('\n')}\n`);
    },
    bad: (sentence) => {
      bad++;
      if (bad > TOLD) return;
      if (options.json) errors.push(sentence);
      else say(sentence);
    },
    say,
    stop: stop.signal,
  });
  const { complete, stops } = await sayIfSlow(say, `reading up to "${target.id}"`, work).catch(cleaned);
  if (options.json) {
    const rest = JSON.stringify({ errors, bad, complete }).slice(1);
    const head = JSON.stringify({ pipeline: pipeline.name, step: target.id }).slice(0, -1);
    await print(`${head},"records":[${records.join(',')}],${rest}\n`);
  } else {
    if (bad > TOLD) say(`and ${bad - TOLD} more bad records`);
    if (stops) say('a run would stop at the first of these bad records: "on_error" of the step decides');
  }
  return stops ? EXIT.data : EXIT.ok;
}

/** Aborted by Ctrl-C and SIGTERM: programs that were started end with it. */
function stopping(): Disposable & { signal: AbortSignal } {
  const controller = new AbortController();
  const onInt = (): void => controller.abort(new OxiError('INTERRUPTED', 'interrupted'));
  const onTerm = (): void => controller.abort(new OxiError('TERMINATED', 'terminated'));
  process.once('SIGINT', onInt);
  process.once('SIGTERM', onTerm);
  return {
    signal: controller.signal,
    [Symbol.dispose]: () => {
      process.off('SIGINT', onInt);
      process.off('SIGTERM', onTerm);
    },
  };
}
