/** Variables for `${NAME}`: the layers that they come from, and the `--env-file` format. */
import { readFile } from 'node:fs/promises';
import { errnoOf, ioError, OxiError } from '../engine/errors.ts';

/** A map of variables that never prints their values. */
export class Environment extends Map<string, string> {
  toJSON(): string {
    return `${this.size} variables`;
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return `Environment(${this.size} variables)`;
  }
}

/** One environment of several layers, the strongest first. */
export function layered(layers: Iterable<Iterable<readonly [string, string | undefined]>>): Environment {
  const merged = new Environment();
  for (const layer of layers) {
    for (const [name, value] of layer) if (value !== undefined && !merged.has(name)) merged.set(name, value);
  }
  return merged;
}

/** Reads an env file. Throws OxiError COMMAND_INVALID where it is missing or malformed (its values are never quoted). */
export async function readEnvFile(path: string): Promise<Environment> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT' && errnoOf(error) !== 'EISDIR') throw ioError(error, `--env-file ${path}`);
    throw new OxiError('COMMAND_INVALID', `--env-file ${path}: no such file`, { cause: error, place: { file: path } });
  }
  return parseEnvFile(text, path);
}

/** `NAME=value` lines; `export` before it, quotes around the value and `#` comments as in a shell; nothing is expanded. */
export function parseEnvFile(text: string, file: string): Environment {
  const variables = new Environment();
  const lines = text.replace(/^\uFEFF/, '').split(/\r\n|\n|\r/);
  for (const [index, line] of lines.entries()) {
    if (/^\s*(#|$)/.test(line)) continue;
    const match = /^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=[ \t]*(.*)$/.exec(line);
    const value = match?.[2] === undefined ? undefined : unquote(match[2].trimEnd());
    if (match?.[1] === undefined || value === undefined) {
      const what = match === null ? 'must be NAME=value' : 'has a quote that is not closed, or text behind it';
      throw new OxiError('COMMAND_INVALID', `${file}:${index + 1}: ${what}`, { place: { file, line: index + 1 } });
    }
    variables.set(match[1], value);
  }
  return variables;
}

function unquote(text: string): string | undefined {
  if (text.startsWith("'")) return /^'([^']*)'\s*(?:#.*)?$/.exec(text)?.[1];
  if (text.startsWith('"')) {
    const inner = /^"((?:[^"\\]|\\.)*)"\s*(?:#.*)?$/.exec(text)?.[1];
    return inner?.replace(/\\(.)/g, (_, sign: string) => ({ n: '\n', r: '\r', t: '\t' })[sign] ?? sign);
  }
  return text.replace(/(^|\s)#.*$/, '').trimEnd();
}
