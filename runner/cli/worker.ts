/** `oxiflow worker list|show|stop`: who works on the runs, on whatever machine. */
import { Command } from 'commander';
import { withStateOptions } from './state-store.ts';
import { listCommand } from './worker-list.ts';
import { showCommand } from './worker-show.ts';
import { stopCommand } from './worker-stop.ts';

export function command(): Command {
  return new Command('worker')
    .description('list, show and stop the workers of runs')
    .addCommand(listCommand(withStateOptions(new Command('list'))))
    .addCommand(showCommand(withStateOptions(new Command('show'))))
    .addCommand(stopCommand(withStateOptions(new Command('stop'))));
}
