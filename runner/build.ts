/** Builds `dist/`: the program, the entries of its threads, and chunks that load when they are needed. No node_modules needed. */
import { chmod, rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));

await rm(`${root}/dist`, { recursive: true, force: true });
await build({
  absWorkingDir: root,
  entryPoints: {
    oxiflow: 'runner/cli/oxiflow.ts',
    'stage-thread': 'runner/threads/stage-thread.ts',
    'keeper-thread': 'runner/threads/keeper-thread.ts',
  },
  outdir: 'dist',
  outExtension: { '.js': '.mjs' },
  chunkNames: '[name]-[hash]',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node22.18',
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: 'none',
  define: { OXIFLOW_BUNDLED: 'true', OXIFLOW_CRASHPOINTS: 'false' },
  // CommonJS packages inside the bundle ask for Node's own modules.
  banner: { js: "import{createRequire as $r}from'node:module';const require=$r(import.meta.url);" },
  logLevel: 'warning',
});
await chmod(`${root}/dist/oxiflow.mjs`, 0o755);
