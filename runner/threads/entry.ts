/** Where the code of a thread lies: beside this file in the sources, beside the bundle in a build. */
declare const OXIFLOW_BUNDLED: boolean | undefined;

export function threadEntry(name: 'stage-thread' | 'keeper-thread'): URL {
  const bundled = typeof OXIFLOW_BUNDLED !== 'undefined' && OXIFLOW_BUNDLED;
  return new URL(bundled ? `./${name}.mjs` : `./${name}.ts`, import.meta.url);
}
