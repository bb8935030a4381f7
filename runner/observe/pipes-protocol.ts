/**
 * Dagster Pipes 0.1, the side of the external process: where the session is (two environment variables, each base64 of zlib
 * of JSON), its messages as lines, and metadata. Dagster's reader dies of metadata that is not exactly of its type, and the
 * asset then counts as made without any; so metadata is typed here and checked before it is sent.
 */
import { appendFileSync, readFileSync, statSync } from 'node:fs';
import { inflateSync } from 'node:zlib';
import { errnoOf, OxiError } from '../engine/errors.ts';
import type { TextOut } from './terminal.ts';

/** A context with more is none that a launcher would make for a pipeline, in bytes; most are a few KB. */
const MAX_CONTEXT_BYTES = 16 * 1024 * 1024;
const TOO_LARGE = '16 MiB, which no context does';

export interface PipesEnv {
  readonly DAGSTER_PIPES_CONTEXT?: string | undefined;
  readonly DAGSTER_PIPES_MESSAGES?: string | undefined;
}

export interface PipesSession {
  /** The assets that this process may report, as Dagster writes them. */
  assetKeys: readonly string[];
  /** Which asset an output is, where the launcher says so: `extras.oxiflow_assets`, step id to asset key. */
  assetOfStep: ReadonlyMap<string, string>;
  /** Whose result the launcher wants: `extras.oxiflow_checks`, asset key to name of the check to step id or `dead_letters`. */
  checks: readonly PipesCheck[];
  /** Sends one line; throws what the system throws. */
  send: (line: string) => void;
}

interface PipesCheck {
  assetKey: string;
  name: string;
  of: string;
}

interface Column {
  name: string;
  type: string;
}

export type PipesMetadata =
  | { type: 'int' | 'float'; value: number }
  | { type: 'text' | 'path'; value: string }
  | { type: 'table'; records: readonly { [column: string]: string | number }[]; columns: readonly Column[] }
  | { type: 'table_schema'; columns: readonly Column[] };

type Params = { readonly [key: string]: unknown };

/** The session that a launcher opened, or undefined where there is none. Throws OxiError CONFIG_INVALID. */
export function pipesSession(env: PipesEnv, stdio: { stdout: TextOut; stderr: TextOut }): PipesSession | undefined {
  const { DAGSTER_PIPES_CONTEXT: contextText, DAGSTER_PIPES_MESSAGES: messagesText } = env;
  if (!contextText || !messagesText) return undefined;
  const context = contextOf(decode('DAGSTER_PIPES_CONTEXT', contextText));
  const { asset_keys: keys, extras } = context;
  const { oxiflow_assets: assets, oxiflow_checks: checks } = isParams(extras) ? extras : {};
  const pairs = isParams(assets) ? Object.entries(assets) : [];
  return {
    assetKeys: Array.isArray(keys) ? keys.filter((key) => typeof key === 'string') : [],
    assetOfStep: new Map(pairs.filter((pair): pair is [string, string] => typeof pair[1] === 'string')),
    checks: checksOf(checks),
    send: senderOf(decode('DAGSTER_PIPES_MESSAGES', messagesText), stdio),
  };
}

function checksOf(asked: unknown): PipesCheck[] {
  return Object.entries(isParams(asked) ? asked : {}).flatMap(([assetKey, checks]) =>
    Object.entries(isParams(checks) ? checks : {}).flatMap(([name, of]) =>
      typeof of === 'string' ? [{ assetKey, name, of }] : [],
    ),
  );
}

/** One message as a line. `params` is JSON text, so that numbers can be written as their type demands. */
export function messageLine(method: string, params: string): string {
  return `{"__dagster_pipes_version":"0.1","method":${JSON.stringify(method)},"params":${params}}\n`;
}

/** Metadata as JSON text, without the entries whose value is not of their type. */
export function metadataText(entries: ReadonlyMap<string, PipesMetadata>): string {
  const parts: string[] = [];
  for (const [key, entry] of entries) {
    const raw = rawValue(entry);
    if (raw !== undefined)
      parts.push(`${JSON.stringify(key)}:{"raw_value":${raw},"type":${JSON.stringify(entry.type)}}`);
  }
  return `{${parts.join(',')}}`;
}

function rawValue(entry: PipesMetadata): string | undefined {
  switch (entry.type) {
    case 'int':
      return Number.isSafeInteger(entry.value) ? String(entry.value) : undefined;
    case 'float': {
      if (!Number.isFinite(entry.value)) return undefined;
      const text = JSON.stringify(entry.value);
      // Python reads 5 as an int, which Dagster refuses for a float.
      return /[.e]/.test(text) ? text : `${text}.0`;
    }
    case 'table':
      return JSON.stringify({ records: entry.records, schema: entry.columns });
    case 'table_schema':
      return JSON.stringify({ columns: entry.columns });
    default:
      return typeof entry.value === 'string' ? JSON.stringify(entry.value) : undefined;
  }
}

function refuse(problem: string, cause?: unknown): OxiError {
  const remedy = 'unset DAGSTER_PIPES_CONTEXT and DAGSTER_PIPES_MESSAGES to run without Dagster Pipes';
  return new OxiError('CONFIG_INVALID', `Dagster Pipes: ${problem}; ${remedy}`, cause === undefined ? {} : { cause });
}

function decode(name: string, text: string): Params {
  let value: unknown;
  try {
    value = JSON.parse(inflateSync(Buffer.from(text, 'base64'), { maxOutputLength: MAX_CONTEXT_BYTES }).toString());
  } catch (error) {
    if (errnoOf(error) === 'ERR_BUFFER_TOO_LARGE') throw refuse(`${name} holds more than ${TOO_LARGE}`, error);
    // Not zlib, or not JSON: whatever it is, no Pipes launcher made it.
    throw refuse(`${name} is not base64 of zlib of JSON`, error);
  }
  if (!isParams(value)) throw refuse(`${name} holds no JSON object`);
  return value;
}

function contextOf(params: Params): Params {
  const { data, path } = params;
  if (isParams(data)) return data;
  if (typeof path !== 'string')
    throw refuse(
      'the context is neither in a file nor in the variable; use PipesTempFileContextInjector or PipesEnvContextInjector',
    );
  const text = contextFile(path);
  let context: unknown;
  try {
    context = JSON.parse(text);
  } catch (error) {
    throw refuse(`the context file ${path} can't be read (no JSON)`, error);
  }
  if (!isParams(context)) throw refuse(`the context file ${path} holds no JSON object`);
  return context;
}

function contextFile(path: string): string {
  try {
    const about = statSync(path);
    // A pipe or a device might never end.
    if (!about.isFile()) throw refuse(`the context file ${path} is no file`);
    if (about.size > MAX_CONTEXT_BYTES) throw refuse(`the context file ${path} holds more than ${TOO_LARGE}`);
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof OxiError) throw error;
    throw refuse(`the context file ${path} can't be read (${errnoOf(error)})`, error);
  }
}

function senderOf(params: Params, { stdout, stderr }: { stdout: TextOut; stderr: TextOut }): (line: string) => void {
  const { path, stdio, buffered_stdio } = params;
  if (typeof path === 'string') {
    if (path === '' || path.includes('\0')) throw refuse('the path for messages is none');
    return (line) => appendFileSync(path, line);
  }
  const name = stdio ?? buffered_stdio;
  if (name === 'stderr') return (line) => void stderr.write(line);
  if (name === 'stdout') return (line) => void stdout.write(line);
  throw refuse(
    'messages are asked for in a way that this runner does not speak; use PipesTempFileMessageReader or PipesFileMessageReader',
  );
}

function isParams(value: unknown): value is Params {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
