/** `oxiflow state repair --run-key KEY`: sets damaged state aside and goes back to the last good version. */
import { stat } from 'node:fs/promises';
import type { Command } from 'commander';
import { humanBytes } from '../observe/human.ts';
import type { StateStore } from '../state/store.ts';
import { mustBeThere, printable, printJson, printRows, type StateOptions, say, withStore } from './state-store.ts';

export function repairCommand(verb: Command): Command {
  return verb
    .summary('set damaged state aside')
    .description('set damaged state aside and go back to the last good version')
    .requiredOption('--run-key <key>', 'the run to repair')
    .action((options: StateOptions & { runKey: string }) =>
      withStore(options, (store) => repair(store, options.runKey, options.json === true)),
    );
}

/** Looking through a large database keeps the whole process busy: whoever waits is told before. */
const LARGE_BYTES = 100e6;

async function announce({ location }: StateStore): Promise<void> {
  const size = (await stat(location).catch(() => undefined))?.size ?? 0;
  if (size > LARGE_BYTES) process.stderr.write(`looking through ${humanBytes(size)} of state, which takes a while\n`);
}

async function repair(store: StateStore, runKey: string, asJson: boolean): Promise<void> {
  await announce(store);
  const done = await store.repair(runKey);
  if (done.quarantined.length + done.restored.length === 0) await mustBeThere(store, runKey);
  if (asJson) return printJson({ run_key: runKey, ...done });
  if (done.quarantined.length === 0) process.stderr.write(`nothing of run "${runKey}" is damaged\n`);
  printRows([
    ...done.quarantined.map((what) => ['set aside', what]),
    ...done.restored.map(({ part, version }) => ['restored', `${part}, now version ${version}`]),
  ]);
  if (done.rescued !== undefined) {
    say(`the new database holds ${done.rescued.length} other runs; what it lacks is in the one that was set aside`);
    printRows(done.rescued.map((key) => ['taken over', key]));
    if (done.restored.length === 0) say(`of run "${printable(runKey)}" nothing could be read: it begins from zero`);
    return;
  }
  if (done.quarantined.length > done.restored.length) process.stderr.write(await whatFollows(store, runKey));
}

async function whatFollows(store: StateStore, runKey: string): Promise<string> {
  if ((await store.read(runKey, 'run')) !== undefined)
    return 'not everything could be restored: the next run starts from the last position that is left\n';
  return `run "${printable(runKey)}" itself is gone: its next start begins from zero, whatever its parts had reached (some states ask for --fresh)\n`;
}
