/** Builds `dist/`: the program, the entries of its threads, and chunks that load when they are needed. No node_modules needed. */
import { chmod, copyFile, mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { type BuildOptions, build, type Plugin } from 'esbuild';
import { loadProgram, WRAPPER } from './cli/program.ts';
import { readTemplates } from './cli/templates.ts';
import { kernelWasm } from './kernel/build-wasm.ts';
import { jqWasm } from './oxis/packages/load.ts';

const { values } = parseArgs({
  // A build for measurements, somewhere else: what crash points leave open to variables can be set there.
  options: { out: { type: 'string' }, 'crash-points': { type: 'boolean', default: false } },
});
const root = fileURLToPath(new URL('..', import.meta.url));
const dist = values.out === undefined ? `${root}/dist` : resolve(values.out);
const fresh = join(dist, '..', `.dist-${process.pid}`);
const old = `${fresh}-old`;

/** The driver of Redis writes what it sends, passwords too, where DEBUG asks for it: nothing in here does. */
const silent: Plugin = {
  name: 'silent',
  setup(builder) {
    builder.onResolve({ filter: /^debug$/ }, () => ({ path: 'debug', namespace: 'silent' }));
    builder.onLoad({ filter: /./, namespace: 'silent' }, () => ({
      contents:
        'module.exports = () => Object.assign(() => undefined, { enabled: false }); module.exports.default = module.exports;',
      loader: 'js',
    }));
  },
};

/** Modules of Node that take long to load and that few runs need: each of their names loads them when it is first used. */
const late: Plugin = {
  name: 'late',
  setup(builder) {
    builder.onResolve({ filter: /^node:zlib$/ }, ({ path }) => ({ path, namespace: 'late' }));
    builder.onLoad({ filter: /./, namespace: 'late' }, ({ path }) => {
      const names = Object.keys(process.getBuiltinModule(path) ?? {});
      const contents = `for (const name of ${JSON.stringify(names)})
  Object.defineProperty(exports, name, { enumerable: true, get: () => process.getBuiltinModule('${path}')[name] });`;
      return { contents, loader: 'js' };
    });
  },
};

/** Packages in the form that starts fastest: every run loads them. */
const quick: Plugin = {
  name: 'quick',
  setup(builder) {
    // Its ES modules; what nobody calls is left out.
    builder.onResolve({ filter: /^yaml$/ }, () => ({ path: `${root}/node_modules/yaml/browser/index.js` }));
    // Commander starts other programs for subcommands that we have not got: what loads for that, loads at its first use.
    builder.onLoad({ filter: /node_modules\/commander\/lib\/command\.js$/ }, async ({ path }) => {
      const source = await readFile(path, 'utf8');
      const eager = "const childProcess = require('node:child_process');";
      if (!source.includes(eager)) throw new Error(`${path} no longer has the line: ${eager}`);
      const lazy = "const childProcess = { spawn: (...args) => require('node:child_process').spawn(...args) };";
      return { contents: source.replace(eager, lazy), loader: 'js' };
    });
  },
};

const options: BuildOptions = {
  absWorkingDir: root,
  outdir: fresh,
  outExtension: { '.js': '.mjs' },
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node22.18',
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: 'none',
  define: { OXIFLOW_BUNDLED: 'true', OXIFLOW_CACHED: 'true', OXIFLOW_CRASHPOINTS: String(values['crash-points']) },
  // CommonJS packages inside the bundle ask for Node's own modules, and for nothing else.
  banner: { js: 'const require=process.getBuiltinModule;' },
  plugins: [quick, silent, late],
  logLevel: 'warning',
};
// One piece, which `cli/program.ts` loads with a cache of its compiled code: many pieces cost more than what they leave out.
const program: BuildOptions = {
  ...options,
  entryPoints: { program: 'runner/cli/main.ts' },
  outExtension: { '.js': '.cjs' },
  format: 'cjs',
  banner: {},
  supported: { 'dynamic-import': false },
  define: { ...options.define, 'import.meta.url': '__url' },
};
// Loaded by `oxis/packages/load.ts` when a pipeline uses them, and by `state/redis/load.ts`, from the program and from its threads.
const packages: BuildOptions = {
  ...options,
  entryPoints: {
    ajv: 'runner/oxis/packages/ajv.ts',
    jq: 'runner/oxis/packages/jq.ts',
    redis: 'runner/state/redis/driver.ts',
  },
  outExtension: { '.js': '.cjs' },
  format: 'cjs',
  banner: { js: "const __url=require('node:url').pathToFileURL(__filename).href;" },
  define: { ...options.define, 'import.meta.url': '__url' },
};
const threads = ['runner/threads/stage-thread.ts', 'runner/threads/keeper-thread.ts'];
await Promise.all([
  build({ ...options, entryPoints: ['runner/cli/oxiflow.ts'], external: ['./main.ts'] }),
  build(program),
  build(packages),
  ...threads.map((entry) => build({ ...options, entryPoints: [entry] })),
]);
await writeFile(`${fresh}/templates.json`, JSON.stringify(await readTemplates(`${root}/runner/templates`)));
await copyFile(jqWasm(), `${fresh}/jq.wasm`);
await writeFile(`${fresh}/kernel.wasm`, await kernelWasm(`${root}/node_modules/.cache/oxiflow`));
await chmod(`${fresh}/oxiflow.mjs`, 0o755);
await wrap(`${fresh}/program.cjs`);
await writeFile(`${fresh}/program.cache`, await warm(fresh));

// A build takes the place of the last one at once: whoever starts the program meanwhile finds one or the other, whole.
await rename(dist, old).catch((error) => {
  if (error.code !== 'ENOENT') throw error;
});
await rename(fresh, dist);
await rm(old, { recursive: true, force: true });

// npx looks here first. (A `bin` in package.json would make it install the project into a cache before it starts anything.)
if (values.out === undefined) {
  await mkdir(`${root}/node_modules/.bin`, { recursive: true });
  const link = `${root}/node_modules/.bin/oxiflow`;
  await rm(link, { force: true });
  await symlink('../../dist/oxiflow.mjs', link);
}

/** The program as `loadProgram` takes it. Throws where it is not ASCII: esbuild leaves regular expressions as they are. */
async function wrap(path: string): Promise<void> {
  const bytes = await readFile(path);
  const at = bytes.findIndex((byte) => byte > 0x7f);
  if (at >= 0)
    throw new Error(`the program is not ASCII at ...${bytes.subarray(at - 40, at + 40)}...: write it as \\u escapes`);
  await writeFile(path, WRAPPER[0] + bytes + WRAPPER[1]);
}

/** Runs a small pipeline in this process, so that the cache holds the code that every run needs. */
async function warm(folder: string): Promise<Buffer> {
  // Settings of whoever builds are not for this run.
  for (const name of Object.keys(process.env)) if (/^(OXIFLOW|DAGSTER)_/.test(name)) delete process.env[name];
  const project = await mkdtemp(join(tmpdir(), 'oxiflow-build-'));
  try {
    const steps = [
      { name: 'read_file', config: { path: 'in.ndjson' } },
      { name: 'parse_json' },
      { name: 'filter', config: { where: 'ok == true' } },
      {
        name: 'map',
        config: {
          set: { total: 'round(amount * 119) / 100', who: 'user.name + ":" + string(user.id)' },
          rename: { ts: 'time' },
          drop: ['ua'],
        },
      },
      { name: 'format_json' },
      { name: 'write_file', config: { path: 'out.ndjson' } },
    ];
    await writeFile(join(project, 'warm.yaml'), JSON.stringify({ pipeline: steps }));
    const record = { ok: true, ts: 'a', amount: 12.5, user: { name: 'b', id: 1 }, ua: null, note: ['c', 1e3, false] };
    await writeFile(join(project, 'in.ndjson'), `${JSON.stringify(record)}\n`.repeat(10));
    const { main, cache } = loadProgram(folder);
    for (let round = 0; round < 2; round++) {
      const code = await main(['run', join(project, 'warm.yaml'), '--project', project, '-q']);
      if (code !== 0) throw new Error(`the program that was built ends with ${code}`);
    }
    // A cache is refused by a process with other settings of V8, and a slow run has started a thread, with `threads/start.ts`.
    setFlagsFromString('--short-builtin-calls');
    return cache();
  } finally {
    await rm(project, { recursive: true, force: true });
  }
}
