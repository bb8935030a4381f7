/** `oxiflow pipeline list|add|test|info|manifest`: what pipelines a project has, whether they are right, and how one would run. */
import { Command } from 'commander';
import { addCommand } from './pipeline-add.ts';
import { infoCommand } from './pipeline-info.ts';
import { listCommand } from './pipeline-list.ts';
import { manifestCommand } from './pipeline-manifest.ts';
import { command as testCommand } from './pipeline-test.ts';

export function command(): Command {
  const pipeline = new Command('pipeline').description('list, add, check and explain pipelines');
  pipeline
    .addCommand(listCommand(shared(new Command('list'))))
    .addCommand(addCommand(shared(new Command('add'))))
    .addCommand(testCommand())
    .addCommand(infoCommand())
    .addCommand(manifestCommand());
  return pipeline;
}

function shared(verb: Command): Command {
  return verb.option('--project <dir>', 'folder of the project').option('--json', 'print one JSON document');
}
