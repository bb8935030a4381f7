/** The settings of the state as the stores and the thread that keeps leases take them. */
import type { Project } from '../config/project.ts';
import type { StoreSettings } from '../state/open.ts';

/** What a thread can be given: a secret can't be copied, so that the address of the chosen backend, and no other, is revealed. */
export function storeSettings({ state }: Project): StoreSettings {
  return {
    backend: state.backend,
    projectRoot: state.projectRoot,
    from: state.from,
    file: { basePath: state.file.basePath },
    nfs: { mountPath: state.nfs.mountPath, cleanupIntervalMs: state.nfs.cleanupIntervalMs },
    sqlite: { path: state.sqlite.path },
    redis: {
      ...state.redis,
      connectionUrl: state.backend === 'redis' ? state.redis.connectionUrl?.reveal() : undefined,
    },
    database: {
      ...state.database,
      connectionUrl: state.backend === 'database' ? state.database.connectionUrl?.reveal() : undefined,
    },
  };
}
