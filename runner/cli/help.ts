/** Help that fits a screen: options that few people need stand on a second page, `--help --all`. */
import type { Command } from 'commander';

/** What `add` gives to the verb is left out of its help, and is what `--help --all` shows. */
export function rareOptions(verb: Command, add: (verb: Command) => void): Command {
  const before = verb.options.length;
  add(verb);
  const rare = verb.options.slice(before);
  for (const option of rare) option.hidden = true;
  return verb.addHelpText('after', () => (rare.some(({ hidden }) => hidden) ? '\nMore options: --help --all' : ''));
}

/** The second page: the options that the first one leaves out, in place of the others. */
export function turnPage(command: Command): void {
  if (command.options.some(({ hidden }) => hidden))
    for (const option of command.options) option.hidden = !option.hidden;
  for (const sub of command.commands) turnPage(sub);
}
