#!/usr/bin/env -S node --
/**
 * The program's entry: refuses a Node or a system that can't run it in one line, then loads the rest.
 * The "--" above keeps --env-file for us: Node takes it even from behind the name of the script.
 */
import { loadProgram } from './program.ts';

declare const OXIFLOW_CACHED: boolean | undefined;

const MIN_MAJOR = 22;
const MIN_MINOR = 18;

function refusal(): string | undefined {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major < MIN_MAJOR || (major === MIN_MAJOR && minor < MIN_MINOR))
    return `oxiflow needs Node ${MIN_MAJOR}.${MIN_MINOR} or newer and this is ${process.versions.node}; in a checkout, npx oxiflow uses the one that npm ci installed`;
  if (process.platform === 'win32') return 'oxiflow runs on Linux and macOS; on Windows, run it inside WSL';
  return undefined;
}

const refused = refusal();
if (refused !== undefined) {
  process.stderr.write(`${refused}\n`);
  process.exitCode = 2;
} else {
  // Records make garbage that dies at once: a young generation that does not grow costs no speed and saves a third of the
  // memory, and an old one that is cleaned when it has grown by a part, not twofold, keeps it there. Both slow the start, though,
  // and a run that is over by then needs none of it.
  setTimeout(() => {
    const { setFlagsFromString } = process.getBuiltinModule('node:v8');
    setFlagsFromString('--semi-space-growth-factor=1');
    setFlagsFromString('--heap-growing-percent=25');
    // Not by 8 MB at least.
    setFlagsFromString('--optimize-for-size');
  }, 150).unref();
  // The build puts the program beside this file, with a cache of its code; elsewhere it is imported as it is.
  const cached = typeof OXIFLOW_CACHED !== 'undefined' && OXIFLOW_CACHED;
  const { main } = cached ? loadProgram(import.meta.dirname) : await import('./main.ts');
  process.exitCode = await main(process.argv.slice(2));
}
