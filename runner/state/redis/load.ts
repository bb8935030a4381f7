/** Loads the driver: in a build a file beside the program and the entries of its threads, in the sources the module here. */
import { once } from '../../engine/once.ts';

declare const OXIFLOW_BUNDLED: boolean | undefined;

const isBundled = typeof OXIFLOW_BUNDLED !== 'undefined' && OXIFLOW_BUNDLED;

export const loadDriver = once((): typeof import('./driver.ts') => {
  const load = process.getBuiltinModule('node:module').createRequire(import.meta.url);
  return load(isBundled ? './redis.cjs' : './driver.ts');
});
