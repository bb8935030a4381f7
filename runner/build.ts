/** Builds `dist/`: the program, the entries of its threads, and chunks that load when they are needed. No node_modules needed. */
import { chmod, mkdir, readFile, rename, rm, symlink } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { type BuildOptions, build, type Plugin } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = `${root}/dist`;
const fresh = `${root}/.dist-${process.pid}`;
const old = `${fresh}-old`;

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
  define: { OXIFLOW_BUNDLED: 'true', OXIFLOW_CRASHPOINTS: 'false' },
  // CommonJS packages inside the bundle ask for Node's own modules, and for nothing else.
  banner: { js: 'const require=process.getBuiltinModule;' },
  plugins: [quick],
  logLevel: 'warning',
};
// The threads share no chunk with the program: it would fall into many more pieces, and each costs time at the start.
const threads = ['runner/threads/stage-thread.ts', 'runner/threads/keeper-thread.ts'];
await Promise.all([
  build({ ...options, entryPoints: ['runner/cli/oxiflow.ts'], splitting: true, chunkNames: '[name]-[hash]' }),
  ...threads.map((entry) => build({ ...options, entryPoints: [entry] })),
]);
await chmod(`${fresh}/oxiflow.mjs`, 0o755);

// A build takes the place of the last one at once: whoever starts the program meanwhile finds one or the other, whole.
await rename(dist, old).catch((error) => {
  if (error.code !== 'ENOENT') throw error;
});
await rename(fresh, dist);
await rm(old, { recursive: true, force: true });

// npx looks here first. (A `bin` in package.json would make it install the project into a cache before it starts anything.)
await mkdir(`${root}/node_modules/.bin`, { recursive: true });
const link = `${root}/node_modules/.bin/oxiflow`;
await rm(link, { force: true });
await symlink('../../dist/oxiflow.mjs', link);
