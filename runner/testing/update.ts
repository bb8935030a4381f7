/**
 * Writes what came into the expectations of tests, in the file of their pipeline. Only the text of those values is replaced:
 * every other character stays. The result is read again before it counts, and takes the place of the file in one step.
 */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { access, chmod, open, realpath, rename, stat, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isAlias, isCollection, isMap, isScalar, isSeq, type Node, parseDocument, stringify } from 'yaml';
import { Problems } from '../config/problems.ts';
import { parseTree, toJson } from '../config/tree.ts';
import { ioError, OxiError } from '../engine/errors.ts';
import { canonical } from './diff.ts';

export interface Expectation {
  test: string;
  /** Of `expect`: `records`, `outputs.ID` and so on. */
  field: string;
  value: unknown;
}

interface Edit {
  start: number;
  end: number;
  text: string;
}

/** A list on one line is at most so long; else each element has one. */
const LINE = 120;

/** The text with these expectations. Throws OxiError CONFIG_INVALID where that can't be done without touching anything else. */
export function withExpectations(text: string, file: string, expectations: readonly Expectation[]): string {
  const document = parseDocument(text, { uniqueKeys: false, logLevel: 'silent' });
  const edits: Edit[] = expectations.flatMap(({ test, field, value }) => {
    const tests = resolved(document.get('tests', true), document);
    const items = isSeq(tests) ? tests.items.map((item) => resolved(item, document)) : [];
    const item = items.find((one) => isMap(one) && one.get('name') === test);
    let node: unknown = isMap(item) ? item.get('expect', true) : undefined;
    for (const key of field.split('.')) node = isMap(node) ? node.get(key, true) : undefined;
    if (!isNode(node)) throw refused(file, test, field);
    return editsOf(text, document, node, value);
  });
  let changed = text;
  for (const { start, end, text: part } of edits.sort((a, b) => b.start - a.start)) {
    const lines = text.includes('\r\n') ? part.replaceAll('\n', '\r\n') : part;
    changed = changed.slice(0, start) + lines + changed.slice(end);
  }
  const [wanted, got] = [read(text, file), read(changed, file)];
  for (const { test, field, value } of expectations) set(wanted, test, field, value);
  const [first] = expectations;
  if (first !== undefined && (got === undefined || canonical(got) !== canonical(wanted)))
    throw refused(file, first.test, first.field);
  return changed;
}

function refused(file: string, test: string, field: string): OxiError {
  return new OxiError(
    'CONFIG_INVALID',
    `${file}: test "${test}": "expect.${field}" can't be rewritten without touching something else (an anchor, an alias, a name that YAML can't have); change it by hand`,
    { place: { file, field: `tests.expect.${field}` } },
  );
}

function isNode(value: unknown): value is Node {
  return isCollection(value) || isScalar(value) || isAlias(value);
}

function resolved(node: unknown, document: ReturnType<typeof parseDocument>): unknown {
  return isAlias(node) ? node.resolve(document) : node;
}

function read(text: string, file: string): unknown {
  const problems = new Problems();
  const tree = parseTree(text, file, problems);
  return tree === undefined || problems.count > 0 ? undefined : toJson(tree);
}

function set(root: unknown, test: string, field: string, value: unknown): void {
  const { tests = [] } = root as { tests?: { name?: unknown; expect: Record<string, unknown> }[] };
  const keys = field.split('.');
  const last = keys.pop() ?? '';
  let into: Record<string, unknown> | undefined = tests.find(({ name }) => name === test)?.expect;
  for (const key of keys) into = into?.[key] as Record<string, unknown> | undefined;
  if (into !== undefined) into[last] = value;
}

// ---------------------------------------------------------------- text

/** Of a list that keeps its length only the elements that differ are written anew. */
function editsOf(text: string, document: ReturnType<typeof parseDocument>, node: Node, value: unknown): Edit[] {
  if (isSeq(node) && Array.isArray(value) && node.items.length === value.length && value.length > 0) {
    const old = node.items.map((item) => (isNode(item) ? canonical(item.toJS(document)) : ''));
    return node.items.flatMap((item, i) =>
      old[i] === canonical(value[i]) || !isNode(item) ? [] : [edit(text, item, value[i])],
    );
  }
  return [edit(text, node, value)];
}

function edit(text: string, node: Node, value: unknown): Edit {
  const start = node.range?.[0] ?? 0;
  const end = endOf(node);
  const lineStart = text.lastIndexOf('\n', start - 1) + 1;
  const column = start - lineStart;
  const isBlock = isCollection(node) && node.flow !== true;
  const isEmpty = typeof value === 'object' && value !== null && Object.keys(value).length === 0;
  const written =
    isBlock && !isEmpty && typeof value === 'object'
      ? stringify(value, { lineWidth: 0 })
          .trimEnd()
          .replaceAll('\n', `\n${' '.repeat(column)}`)
          .replaceAll(/\n +(?=\n|$)/g, '\n')
      : flowText(value, column, text.slice(lineStart, start));
  // What ends behind its line feed is followed by a new line.
  return { start, end, text: text[end - 1] === '\n' ? `${written}\n` : written };
}

/** Where its last character stands: of a block that is the end of its last part. */
function endOf(node: Node): number {
  const own = node.range?.[1] ?? 0;
  if (!isCollection(node) || node.flow === true) return own;
  const last: unknown = node.items.at(-1);
  const parts = isNode(last) ? [last] : Object.values((last ?? {}) as Record<string, unknown>).filter(isNode);
  return parts.length === 0 ? own : Math.max(...parts.map(endOf));
}

function flowText(value: unknown, column: number, before: string): string {
  const line = flow(value);
  if (!Array.isArray(value) || value.length < 2 || column + line.length <= LINE) return line;
  const indent = ' '.repeat(/^[ -]*/.exec(before)?.[0].length ?? 0);
  return `[\n${value.map((item) => `${indent}  ${flow(item)},`).join('\n')}\n${indent}  ]`;
}

function flow(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(flow).join(', ')}]`;
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value).map(([key, member]) => `${scalar(key)}: ${flow(member)}`);
    return members.length === 0 ? '{}' : `{ ${members.join(', ')} }`;
  }
  return typeof value === 'string' ? scalar(value) : JSON.stringify(value);
}

/** Plain where nothing else could be meant, in any version of YAML; else in double quotes. */
function scalar(text: string): string {
  const plain = /^[A-Za-z_][A-Za-z0-9_./-]*( [A-Za-z0-9_./-]+)*$/.test(text);
  return plain && !/^(true|false|null|yes|no|on|off|y|n)$/i.test(text) ? text : JSON.stringify(text);
}

// ---------------------------------------------------------------- the file

/** Takes the place of the file in one step; its mode and its owner stay. Throws OxiError PERMISSION_DENIED, DISK_FULL, IO_FAILED. */
export async function replaceFile(path: string, shown: string, text: string): Promise<void> {
  let staged: string | undefined;
  try {
    // A link stays one.
    const target = await realpath(path);
    // Renaming over it asks the folder alone: who may not write the file means it.
    await access(target, constants.W_OK);
    const { mode, uid, gid } = await stat(target);
    staged = join(dirname(target), `.${randomBytes(6).toString('hex')}.tmp`);
    const file = await open(staged, 'wx', mode & 0o777);
    try {
      await file.writeFile(text);
      await file.chown(uid, gid).catch(() => undefined);
      await file.sync();
    } finally {
      await file.close();
    }
    await chmod(staged, mode & 0o7777);
    await rename(staged, target);
  } catch (error) {
    if (staged !== undefined) await unlink(staged).catch(() => undefined);
    throw ioError(error, shown, { file: shown });
  }
}
