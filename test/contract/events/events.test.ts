import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { EVENT_TYPES, type EventType, jsonSchemas, lineSchema } from '../../../runner/observe/event-schemas.ts';
import { isProtocolField } from '../../../runner/observe/redaction.ts';

const SCHEMAS = fileURLToPath(new URL('../../../runner/observe/schemas/', import.meta.url));

function linesOf(name: string): string[] {
  return readFileSync(new URL(name, import.meta.url), 'utf8')
    .trimEnd()
    .split('\n');
}

const good = linesOf('good.ndjson').map((line) => JSON.parse(line) as { type: EventType });
const bad = linesOf('bad.ndjson').map((line) => JSON.parse(line) as { reason: string; line: string });

function schemaFile(name: string): z.core.JSONSchema.JSONSchema {
  return JSON.parse(readFileSync(`${SCHEMAS}${name}.json`, 'utf8'));
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    // Half a line: no schema is asked about it.
    return undefined;
  }
}

describe('the JSON Schemas of the events', () => {
  it('are those of the zod definitions; run `node runner/observe/generate-schemas.ts` where they are not', () => {
    const expected = jsonSchemas();
    expect(readdirSync(SCHEMAS).sort()).toEqual([...expected.keys()].map((name) => `${name}.json`).sort());
    for (const [name, schema] of expected) expect(schemaFile(name)).toEqual(JSON.parse(JSON.stringify(schema)));
  });

  it('take the good lines and refuse the bad ones, the union and the one of each type alike', () => {
    const any = z.fromJSONSchema(schemaFile('event'));
    for (const line of good) {
      expect(any.safeParse(line).error, JSON.stringify(line)).toBeUndefined();
      expect(z.fromJSONSchema(schemaFile(line.type)).safeParse(line).error, line.type).toBeUndefined();
    }
    for (const { line, reason } of bad) expect(any.safeParse(parsed(line)).success, reason).toBe(false);
  });
});

describe('the event definitions', () => {
  it('have a good line for every type', () => {
    expect(new Set(good.map(({ type }) => type))).toEqual(new Set(EVENT_TYPES));
  });

  it.each(good)('take the good line of $type', (line) => {
    expect(lineSchema(line.type).safeParse(line).error).toBeUndefined();
  });

  it.each(bad)('refuse: $reason', ({ line }) => {
    const value = parsed(line);
    for (const type of EVENT_TYPES) expect(lineSchema(type).safeParse(value).success).toBe(false);
  });

  it('tell redaction exactly which fields hold words of the protocol', () => {
    const closed = new Set<string>();
    const free = new Set<string>();
    function visit(schema: unknown): void {
      if (typeof schema !== 'object' || schema === null) return;
      const { properties } = schema as { properties?: Record<string, { type?: string }> };
      for (const [name, property] of Object.entries(properties ?? {})) {
        if (property.type !== 'string') continue;
        (['const', 'enum', 'pattern'].some((word) => word in property) ? closed : free).add(name);
      }
      for (const child of Object.values(schema)) visit(child);
    }
    for (const schema of jsonSchemas().values()) visit(schema);
    expect([...closed].filter((name) => !isProtocolField(name))).toEqual([]);
    // The run id is free text to the schema, but made by the runner.
    expect([...free].filter((name) => isProtocolField(name))).toEqual(['run_id']);
  });
});
