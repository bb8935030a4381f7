/**
 * Loads the built program with the code that the compiler made of it in an earlier start: reading that is much quicker than
 * compiling again. The build writes the cache; one of another Node is refused by it, and everything is compiled as usual.
 */
import type { main as Main } from './main.ts';

export interface Program {
  main: typeof Main;
  /** The cache that fits what has run so far. */
  cache(): Buffer;
  /** The cache was there and fitted. */
  cached: boolean;
}

/** What the bundle stands in, so that it sees these in place of a module's own names. */
export const WRAPPER = ['(function(exports,require,module,__filename,__url){', '\n})'] as const;

/** `folder`: where `program.cjs` and `program.cache` lie. */
export function loadProgram(folder: string): Program {
  // Not imported: Node makes an ES module of each of its own that is, which takes as long as reading the program; and a Node that
  // is too old has to come as far as being told so.
  const { readFileSync } = process.getBuiltinModule('node:fs');
  const { pathToFileURL } = process.getBuiltinModule('node:url');
  const vm = process.getBuiltinModule('node:vm');
  const filename = `${folder}/program.cjs`;
  // The build leaves nothing but ASCII in it: that is read at once, and kept in half the memory.
  const source = readFileSync(filename, 'latin1');
  const cachedData = readCache(`${folder}/program.cache`);
  const script = new vm.Script(source, { filename, ...(cachedData === undefined ? {} : { cachedData }) });
  const module: { exports: Partial<Program> } = { exports: {} };
  // The bundle asks for Node's own modules, and for nothing else.
  script.runInThisContext()(module.exports, process.getBuiltinModule, module, filename, pathToFileURL(filename).href);
  const { main } = module.exports;
  if (main === undefined) throw new Error(`${filename} is not the program`);
  return { main, cache: () => script.createCachedData(), cached: script.cachedDataRejected === false };
}

function readCache(path: string): Buffer | undefined {
  try {
    return process.getBuiltinModule('node:fs').readFileSync(path);
  } catch {
    // A build that could not make one is slower to start, and no worse.
    return undefined;
  }
}
