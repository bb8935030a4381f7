/** Compiles the byte kernel, AssemblyScript in `wasm/`, for `runner/build.ts`. It takes some seconds, so the result is kept. */
import { createHash } from 'node:crypto';
import { globSync } from 'node:fs';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import asc from 'assemblyscript/asc';
import { shapeOf } from './bytes/shape.ts';

const FOLDER = fileURLToPath(new URL('./wasm', import.meta.url));
const FLAGS = ['-O3', '--converge', '--noAssert', '--runtime', 'stub', '--enable', 'simd', '--initialMemory', '16'];

/** The code of the kernel; `kept`: a folder in which that of the same sources may stand already. Throws where they are wrong. */
export async function kernelWasm(kept: string): Promise<Uint8Array> {
  const files = globSync('*.ts', { cwd: FOLDER }).sort();
  const sources = await Promise.all(files.map((file) => readFile(join(FOLDER, file), 'utf8')));
  // The code tells what it was built with.
  sources[files.indexOf('index.ts')] += `\nexport const SHAPE: u32 = ${shapeOf()};\n`;
  const hash = createHash('sha256')
    .update(JSON.stringify([asc.version, FLAGS, files, sources]))
    .digest('hex');
  const path = join(kept, `kernel-${hash.slice(0, 16)}.wasm`);
  const known = await readFile(path).catch((error) => {
    if (error.code !== 'ENOENT') throw error;
    return undefined;
  });
  if (known !== undefined) return known;
  const code = await compile(new Map(files.map((file, i) => [file, sources[i] as string])));
  await mkdir(kept, { recursive: true });
  // Several builds may run at once.
  const fresh = `${path}.${process.pid}`;
  await writeFile(fresh, code);
  await rename(fresh, path);
  return code;
}

async function compile(sources: ReadonlyMap<string, string>): Promise<Uint8Array> {
  let code: Uint8Array | undefined;
  const { error, stderr } = await asc.main(['index.ts', '--outFile', 'kernel.wasm', ...FLAGS], {
    readFile: (name) => sources.get(name) ?? null,
    writeFile: (_name, contents) => {
      if (typeof contents !== 'string') code = contents;
    },
    listFiles: () => [],
  });
  if (error !== null || code === undefined)
    throw new Error(`the byte kernel can't be built: ${stderr.toString()}`, { cause: error });
  return code;
}
