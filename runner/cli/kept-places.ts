/** What no step may write to: the files that the project itself lives on, those of its pipelines, and its state. */
import { join, resolve } from 'node:path';
import type { Project } from '../config/project.ts';
import type { KeptPlace } from '../engine/same-place.ts';
import { behindLinks, keysOf } from '../oxis/files/place.ts';
import { databasePath } from '../state/open.ts';

const STATE = 'the state of the runs';

/** `pipeline`: the file of the one that is planned. */
export function keptPlaces({ root, file, settings, state }: Project, pipeline: string): KeptPlace[] {
  const kept: KeptPlace[] = [
    { what: "the pipeline's own file", keys: keysOf(pipeline) },
    { what: "the project's own file", keys: keysOf(file ?? join(root, 'oxiflow.yaml')) },
  ];
  const output = behindLinks(resolve(root, settings.outputDir));
  const folder = (path: string, what: string): void => {
    const real = behindLinks(resolve(root, path));
    // One that holds the project, or its output, is not the state's or the pipelines' alone.
    if ([behindLinks(root), output].some((other) => `${other}/`.startsWith(real === '/' ? real : `${real}/`))) return;
    kept.push({ what, keys: [`path ${real}`], inside: `path ${real}/` });
  };
  folder(settings.pipelineDir, 'a file of the pipelines');
  folder('.oxiflow', STATE);
  const bases = [state.file.basePath, state.nfs.mountPath].filter((path) => path !== undefined);
  for (const base of bases) for (const part of ['runs', 'history']) folder(join(base, part), STATE);
  for (const ending of ['', '-wal', '-shm', '-journal'])
    kept.push({ what: STATE, keys: keysOf(`${databasePath(state)}${ending}`) });
  return kept;
}
