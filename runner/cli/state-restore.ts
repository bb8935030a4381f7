/** `oxiflow state restore FILE`: the runs of a backup, and no others. */
import type { Command } from 'commander';
import { type PutCommand, putArchive } from './put-archive.ts';

export function restoreCommand(verb: Command): Command {
  return verb
    .summary('make the runs those of a backup')
    .description('make the runs those of a backup; the history keeps what it has')
    .argument('<file>', 'what state backup has written; - for standard input')
    .option('--replace', 'also where there are runs, after a backup of them')
    .option('--dry-run', 'only say what would be done')
    .action((file: string, options: PutCommand) => putArchive(file, options, true));
}
