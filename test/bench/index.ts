/** `npm run bench`: of the runner; with `--peers` against others, with `--state` of its state and of several workers. */
const BENCHES: Record<string, () => Promise<unknown>> = {
  '--state': () => import('./state-bench.ts'),
  '--peers': () => import('./peers/index.ts'),
};
const { argv } = process;
const at = argv.findIndex((word) => word in BENCHES);
const [word = ''] = at < 0 ? [] : argv.splice(at, 1);
await (BENCHES[word]?.() ?? import('./bench.ts'));
