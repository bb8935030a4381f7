/**
 * Loads the built program with the code that the compiler made of it in an earlier start: reading that is much quicker than
 * compiling again. The build writes the cache; one of another Node is refused by it, and everything is compiled as usual.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import vm from 'node:vm';
import type { main as Main } from './main.ts';

export interface Program {
  main: typeof Main;
  /** The cache that fits what has run so far. */
  cache(): Buffer;
}

/** What the bundle sees in place of a module's own names. */
const PARAMETERS = 'exports,require,module,__filename,__url';

/** `folder`: where `program.cjs` and `program.cache` lie. */
export function loadProgram(folder: string): Program {
  const filename = join(folder, 'program.cjs');
  const source = `(function(${PARAMETERS}){${readFileSync(filename, 'utf8')}\n})`;
  const cachedData = readCache(join(folder, 'program.cache'));
  const script = new vm.Script(source, { filename, ...(cachedData === undefined ? {} : { cachedData }) });
  const module: { exports: Partial<Program> } = { exports: {} };
  // The bundle asks for Node's own modules, and for nothing else.
  script.runInThisContext()(module.exports, process.getBuiltinModule, module, filename, pathToFileURL(filename).href);
  const { main } = module.exports;
  if (main === undefined) throw new Error(`${filename} is not the program`);
  return { main, cache: () => script.createCachedData() };
}

function readCache(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch {
    // A build that could not make one is slower to start, and no worse.
    return undefined;
  }
}
