/** The code of the byte kernel, as `npm run build` makes it of `kernel/wasm`; loaded when a stage has use for it. */
import { readFileSync } from 'node:fs';
import { once } from '../../engine/once.ts';
import { shapeOf } from './shape.ts';

declare const OXIFLOW_BUNDLED: boolean | undefined;

/** The kernel can't run here: everything runs on the value tier. `message` says why, as a clause. */
export class NoKernel extends Error {}

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
  time(isTimed: number, parser: number, writer: number): void;
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
  rows(delimiter: number, count: number, keysSize: number, emptyIsNull: number): void;
  startRows(input: number, size: number, offset: number): void;
  workRows(): number;
  /** Where the two ends of a changed slot's text stand; 0 where there is none. */
  valueNow(slot: number): number;
  layoutFormat(delimiter: number, quote: number, escaping: number, lineEnd: number, lineEndSize: number): void;
  layoutColumns(columns: number, count: number, places: number, placesMask: number, learns: number): void;
  startLayout(): void;
  layOut(spans: number, from: number, most: number, out: number, outMost: number): number;
  laidEnd: Global;
  isFull: Global;
  outEnd: Global;
  kept: Global;
  deferred: Global;
  records: Global;
  recordBytes: Global;
  /** As shape.ts has it; code of another build may have none. */
  SHAPE?: Global;
}

/** What it asks of JavaScript: numbers whose text is not plainly exact. */
export interface Imports {
  /** The double nearest to the number token. */
  parse(at: number, size: number): number;
  /** Writes a finite number as JSON has it; returns the length, at most 32. */
  print(value: number, at: number): number;
  /** NaN where it can't be told. */
  round(value: number, places: number): number;
  /** What went by since the last lap was the work of the step at that place. */
  lap(owner: number): void;
  /** Writes the JSON text of what a script makes of the record; returns its size, 0 where the value tier has to decide. */
  script(number: number, at: number): number;
}

const PAGE_BYTES = 65536;

const isBundled = typeof OXIFLOW_BUNDLED !== 'undefined' && OXIFLOW_BUNDLED;

const compiled = once(() => {
  const { WebAssembly: platform } = globalThis as unknown as { WebAssembly: Platform | undefined };
  if (platform === undefined) throw new NoKernel('this Node has no WebAssembly');
  const place = new URL(isBundled ? './kernel.wasm' : '../../../dist/kernel.wasm', import.meta.url);
  let code: Uint8Array;
  try {
    code = readFileSync(place);
  } catch (error) {
    throw new NoKernel(`its code can't be read: ${messageOf(error)}`, { cause: error });
  }
  try {
    return { platform, module: new platform.Module(code) };
  } catch (error) {
    // A processor without SIMD, or a file that is none of ours.
    throw new NoKernel(`its code can't be compiled: ${messageOf(error)}`, { cause: error });
  }
});

/** Throws NoKernel. */
export function instantiate(js: Imports): Exports {
  const { platform, module } = compiled();
  const env = {
    abort: () => {
      throw new Error('the byte kernel gave up');
    },
  };
  let exports: Exports;
  try {
    exports = new platform.Instance(module, { js: { ...js }, env }).exports as Exports;
  } catch (error) {
    throw new NoKernel(`it can't be started: ${messageOf(error)}`, { cause: error });
  }
  if ((exports.SHAPE?.value ?? 0) >>> 0 !== shapeOf()) throw new NoKernel('its code is of another build');
  return exports;
}

/** Throws NoKernel where there is no more memory. */
export function growMemory({ memory }: Exports, pages: number): void {
  const more = pages - memory.buffer.byteLength / PAGE_BYTES;
  if (more <= 0) return;
  try {
    memory.grow(more);
  } catch (error) {
    throw new NoKernel(`there is no memory for it: ${messageOf(error)}`, { cause: error });
  }
}

/** Why the kernel can't run here, as a clause; undefined where it can. */
export function kernelProblem(): string | undefined {
  try {
    instantiate({ parse: () => 0, print: () => 0, round: () => 0, lap: () => undefined, script: () => 0 });
    return undefined;
  } catch (error) {
    if (!(error instanceof NoKernel)) throw error;
    return error.message;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
