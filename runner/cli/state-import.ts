/** `oxiflow state import FILE`: the runs of an export into this store, whatever its backend. */
import type { Command } from 'commander';
import { type PutCommand, putArchive } from './put-archive.ts';

export function importCommand(verb: Command): Command {
  return verb
    .summary('take the runs of an export in')
    .description('take the runs of an export in; all of them, or none')
    .argument('<file>', 'what state export or backup has written; - for standard input')
    .option('--replace', 'put them in the place of those that are there, after a backup')
    .option('--dry-run', 'only say what would be done')
    .action((file: string, options: PutCommand) => putArchive(file, options, false));
}
