/** `oxiflow state cleanup --stale [--older-than TIME]`: takes away what nobody needs any more, and never touches the living. */
import type { Command } from 'commander';
import { OxiError } from '../engine/errors.ts';
import type { Cleanup } from '../state/cleanup.ts';
import { duration } from './options.ts';
import { asker, printJson, printRows, type StateOptions, say, withStore } from './state-store.ts';

interface Options extends StateOptions {
  stale?: boolean;
  olderThan?: number;
  dryRun?: boolean;
}

export function cleanupCommand(verb: Command): Command {
  return verb
    .summary('take away what nobody needs any more')
    .description('take away what nobody needs any more; never what somebody works on')
    .option('--stale', 'registrations of workers that are gone, leases of dead ones')
    .option('--older-than <time>', 'finished runs and history older than this, as 7d', duration)
    .option('--dry-run', 'only say what would be done')
    .action((options: Options) => withStore(options, (store) => clean(store, options)));
}

async function clean(store: Parameters<Parameters<typeof withStore>[1]>[0], options: Options): Promise<void> {
  const { stale = false, olderThan, dryRun = false } = options;
  if (!stale && olderThan === undefined)
    throw new OxiError('COMMAND_INVALID', 'state cleanup: say what may go: --stale, --older-than TIME, or both');
  const { cleanUp } = await import('../state/cleanup.ts');
  const done = await cleanUp(store, { stale, olderThanMs: olderThan, dryRun, holder: await asker('cleanup') });
  if (options.json === true) return printJson({ dry_run: dryRun, ...done });
  const verb = dryRun ? 'would remove' : 'removed';
  printRows([
    ...done.workers.map(({ run_key, worker_id }) => [verb, `registration of worker ${worker_id}`, `run ${run_key}`]),
    ...done.leases.map(({ run_key, part, worker_id, host, pid }) => [
      verb,
      `lease of worker ${worker_id} (process ${pid} on ${host}, dead) on ${part}`,
      `run ${run_key}`,
    ]),
    ...done.runs.map(({ run_key, finished_at }) => [verb, `run ${run_key}`, `finished ${finished_at}`]),
  ]);
  for (const runKey of done.damaged)
    say(`run "${runKey}" is damaged and was left alone: oxiflow state check says more`);
  say(sumUp(done, dryRun));
}

function sumUp({ workers, leases, runs, history }: Cleanup, dryRun: boolean): string {
  const counted = [
    [workers.length, 'registration'],
    [leases.length, 'lease'],
    [runs.length, 'run'],
    [history, 'history entry'],
  ] as const;
  const told = counted.filter(([count]) => count > 0).map(([count, what]) => `${count} ${plural(what, count)}`);
  if (told.length === 0) return 'nothing to clean up';
  return `${dryRun ? 'would remove' : 'removed'} ${told.join(', ')}`;
}

function plural(what: string, count: number): string {
  return count === 1 ? what : what.endsWith('y') ? `${what.slice(0, -1)}ies` : `${what}s`;
}
