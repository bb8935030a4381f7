/** Tries what a run would open, without writing anything: sources, folders of sinks, the state, programs of exec. */
import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { delimiter, dirname, isAbsolute, join, relative, resolve } from 'node:path';
import { errnoOf, ioError, OxiError } from '../engine/errors.ts';
import { type Plan, type PlannedStep, type Segment, sinksOf } from '../engine/plan.ts';
import { Secret } from '../engine/secret.ts';
import { mayFail } from '../engine/segment-run.ts';
import { openStore, type StoreSettings } from '../state/open.ts';

export interface Tried {
  /** Id of a step, "state" or "dead letters". */
  what: string;
  /** What was found there. */
  found: string;
  error?: OxiError;
}

/** Of a source with more files the first ones are opened. */
const OPENED = 1000;

export async function tryConnections(plan: Plan, projectRoot: string): Promise<Tried[]> {
  const tried: Tried[] = [];
  const targets = new Set<string>();
  for (const { planned, steps } of plan.segments) {
    if (planned === undefined) {
      const [first] = steps;
      if (first !== undefined)
        tried.push({ what: first.id, found: 'not tried: it is known when the part before it has run' });
      continue;
    }
    tried.push(...(await trySources(planned, projectRoot, targets)));
    for (const step of planned.steps)
      if (step.oxi === 'exec') tried.push(await attempt(step.id, () => program(step, projectRoot)));
    for (const { step, sink } of sinksOf(planned.nodes)) {
      tried.push(
        await attempt(step.id, async () => {
          await sink.check?.();
          return await writable(sink.target, step.id, projectRoot);
        }),
      );
      targets.add(sink.target);
    }
  }
  const { deadLetters } = plan;
  if (deadLetters !== undefined)
    tried.push(
      await attempt('dead letters', async () => {
        await deadLetters.sink.check?.();
        return await writable(deadLetters.sink.target, 'dead_letter', projectRoot);
      }),
    );
  return tried;
}

export async function tryState(settings: StoreSettings): Promise<Tried> {
  return await attempt('state', async () => {
    await using store = await openStore(settings);
    const runs = (await store.list()).length;
    if (isAbsolute(store.location))
      await access(await nearest(store.location), constants.W_OK).catch((error) => {
        throw ioError(error, store.location);
      });
    return `${store.backend} at ${store.location}, ${runs} ${runs === 1 ? 'run' : 'runs'}`;
  });
}

async function attempt(what: string, work: () => Promise<string>): Promise<Tried> {
  try {
    return { what, found: await work() };
  } catch (error) {
    if (!(error instanceof OxiError)) throw error;
    return { what, found: '', error };
  }
}

/** The first source that is there counts; another one may stand in for those before it. */
async function trySources({ sources }: Segment, root: string, written: ReadonlySet<string>): Promise<Tried[]> {
  const tried: Tried[] = [];
  for (const { source, step } of sources) {
    try {
      if (source.kind === 'once') {
        tried.push({ what: step.id, found: 'not tried: it can be read only once' });
        continue;
      }
      const splits = await source.splits();
      for (const split of splits.slice(0, OPENED)) await source.peek(split, 1);
      const size = splits.reduce((sum, split) => sum + (split.size ?? 0), 0);
      const [first] = splits;
      const name = splits.length === 1 ? `${first?.name}` : `${splits.length} files`;
      tried.push({ what: step.id, found: `${name}, ${size} bytes` });
    } catch (error) {
      if (!(error instanceof OxiError)) throw error;
      const { path } = step.config as { path?: unknown };
      if (typeof path === 'string' && written.has(resolve(root, path)))
        tried.push({ what: step.id, found: `${path}: written by an earlier part of the pipeline` });
      else if (step.continues && mayFail(error))
        tried.push({ what: step.id, found: `missing, and may be ("continue_on_error"): ${error.message}` });
      else tried.push({ what: step.id, found: '', error });
    } finally {
      await source.close();
    }
  }
  return tried;
}

/** A file can be made there. */
async function writable(target: string, step: string, root: string): Promise<string> {
  if (!isAbsolute(target)) return target;
  const shown = relative(root, target).startsWith('..') ? target : relative(root, target);
  const folder = await nearest(dirname(target));
  await access(folder, constants.W_OK | constants.X_OK).catch((error) => {
    throw ioError(error, `step "${step}": ${shown}: the folder ${folder}`, { step, file: shown });
  });
  return folder === dirname(target) ? shown : `${shown}, in a folder that is to be made`;
}

/** The path, or what is there above it. */
async function nearest(path: string): Promise<string> {
  try {
    await stat(path);
    return path;
  } catch (error) {
    const above = dirname(path);
    if ((errnoOf(error) !== 'ENOENT' && errnoOf(error) !== 'ENOTDIR') || above === path) return path;
    return nearest(above);
  }
}

async function program({ id, config }: PlannedStep, root: string): Promise<string> {
  const { command, cwd, env } = config as { command: string[]; cwd: string; env: Record<string, string | Secret> };
  const [name = ''] = command;
  const folder = resolve(root, cwd);
  const missing = (text: string): OxiError =>
    new OxiError('EXEC_FAILED', `step "${id}": ${text}`, { place: { step: id, field: 'command' } });
  if (!(await isFolder(folder))) throw missing(`no such folder: ${folder}`);
  const own = env.PATH instanceof Secret ? env.PATH.reveal() : env.PATH;
  const path = own ?? process.env.PATH ?? '';
  const places = name.includes('/') ? [resolve(folder, name)] : path.split(delimiter).map((one) => join(one, name));
  let denied: string | undefined;
  for (const place of places) {
    const info = await stat(place).catch(() => undefined);
    if (info?.isFile() !== true) continue;
    if (
      await access(place, constants.X_OK).then(
        () => true,
        () => false,
      )
    )
      return place;
    denied ??= place;
  }
  if (denied !== undefined) throw missing(`"${name}" can't be started: ${denied} is no program (chmod +x)`);
  throw missing(
    `"${name}" could not be started: no such program (looked in ${name.includes('/') ? folder : `PATH ${path}`})`,
  );
}

async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (info) => info.isDirectory(),
    () => false,
  );
}
