/** `oxiflow worker list`: who is registered, and what each is at. */
import type { Command } from 'commander';
import { shortCount } from '../observe/human.ts';
import { listWorkers } from '../state/registration.ts';
import { leftOut, printJson, printRows, quoted, type StateOptions, say, withStore } from './state-store.ts';
import { stateText, workerReport } from './worker-known.ts';

export function listCommand(verb: Command): Command {
  return verb
    .description('list the workers of shared runs, and what each is at')
    .option('--pipeline <name>', 'only those of this pipeline')
    .option('--run-key <key>', 'only those of this run')
    .action((options: StateOptions & { pipeline?: string; runKey?: string }) =>
      withStore(options, async (store) => {
        const { pipeline, runKey } = options;
        const workers = (await listWorkers(store, { pipeline, runKey, damaged: leftOut })).map(workerReport);
        if (options.json === true) return printJson({ backend: store.backend, location: store.location, workers });
        if (workers.length > 0)
          return printRows([
            ['WORKER', 'RUN KEY', 'STATE', 'GROUP', 'DONE', 'RECORDS', 'THREADS', 'PROCESS'],
            ...workers.map((one) => [
              one.worker_id,
              one.run_key,
              stateText(one),
              one.splits?.[0] === undefined ? '-' : String(one.splits[0]),
              String(one.done ?? '-'),
              one.records === undefined ? '-' : shortCount(one.records),
              String(one.capacity ?? '-'),
              processText(one),
            ]),
          ]);
        const which =
          runKey !== undefined ? ` of run ${quoted(runKey)}` : pipeline !== undefined ? ` of ${quoted(pipeline)}` : '';
        say(`no worker${which} is registered in ${store.location}`);
      }),
    );
}

function processText({ host, pid, lease }: ReturnType<typeof workerReport>): string {
  const [where, number] = [host ?? lease?.host, pid ?? lease?.pid];
  return where === undefined || number === undefined ? '-' : `${number} on ${where}`;
}
