/** `oxiflow version`. */
import { Command } from 'commander';
import packageJson from '../../package.json' with { type: 'json' };

export function version(): string {
  return packageJson.version;
}

export function command(): Command {
  return new Command('version')
    .description('print the version')
    .option('--json', 'print one JSON document')
    .action((options: { json?: boolean }) => {
      const document = {
        oxiflow: version(),
        node: process.versions.node,
        platform: process.platform,
        arch: process.arch,
      };
      process.stdout.write(
        options.json === true
          ? `${JSON.stringify(document)}\n`
          : `oxiflow ${document.oxiflow} (Node ${document.node})\n`,
      );
    });
}
