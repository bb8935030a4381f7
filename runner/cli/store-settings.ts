/** The settings of the state as the stores and the thread that keeps leases take them. */
import type { Project } from '../config/project.ts';
import type { StoreSettings } from '../state/open.ts';

/** Only what a thread may be given: no secrets, nothing that can't be copied. */
export function storeSettings({ state }: Project): StoreSettings {
  return {
    backend: state.backend,
    projectRoot: state.projectRoot,
    file: { basePath: state.file.basePath },
    nfs: { mountPath: state.nfs.mountPath },
    sqlite: { path: state.sqlite.path },
    database: { type: state.database.type },
  };
}
