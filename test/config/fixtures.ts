/** Small oxis and throw-away projects for the tests of the configuration. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import * as z from 'zod/mini';
import { secretText } from '../../runner/config/fields.ts';
import { type LoadPipelineOptions, loadPipeline, type Pipeline } from '../../runner/config/pipeline.ts';
import { loadProject, type Project } from '../../runner/config/project.ts';
import type { ConfiguredOxi } from '../../runner/config/steps.ts';
import { OxiError } from '../../runner/engine/errors.ts';

const one = (description: string) => z.string().check(z.length(1, 'must be one character'), z.meta({ description }));

const definitions: ConfiguredOxi[] = [
  {
    name: 'read_file',
    config: z.strictObject({
      path: z.string().check(z.minLength(1), z.meta({ description: 'File to read.' })),
      encoding: z._default(z.enum(['utf-8', 'latin1']), 'utf-8'),
      binary: z._default(z.boolean(), false),
      chunk: z.optional(z.int().check(z.minimum(1), z.maximum(4096))),
    }),
  },
  {
    name: 'read_many',
    config: z.strictObject({
      path: z.union([z.string().check(z.minLength(1)), z.array(z.string()).check(z.minLength(1))]),
    }),
  },
  {
    name: 'parse_csv',
    config: z.strictObject({
      headers: z._default(z.boolean(), true),
      delimiter: z._default(one('Between two values.'), ','),
      skip_rows: z._default(z.int().check(z.minimum(0)), 0),
    }),
    aliases: { has_headers: 'headers' },
  },
  {
    name: 'format_csv',
    config: z.strictObject({
      columns: z._default(z.union([z.enum(['auto', 'first']), z.array(z.string())]), 'auto'),
      max_depth: z.optional(z.union([z.int(), z.literal('none')])),
    }),
  },
  { name: 'filter', config: z.strictObject({ where: z.string().check(z.minLength(1)) }) },
  {
    name: 'map',
    config: z.strictObject({
      set: z.optional(z.record(z.string(), z.string()).check(z.meta({ expression: true }))),
      drop: z.optional(z.array(z.string())),
    }),
  },
  {
    name: 'fetch_api',
    config: z.strictObject({
      url: z.string(),
      token: z.optional(secretText('Bearer token.')),
      headers: z.optional(z.record(z.string(), z.string()).check(z.meta({ secret: true }))),
      password: z.optional(z.string().check(z.minLength(12), z.meta({ secret: true }))),
      threads: z.optional(z.int()),
    }),
  },
  {
    name: 'write_file',
    config: z.strictObject({
      path: z.string(),
      create_dirs: z._default(z.boolean(), true),
      default_on_missing: z.optional(z.json()),
    }),
    aliases: { create_directories: 'create_dirs' },
  },
];

export const oxis: ReadonlyMap<string, ConfiguredOxi> = new Map(definitions.map((oxi) => [oxi.name, oxi]));

/** A project folder with these files, removed on disposal. */
export function projectFolder(files: Readonly<Record<string, string>>): { root: string } & Disposable {
  const root = mkdtempSync(join(tmpdir(), 'oxiflow-config-'));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), text);
  }
  return { root, [Symbol.dispose]: () => rmSync(root, { recursive: true, force: true }) };
}

export type Given = Partial<LoadPipelineOptions> & { project?: string };

/** Loads `text` as the pipeline "orders" of a project. */
export async function load(text: string, given: Given = {}): Promise<Pipeline> {
  return (await loadBoth(text, given)).pipeline;
}

export async function loadBoth(text: string, given: Given = {}): Promise<{ pipeline: Pipeline; project: Project }> {
  const { project: projectText, ...options } = given;
  const files = projectText === undefined ? {} : { 'oxiflow.yaml': projectText };
  using folder = projectFolder({ 'pipelines/orders.yaml': text, ...files });
  const env = options.env ?? {};
  const project = await loadProject(folder.root, { env, exact: true });
  return { project, pipeline: await loadPipeline(project, 'orders', { oxis, env, ...options }) };
}

/** The OxiError that `action` ends with. */
export async function refusal(action: Promise<unknown>): Promise<OxiError> {
  try {
    await action;
  } catch (error) {
    if (error instanceof OxiError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

/** Config of a step, without references to steps. */
export function configOf(pipeline: Pipeline, id: string): unknown {
  const step = pipeline.steps.find((one) => one.id === id);
  if (step === undefined) throw new Error(`no step ${id}`);
  return step.resolve(new Map());
}
