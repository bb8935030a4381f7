/** Holds events to the JSON Schemas that stand in the repository. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { REPOSITORY } from './program.ts';

const SCHEMAS = join(REPOSITORY, 'runner/observe/schemas');
const ajv = new Ajv2020({ strict: false, allErrors: true });
const validators = new Map(
  readdirSync(SCHEMAS).map((name) => [
    name.replace(/\.json$/, ''),
    ajv.compile(JSON.parse(readFileSync(join(SCHEMAS, name), 'utf8'))),
  ]),
);

/** What breaks the schema of the event's type, for a person; empty where nothing does. */
export function eventProblems(event: Readonly<Record<string, unknown>>): { event: unknown; errors: unknown }[] {
  const validate = validators.get(String(event.type));
  if (validate === undefined) return [{ event, errors: `no schema of ${event.type}` }];
  return validate(event) ? [] : [{ event, errors: validate.errors }];
}
