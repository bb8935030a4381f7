/** `npm run bench`: of the runner, or with `--state` of its state and of several workers. */
const { argv } = process;
const at = argv.indexOf('--state');
if (at >= 0) argv.splice(at, 1);
await (at >= 0 ? import('./state-bench.ts') : import('./bench.ts'));
