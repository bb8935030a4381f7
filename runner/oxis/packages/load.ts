/**
 * Packages that few pipelines use, loaded when a step is made that needs them. In a build each is a file of its own beside the
 * program and the entries of its threads; in the sources it is the module of that name here.
 */
import { once } from '../../engine/once.ts';

declare const OXIFLOW_BUNDLED: boolean | undefined;

interface Packages {
  ajv: typeof import('./ajv.ts');
  jq: typeof import('./jq.ts');
}

const isBundled = typeof OXIFLOW_BUNDLED !== 'undefined' && OXIFLOW_BUNDLED;
const fromHere = once(() => process.getBuiltinModule('node:module').createRequire(import.meta.url));

/** Synchronous, since steps are made synchronously. */
export function loadPackage<N extends keyof Packages>(name: N): Packages[N] {
  return fromHere()(isBundled ? `./${name}.cjs` : `./${name}.ts`) as Packages[N];
}

/** Path of the code of jq. */
export function jqWasm(): string {
  return fromHere().resolve(isBundled ? './jq.wasm' : 'jq-wasm/jq.wasm');
}
