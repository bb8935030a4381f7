/**
 * Dagster Pipes 0.1, the side of the external process: where the session is (two environment variables, each base64 of zlib
 * of JSON), its messages as lines, and metadata. Dagster's reader dies of metadata that is not exactly of its type, and the
 * asset then counts as made without any; so metadata is typed here and checked before it is sent.
 */
import { appendFileSync, readFileSync } from 'node:fs';
import { inflateSync } from 'node:zlib';
import { errnoOf, OxiError } from '../engine/errors.ts';
import type { TextOut } from './terminal.ts';

export interface PipesEnv {
  readonly DAGSTER_PIPES_CONTEXT?: string | undefined;
  readonly DAGSTER_PIPES_MESSAGES?: string | undefined;
}

export interface PipesSession {
  /** The assets that this process may report, as Dagster writes them. */
  assetKeys: readonly string[];
  /** Which asset an output is, where the launcher says so: `extras.oxiflow_assets`, step id to asset key. */
  assetOfStep: ReadonlyMap<string, string>;
  /** Sends one line; throws what the system throws. */
  send: (line: string) => void;
}

export type PipesMetadata =
  | { type: 'int' | 'float'; value: number }
  | { type: 'text' | 'path' | 'md' | 'url'; value: string }
  | { type: 'bool'; value: boolean };

type Params = { readonly [key: string]: unknown };

/** The session that a launcher opened, or undefined where there is none. Throws OxiError CONFIG_INVALID. */
export function pipesSession(env: PipesEnv, stdio: { stdout: TextOut; stderr: TextOut }): PipesSession | undefined {
  const { DAGSTER_PIPES_CONTEXT: contextText, DAGSTER_PIPES_MESSAGES: messagesText } = env;
  if (!contextText || !messagesText) return undefined;
  const context = contextOf(decode('DAGSTER_PIPES_CONTEXT', contextText));
  const { asset_keys: keys, extras } = context;
  const { oxiflow_assets: assets } = isParams(extras) ? extras : {};
  const pairs = isParams(assets) ? Object.entries(assets) : [];
  return {
    assetKeys: Array.isArray(keys) ? keys.filter((key) => typeof key === 'string') : [],
    assetOfStep: new Map(pairs.filter((pair): pair is [string, string] => typeof pair[1] === 'string')),
    send: senderOf(decode('DAGSTER_PIPES_MESSAGES', messagesText), stdio),
  };
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

function rawValue({ type, value }: PipesMetadata): string | undefined {
  switch (type) {
    case 'int':
      return Number.isSafeInteger(value) ? String(value) : undefined;
    case 'float': {
      if (!Number.isFinite(value)) return undefined;
      const text = JSON.stringify(value);
      // Python reads 5 as an int, which Dagster refuses for a float.
      return /[.e]/.test(text) ? text : `${text}.0`;
    }
    case 'bool':
      return typeof value === 'boolean' ? String(value) : undefined;
    default:
      return typeof value === 'string' ? JSON.stringify(value) : undefined;
  }
}

function refuse(problem: string, cause?: unknown): OxiError {
  const remedy = 'unset DAGSTER_PIPES_CONTEXT and DAGSTER_PIPES_MESSAGES to run without Dagster Pipes';
  return new OxiError('CONFIG_INVALID', `Dagster Pipes: ${problem}; ${remedy}`, cause === undefined ? {} : { cause });
}

function decode(name: string, text: string): Params {
  let value: unknown;
  try {
    value = JSON.parse(inflateSync(Buffer.from(text, 'base64')).toString());
  } catch (error) {
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
  let context: unknown;
  try {
    context = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    // Unreadable or no JSON; both are the launcher's to mend.
    throw refuse(`the context file ${path} can't be read (${errnoOf(error) ?? 'no JSON'})`, error);
  }
  if (!isParams(context)) throw refuse(`the context file ${path} holds no JSON object`);
  return context;
}

function senderOf(params: Params, { stdout, stderr }: { stdout: TextOut; stderr: TextOut }): (line: string) => void {
  const { path, stdio, buffered_stdio } = params;
  if (typeof path === 'string') return (line) => appendFileSync(path, line);
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
