/**
 * Saved state as one JSON document, for moving it between backends and for backups: the documents of runs with their versions, and
 * the history. No leases, no workers, no requests: those belong to who works where it was made. Each run and each entry of the
 * history stands on a line of its own; a checksum covers them all.
 */
import { createHash } from 'node:crypto';
import * as z from 'zod/mini';
import { OxiError } from '../engine/errors.ts';
import { once } from '../engine/once.ts';
import { parseHistory } from './history.ts';
import { checkDocument } from './part-documents.ts';
import { isObject } from './seal.ts';
import type { HistoryEntry, Json, Part } from './store.ts';

/** Of the document as a whole; what it holds are documents as the stores keep them. */
const FORMAT = 1;
const MARK = 'oxiflow_state_export';

const shape = once(() =>
  z.strictObject({
    [MARK]: z.literal(FORMAT),
    made_at: z.string(),
    oxiflow: z.string(),
    backend: z.string(),
    /** Everything that a store had, or some of its runs. */
    scope: z.enum(['store', 'runs']),
    runs: z.array(
      z.strictObject({
        run_key: z.string(),
        documents: z.array(
          z.strictObject({
            part: z.custom<Part>((value) => /^(run|(split|group)-\d+)$/.test(String(value))),
            version: z.int().check(z.positive()),
            /** The fencing token that it was written with: outputs in the making are named by it. */
            token: z.int().check(z.nonnegative()),
            written_at: z.string(),
            body: z.record(
              z.string(),
              z.custom<Json>((value) => value !== undefined),
            ),
          }),
        ),
      }),
    ),
    history: z.array(z.custom<HistoryEntry>((value) => parseHistory(value as unknown as Json) !== undefined)),
    sha256: z.string(),
  }),
);

export interface ArchivedRun {
  run_key: string;
  documents: { part: Part; version: number; token: number; written_at: string; body: { [key: string]: Json } }[];
}

export interface Archive {
  made_at: string;
  /** The version that made it. */
  oxiflow: string;
  backend: string;
  scope: 'store' | 'runs';
  runs: ArchivedRun[];
  history: HistoryEntry[];
}

/** The pieces of the text, in their order: the whole may be more than one string can hold. */
export function* archiveText({ runs, history, ...head }: Archive): Generator<string> {
  const sum = createHash('sha256').update(headSign(head.scope));
  const lines = function* (entries: readonly object[]): Generator<string> {
    for (const [i, entry] of entries.entries()) {
      const text = JSON.stringify(entry);
      sum.update(`${text}\n`);
      yield `${i === 0 ? '' : ','}\n${text}`;
    }
  };
  yield `${JSON.stringify({ [MARK]: FORMAT, ...head }).slice(0, -1)},"runs":[`;
  yield* lines(runs);
  yield '\n],"history":[';
  sum.update('history\n');
  yield* lines(history);
  yield `\n],"sha256":"${sum.digest('hex')}"}\n`;
}

/** `name`: of the file that the text comes from. Throws OxiError COMMAND_INVALID, STATE_CORRUPT; what it returns is checked whole. */
export function parseArchive(text: string, name: string): Archive {
  const place = { file: name };
  const damaged = (why: string): OxiError =>
    new OxiError('STATE_CORRUPT', `${name} is damaged: ${why}. Nothing was changed; take another export or backup`, {
      place,
    });
  if (!text.trimStart().startsWith(`{"${MARK}"`) && !isArchive(text))
    throw new OxiError('COMMAND_INVALID', `${name} is no export and no backup of oxiflow's state`, { place });
  const value = parse(text);
  if (!isObject(value)) throw damaged('it is cut off, or was changed');
  const format = value[MARK];
  if (typeof format === 'number' && format > FORMAT)
    throw new OxiError(
      'STATE_CORRUPT',
      `${name} has format ${format}, this oxiflow knows ${FORMAT}: use the newer oxiflow that wrote it`,
      { place },
    );
  const found = z.safeParse(shape(), value);
  if (!found.success) throw damaged(`wrong field ${found.error.issues[0]?.path.join('.') ?? ''}`);
  const { [MARK]: _, sha256, ...archive } = found.data;
  if (sumOf(value, archive.scope) !== sha256) throw damaged('its checksum does not match what it holds');
  const keys = new Set<string>();
  for (const run of archive.runs) {
    const key = JSON.stringify(run.run_key);
    if (keys.has(run.run_key)) throw damaged(`run ${key} stands in it twice`);
    keys.add(run.run_key);
    if (!run.documents.some(({ part }) => part === 'run')) throw damaged(`run ${key} has no run document`);
    if (new Set(run.documents.map(({ part }) => part)).size < run.documents.length)
      throw damaged(`run ${key} has a document twice`);
    for (const { part, body } of run.documents) {
      try {
        checkDocument(run.run_key, part, body);
      } catch (error) {
        if (!(error instanceof OxiError)) throw error;
        throw damaged(`document "${part}" of run ${key}: ${error.message}`);
      }
    }
  }
  return archive;
}

/** Of the entries as they stand in the text: fields keep their order when they are read. */
function sumOf({ runs, history }: { [key: string]: Json }, scope: string): string {
  const sum = createHash('sha256').update(headSign(scope));
  for (const run of runs as Json[]) sum.update(`${JSON.stringify(run)}\n`);
  sum.update('history\n');
  for (const entry of history as Json[]) sum.update(`${JSON.stringify(entry)}\n`);
  return sum.digest('hex');
}

function headSign(scope: string): string {
  return `${MARK} ${FORMAT} ${scope}\n`;
}

/** Somebody may have laid it out anew. */
function isArchive(text: string): boolean {
  const value = parse(text);
  return isObject(value) && MARK in value;
}

function parse(text: string): Json | undefined {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return undefined;
  }
}
