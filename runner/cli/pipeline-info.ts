/** `oxiflow pipeline info`: how a pipeline would run, and why so. */
import { Command, Option } from 'commander';
import type { ParameterSpec } from '../config/parameters.ts';
import type { Pipeline } from '../config/pipeline.ts';
import { OxiError } from '../engine/errors.ts';
import type { Plan } from '../engine/plan.ts';
import { humanCount } from '../observe/human.ts';
import { redactStrings } from '../observe/redaction.ts';
import { barriersOf, explainStages, guaranteeOf, tightenedLimits } from './explain.ts';
import { clean, type FirstInput, firstInput, openPipeline, type PipelineOptions, planOf } from './load.ts';
import { mermaidText } from './mermaid.ts';
import { openProject } from './open-project.ts';
import { overriding } from './options.ts';
import { parameterOf, plain } from './parameter-document.ts';
import { line, planDocument, planText } from './plan-text.ts';
import { printable, printJson } from './state-store.ts';

interface Options extends PipelineOptions {
  json?: true;
  explain?: true;
  format: 'text' | 'mermaid';
}

export function infoCommand(): Command {
  const verb = new Command('info')
    .description('say how a pipeline would run')
    .argument('<pipeline>', 'name or path')
    .option('--project <dir>', 'folder of the project')
    .option('--json', 'print one JSON document')
    .option('--explain', 'say why: tiers, ends of stages, threads')
    .addOption(new Option('--format <format>', 'how it is printed').choices(['text', 'mermaid']).default('text'));
  return overriding(verb).action(info);
}

async function info(name: string, options: Options): Promise<void> {
  if (options.json && options.format !== 'text')
    throw new OxiError('COMMAND_INVALID', 'pipeline info: --json and --format exclude each other; keep one');
  const project = await openProject(options, name);
  const redact = (text: string): string => project.secrets.redact(text);
  try {
    const pipeline = await openPipeline(project, name, options);
    const plan = await planOf(project, pipeline, 1, { now: Date.now() });
    if (options.format === 'mermaid') {
      process.stdout.write(redact(mermaidText(pipeline.name, plan)));
      return;
    }
    const input = await firstInput(plan, options.explain).catch((error) => {
      if (error instanceof OxiError) return undefined;
      throw error;
    });
    if (options.json) {
      const document = {
        ...(planDocument(pipeline, plan, input) as object),
        ...details(pipeline, plan, options, input),
      };
      printJson(redactStrings(document, redact));
    } else {
      const more = moreLines(pipeline, plan, options.explain === true, input).map(printable);
      process.stdout.write(redact(`${planText(pipeline.name, plan, input)}${more.map((one) => `${one}\n`).join('')}`));
    }
  } catch (error) {
    throw clean(error, redact);
  }
}

function details(pipeline: Pipeline, plan: Plan, options: Options, input: FirstInput | undefined): object {
  return {
    parameters: pipeline.parameters.map((spec) => ({ ...parameterOf(spec), value: usedValue(spec, pipeline) })),
    ...guaranteeOf(plan),
    barriers: barriersOf(plan, pipeline),
    limits: tightenedLimits(plan),
    dead_letters_most: plan.deadLetters?.maxRecords ?? null,
    max_errors: pipeline.maxErrors ?? null,
    tests: pipeline.tests.map((test) => test.name),
    ...(options.explain ? { explained: explainStages(plan, pipeline, input?.stream) } : {}),
  };
}

/** What a run would use; null where that is a secret. */
function usedValue({ name, secret }: ParameterSpec, { params }: Pipeline): string | number | boolean | null {
  const value = params.get(name);
  return secret || value === undefined ? null : plain(value);
}

const HOLDS = {
  once: 'every record once in the outputs, however often a run is stopped',
  at_least_once: 'every record at least once',
  starts_over: 'a run that is stopped starts over',
} as const;

function moreLines(pipeline: Pipeline, plan: Plan, explain: boolean, input: FirstInput | undefined): string[] {
  const { guarantee, because } = guaranteeOf(plan);
  const lines = line('', 'holds', `${HOLDS[guarantee]}${because === null ? '' : `: because of "${because}"`}`);
  for (const { before, because: references } of barriersOf(plan, pipeline)) {
    const why = references.map(
      ({ step, field, reference, needs }) => `"${field}" of "${step}" is ${reference}, known when "${needs}" has ended`,
    );
    lines.push(
      ...line('', 'barrier', `before "${before}": ${why.length === 0 ? 'a source begins anew' : why.join('; ')}`),
    );
  }
  for (const { step, limit, value, most } of tightenedLimits(plan))
    lines.push(
      ...line('', 'limits', `${step}: ${limit} ${humanCount(value)}${most === null ? '' : ` of ${humanCount(most)}`}`),
    );
  const { maxErrors } = pipeline;
  if (maxErrors !== undefined) {
    const most =
      'count' in maxErrors
        ? humanCount(maxErrors.count)
        : `${Number((maxErrors.share * 100).toPrecision(12))} % of the records`;
    lines.push(...line('', 'errors', `the run stops beyond ${most}${'count' in maxErrors ? ' bad records' : ''}`));
  }
  for (const spec of pipeline.parameters) lines.push(...line('', 'param', parameterText(spec, pipeline)));
  for (const { name } of pipeline.tests) lines.push(...line('', 'test', name));
  return explain ? [...lines, ...explainLines(plan, pipeline, input)] : lines;
}

function parameterText(spec: ParameterSpec, pipeline: Pipeline): string {
  const { name, type, description, required, default: standard, choices, secret } = parameterOf(spec);
  const value = secret ? '***' : JSON.stringify(usedValue(spec, pipeline));
  const facts = [
    type,
    ...(required ? ['required'] : secret ? ['default ***'] : [`default ${JSON.stringify(standard)}`]),
    ...(choices === null ? [] : [`one of ${choices.join(', ')}`]),
  ];
  return `${name} = ${value} (${facts.join('; ')})${description === null || description === '' ? '' : `: ${description}`}`;
}

function explainLines(plan: Plan, pipeline: Pipeline, input: FirstInput | undefined): string[] {
  return explainStages(plan, pipeline, input?.stream).flatMap(({ steps, threads, ends }) => [
    '',
    ...line('', 'why', `the stage of ${steps.map(({ id }) => id).join(' -> ')}`),
    ...line('', 'threads', `${threads.most}: ${threads.why}`),
    ...line('', 'ends', `here: ${ends}`),
    ...steps.flatMap(({ id, tier, why }) => line('', 'tier', `${id}: ${tier}${why === null ? '' : `: ${why}`}`)),
  ]);
}
