/** Does what a user does wrong, in a project of its own, and tells what came of it. */
import { chmodSync, chownSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type BadCase, GOOD_PROJECT } from './cases/case.ts';
import { type Ended, folder, NOBODY, oxiflow } from './program.ts';

export function projectOf(it: BadCase): string {
  const pipeline = it.pipeline === undefined ? {} : { 'pipelines/orders.yaml': it.pipeline };
  const root = folder({ ...GOOD_PROJECT, ...pipeline, ...it.files });
  for (const name of it.folders ?? []) mkdirSync(join(root, name));
  return root;
}

export async function attempt(it: BadCase, root: string): Promise<Ended> {
  const { args = ['run', 'orders'], env, input, forbidden = [] } = it;
  // Permissions do not bind root: such a case runs as nobody, in a folder that is nobody's.
  const uid = forbidden.length > 0 && process.getuid?.() === 0 ? NOBODY : undefined;
  if (uid !== undefined) chownSync(root, uid, uid);
  for (const name of forbidden) chmodSync(join(root, name), 0);
  try {
    return await oxiflow(args, { cwd: root, env, input, uid });
  } finally {
    for (const name of forbidden) chmodSync(join(root, name), 0o755);
  }
}

/** A line for people that is no terminal's begins with the time. */
export function withoutTimes(stderr: string, root: string): string {
  return stderr
    .replaceAll(root, 'ROOT')
    .replaceAll(/^\d{4}-\d\d-\d\dT[\d:]+Z /gm, '')
    .trimEnd();
}
