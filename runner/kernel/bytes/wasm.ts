/** The code of the byte kernel, as `npm run build` makes it of `kernel/wasm`; loaded when a stage has use for it. */
import { readFileSync } from 'node:fs';
import { once } from '../../engine/once.ts';

declare const OXIFLOW_BUNDLED: boolean | undefined;

/** As far as it is used here; the types of Node leave it to those of a browser. */
interface Platform {
  Module: new (code: Uint8Array) => object;
  Instance: new (module: object, imports: Record<string, Record<string, unknown>>) => { exports: unknown };
}

interface Memory {
  readonly buffer: ArrayBuffer;
  grow(pages: number): number;
}

interface Global {
  readonly value: number;
}

/** What the kernel exports; `wasm/index.ts` says what each does. Addresses are numbers below 2^32. */
export interface Exports {
  memory: Memory;
  setup(code: number, root: number, slots: number, changed: number, changedCount: number): void;
  place(
    index: number,
    suspects: number,
    escapes: number,
    spaces: number,
    out: number,
    outEnd: number,
    table: number,
    offsets: number,
    tableMost: number,
    deferrals: number,
    deferredMost: number,
  ): void;
  start(input: number, size: number, offset: number): number;
  work(): number;
  outEnd: Global;
  kept: Global;
  deferred: Global;
  records: Global;
  recordBytes: Global;
  longestLine: Global;
}

/** What it asks of JavaScript: numbers whose text is not plainly exact. */
export interface Imports {
  /** The double nearest to the number token. */
  parse(at: number, size: number): number;
  /** Writes a finite number as JSON has it; returns the length, at most 32. */
  print(value: number, at: number): number;
  /** NaN where it can't be told. */
  round(value: number, places: number): number;
}

const isBundled = typeof OXIFLOW_BUNDLED !== 'undefined' && OXIFLOW_BUNDLED;

const platform = once(() => (globalThis as unknown as { WebAssembly: Platform }).WebAssembly);

const compiled = once(() => {
  const place = new URL(isBundled ? './kernel.wasm' : '../../../dist/kernel.wasm', import.meta.url);
  const { Module } = platform();
  return new Module(readFileSync(place));
});

export function instantiate(js: Imports): Exports {
  const env = {
    abort: () => {
      throw new Error('the byte kernel gave up');
    },
  };
  const { Instance } = platform();
  return new Instance(compiled(), { js: { ...js }, env }).exports as Exports;
}
