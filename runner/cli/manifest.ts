/** The entry of a pipeline in the manifest. Looks at no data: what only a run can know is shown as it is written. */
import { isAbsolute, normalize } from 'node:path';
import { shownPath } from '../config/files.ts';
import type { Pipeline } from '../config/pipeline.ts';
import type { Project } from '../config/project.ts';
import type { Oxi, Source } from '../engine/contracts.ts';
import { OxiError } from '../engine/errors.ts';
import {
  hashOf,
  type PlannedNode,
  type Segment,
  type SegmentOutline,
  type StepMetadata,
  stepsOf,
} from '../engine/plan.ts';
import { registry } from '../oxis/registry.ts';
import { KnownFields } from './columns.ts';
import { planOf } from './load.ts';
import type { PipelineEntry } from './manifest-schema.ts';
import { parameterOf } from './parameter-document.ts';

/** Throws as planning does. */
export async function entryOf(project: Project, pipeline: Pipeline): Promise<PipelineEntry> {
  // The start of the run is the same for each manifest: only a condition could ask for it.
  const plan = await planOf(project, pipeline, 1, { now: 0, oxis: unread() });
  const everything = new Map(plan.steps.map(({ id }) => [id, unknown(id)]));
  const { metadata, parameters } = pipeline;
  const inputs: PipelineEntry['inputs'] = [];
  const outputs: PipelineEntry['outputs'] = [];
  let resumable = true;
  for (const outline of plan.segments) {
    const segment = outline.planned ?? (await planned(outline, everything));
    if (segment === undefined) {
      addRaw(outline, project.root, inputs, outputs);
      continue;
    }
    resumable &&= segment.sources.every(({ source }) => source.kind !== 'once');
    const fields = new KnownFields();
    if (segment.parser !== undefined) fields.follow(segment.parser.step);
    const format = segment.parser === undefined ? null : formatOf(segment.parser.oxi.name);
    for (const { step } of segment.sources)
      inputs.push({
        step: step.id,
        oxi: step.oxi,
        paths: pathsOf(step.config, project.root),
        format,
        columns: fields.columns,
      });
    addOutputs(segment.nodes, { fields: new KnownFields(), validations: [] }, project.root, outputs);
  }
  const { deadLetters } = plan;
  const { maxErrors } = pipeline;
  return {
    name: pipeline.name,
    file: shownPath(project.root, pipeline.file),
    description: pipeline.description ?? null,
    author: metadata.author ?? null,
    version: metadata.version ?? null,
    category: metadata.category ?? null,
    tags: metadata.tags ?? [],
    inputs,
    outputs,
    dead_letters:
      deadLetters === undefined
        ? null
        : { path: shown(deadLetters.path, project.root), max_records: deadLetters.maxRecords },
    max_errors: maxErrors === undefined ? null : limitText(maxErrors),
    parameters: parameters.map(parameterOf),
    environment: [...pipeline.unset],
    delivery: pipeline.delivery,
    resumable,
    tests: pipeline.tests.length,
    plan_hash: hashOf(plan.steps.map(({ id, hash, after }) => [id, hash, after ?? null])),
  };
}

/** To the paths of `entry` those of `templates`, the same pipeline with its parameters open, where they are others. */
export function addTemplates(entry: PipelineEntry, templates: PipelineEntry): void {
  for (const input of entry.inputs) {
    const open = templates.inputs.find(({ step }) => step === input.step)?.paths ?? input.paths;
    if (open.some((path, i) => path !== input.paths[i])) input.templates = open;
  }
  for (const output of entry.outputs) {
    const open = templates.outputs.find(({ step }) => step === output.step)?.path ?? output.path;
    if (open !== null && open !== output.path) output.template = open;
  }
}

function limitText(limit: NonNullable<Pipeline['maxErrors']>): string {
  return 'count' in limit ? String(limit.count) : `${Number((limit.share * 100).toFixed(9))}%`;
}

/** The oxis with sources that are never looked at, and parsers that ask for nothing in them. */
function unread(): ReadonlyMap<string, Oxi> {
  return new Map(
    [...registry].map(([name, oxi]): [string, Oxi] => {
      if (oxi.kind === 'parser' && oxi.columns !== undefined) {
        const { columns } = oxi;
        // What the header of a file says is known when it is read.
        return [
          name,
          { ...oxi, config: oxi.config, columns: (config: never) => columns(config, '') ?? ['${columns}'] },
        ];
      }
      if (oxi.kind !== 'source') return [name, oxi];
      const { make } = oxi;
      return [
        name,
        { ...oxi, config: oxi.config, make: (config, context) => sealed(make(config, context), context.stepId) },
      ];
    }),
  );
}

function sealed({ kind, bounded }: Source, id: string): Source {
  const never = (): never => {
    throw new Error('a manifest reads no data');
  };
  return {
    kind,
    bounded,
    splits: async () => [{ index: 0, name: id }],
    recorded: never,
    open: never,
    peek: never,
    metadata: async () => unknown(id),
    close: async () => undefined,
  };
}

/** What a run will know of a step: each field stands for itself. */
function unknown(id: string): Record<string, string> {
  const text = (name: string | symbol): string => `\${steps.${id}.${String(name)}}`;
  return new Proxy<Record<string, string>>(
    {},
    {
      get: (_, name) => text(name),
      getOwnPropertyDescriptor: (_, name) => ({ value: text(name), configurable: true, enumerable: true }),
    },
  );
}

/** A later segment, as far as it can be planned before the ones in front of it have run. */
async function planned(
  outline: SegmentOutline,
  known: ReadonlyMap<string, StepMetadata>,
): Promise<Segment | undefined> {
  try {
    return await outline.plan(known);
  } catch (error) {
    // A number, or a condition, that only the run knows.
    if (error instanceof OxiError) return undefined;
    throw error;
  }
}

/** What is known of the records at a place of the chain. */
interface Known {
  fields: KnownFields;
  validations: PipelineEntry['outputs'][number]['validations'];
}

function addOutputs(
  nodes: readonly PlannedNode[],
  { fields, validations: before }: Known,
  root: string,
  outputs: PipelineEntry['outputs'],
): void {
  const validations = [...before];
  for (const node of nodes) {
    for (const step of stepsOf(node)) {
      if (step.kind !== 'sink') fields.follow(step);
      if (step.oxi === 'validate') validations.push({ step: step.id, on_error: step.onError });
    }
    if (node.kind === 'tee') addOutputs(node.nodes, { fields: fields.copy(), validations }, root, outputs);
    if (node.kind !== 'sink') continue;
    const { step, formatter, sink } = node;
    outputs.push({
      step: step.id,
      oxi: step.oxi,
      path: pathsOf(step.config, root)[0] ?? null,
      format: formatter === undefined ? null : formatOf(formatter.oxi.name),
      guarantee: sink.guarantee,
      columns: fields.columns,
      fields: fields.columns === null ? fields.fields : [],
      validations: [...validations],
    });
  }
}

/** As it is written, references and all. */
function addRaw(
  { steps }: SegmentOutline,
  root: string,
  inputs: PipelineEntry['inputs'],
  outputs: PipelineEntry['outputs'],
): void {
  for (const { id: step, oxi, kind, config } of steps) {
    const paths = pathsOf(config, root);
    if (kind === 'source') inputs.push({ step, oxi, paths, format: null, columns: null });
    if (kind === 'sink')
      outputs.push({
        step,
        oxi,
        path: paths[0] ?? null,
        format: null,
        guarantee: null,
        columns: null,
        fields: [],
        validations: [],
      });
  }
}

function formatOf(oxi: string): string {
  return oxi.replace(/^(parse|format)_/, '');
}

function pathsOf(config: unknown, root: string): string[] {
  if (typeof config !== 'object' || config === null || !('path' in config)) return [];
  const paths = Array.isArray(config.path) ? config.path : [config.path];
  return paths.filter((path) => typeof path === 'string').map((path) => shown(path, root));
}

/** The same on every machine, as long as the pipeline does not name a place outside of the project from the root down. */
function shown(path: string, root: string): string {
  return isAbsolute(path) ? shownPath(root, path) : normalize(path);
}
