/** `oxiflow state ...`: what is saved of runs: looked at, cleaned up, moved, kept safe, mended. */
import { Command } from 'commander';
import { backupCommand } from './state-backup.ts';
import { checkCommand } from './state-check.ts';
import { cleanupCommand } from './state-cleanup.ts';
import { exportCommand } from './state-export.ts';
import { importCommand } from './state-import.ts';
import { listCommand } from './state-list.ts';
import { repairCommand } from './state-repair.ts';
import { restoreCommand } from './state-restore.ts';
import { showCommand } from './state-show.ts';
import { withStateOptions } from './state-store.ts';
import { unlockCommand } from './state-unlock.ts';

export function command(): Command {
  const state = new Command('state').description('show, move, back up, check and mend the saved state of runs');
  const verbs: Readonly<Record<string, (verb: Command) => Command>> = {
    show: showCommand,
    list: listCommand,
    cleanup: cleanupCommand,
    unlock: unlockCommand,
    export: exportCommand,
    import: importCommand,
    backup: backupCommand,
    restore: restoreCommand,
    check: checkCommand,
    repair: repairCommand,
  };
  for (const [name, make] of Object.entries(verbs)) state.addCommand(make(withStateOptions(new Command(name))));
  return state;
}
