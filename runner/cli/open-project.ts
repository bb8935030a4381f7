/** Opens the project that the options of a verb name: the same for every verb. */
import { loadProject, type Project } from '../config/project.ts';

export interface ProjectOptions {
  project?: string | undefined;
  envFile?: string | undefined;
  stateBackend?: string | undefined;
}

/** `pipeline`: a name or path, which may tell where the project is. Throws as `loadProject` does. */
export function openProject({ project, envFile, stateBackend }: ProjectOptions, pipeline?: string): Promise<Project> {
  return loadProject(project ?? process.cwd(), {
    env: process.env,
    exact: project !== undefined,
    pipeline,
    envFile,
    stateBackend,
  });
}
