/** `oxiflow schema pipeline|project|manifest`: prints the JSON Schema of the file, for editors. */
import { Command } from 'commander';
import type { ConfiguredOxi } from '../config/steps.ts';
import { OxiError } from '../engine/errors.ts';

export function command(): Command {
  return new Command('schema')
    .description('print the JSON Schema of a file, for editors')
    .argument('<file>', 'pipeline, project or manifest')
    .action(async (kind: string) => {
      const { registry } = await import('../oxis/registry.ts');
      process.stdout.write(await schemaText(kind, registry));
    });
}

/** The text of the schema, indented. Throws OxiError COMMAND_INVALID for another kind of file. */
export async function schemaText(kind: string, oxis: ReadonlyMap<string, ConfiguredOxi>): Promise<string> {
  if (kind === 'manifest') {
    const { manifestJsonSchema } = await import('./manifest-schema.ts');
    return `${JSON.stringify(manifestJsonSchema(), null, 2)}\n`;
  }
  if (kind !== 'pipeline' && kind !== 'project') {
    throw new OxiError(
      'COMMAND_INVALID',
      `oxiflow schema: must be pipeline, project or manifest, got ${JSON.stringify(kind.slice(0, 60))}`,
    );
  }
  const { pipelineSchema, projectSchema } = await import('../config/json-schema.ts');
  return `${JSON.stringify(kind === 'pipeline' ? pipelineSchema(oxis) : projectSchema(), null, 2)}\n`;
}
