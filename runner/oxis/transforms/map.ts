/** `map`: sets, casts, renames, drops and selects fields, in this order; each `set` sees the record as it came in. */
import * as z from 'zod/mini';
import type { FieldPath, RecordStep } from '../../engine/contracts.ts';
import { RecordError } from '../../engine/contracts.ts';
import type { RecordReader } from '../../expressions/compile.ts';
import { toJson } from '../../expressions/stringify.ts';
import type { Value } from '../../expressions/values.ts';
import { CASTS, type Expression } from '../../kernel/bytes/forms.ts';
import { defineStep, field, inOrder } from '../define.ts';
import { compileRecordExpression, formsOf } from '../expression.ts';
import { type CastType, castTypes, castValue } from './cast.ts';
import { checkedFieldPath, fieldPath, refuseField } from './field-path.ts';

const config = () => {
  const name = z.string().check(z.minLength(1));
  const names = z.array(name).check(z.minLength(1));
  return z
    .strictObject({
      set: field(z.optional(inOrder(name, name)), 'Field to expression; a dot in a field nests.', {
        expression: true,
      }),
      rename: field(z.optional(inOrder(name, name)), 'Old field to new one; it keeps its place.'),
      drop: field(z.optional(names), 'Fields to remove.'),
      select: field(z.optional(names), 'Fields to keep; all others go.'),
      cast: field(z.optional(inOrder(name, z.literal(castTypes))), 'Field to type.'),
    })
    .check(
      z.refine((c) => Object.values(c).some((value) => value !== undefined), {
        error: 'needs one of set, cast, rename, drop, select',
      }),
    );
};

type Config = z.output<ReturnType<typeof config>>;

export const map = defineStep({
  name: 'map',
  kind: 'step',
  summary: 'Sets, casts, renames, drops and selects fields.',
  limits: { maxBatchSize: 1_000_000, maxMemoryMb: 512 },
  config,
  make: (c, context): readonly RecordStep[] => {
    checkPaths(c, context.stepId);
    return [...setPhase(c, context.stepId), ...castPhase(c), ...renamePhase(c), ...dropPhase(c), ...selectPhase(c)];
  },
});

/** Refuses fields that name nothing, and two that would take each other's place. Throws OxiError CONFIG_INVALID. */
function checkPaths(c: Config, step: string): void {
  const refuse = (field: string, message: string): never => refuseField(step, field, message);
  const check = (field: string, text: string): unknown => checkedFieldPath(text, step, field);
  for (const phase of ['set', 'cast', 'rename'] as const)
    for (const text of c[phase]?.keys() ?? []) check(`${phase}.${text}`, text);
  for (const [from, to] of c.rename ?? []) check(`rename.${from}`, to);
  for (const phase of ['drop', 'select'] as const)
    for (const [i, text] of (c[phase] ?? []).entries()) check(`${phase}.${i}`, text);

  const targets = new Map<string, string>();
  for (const [from, to] of c.rename ?? []) {
    const other = targets.get(to);
    if (other !== undefined)
      refuse(`rename.${from}`, `"${other}" is renamed to "${to}" already; only one of them can have that name`);
    targets.set(to, from);
  }
  const sets = [...(c.set?.keys() ?? [])];
  for (const outer of sets) {
    const path = fieldPath(outer);
    const inner = sets.find((text) => text !== outer && startsWith(fieldPath(text), path));
    if (inner !== undefined)
      refuse(`set.${inner}`, `it lies in "${outer}", which is set as well; set the whole of it, or its parts`);
  }
}

function startsWith(path: FieldPath, start: FieldPath): boolean {
  return start.every((part, i) => path[i] === part);
}

function setPhase(c: Config, stepId: string): RecordStep[] {
  if (c.set === undefined) return [];
  const sets = [...c.set].map(([field, text]) => ({
    path: fieldPath(field),
    field,
    expression: compileRecordExpression(text, stepId, `set.${field}`),
  }));
  const texts: string[] = [];
  return [
    {
      form: 'record',
      cardinality: 'one',
      touches: sets.flatMap(({ path, expression }) => [path, ...expression.touches]),
      writes: sets.map(({ path }) => path),
      get forms() {
        return formsOf(
          sets.map(({ expression }) => expression),
          (forms) => ({ do: 'set', fields: sets.map(({ path }, i) => ({ path, value: forms[i] as Expression })) }),
        );
      },
      apply: (record, scope) => {
        for (let i = 0; i < sets.length; i++) {
          const { expression, field } = sets[i] as (typeof sets)[number];
          try {
            texts[i] = toJson(expression.evaluate(record, scope));
          } catch (error) {
            throw error instanceof RecordError ? new RecordError(`set "${field}": ${error.message}`) : error;
          }
        }
        for (let i = 0; i < sets.length; i++) record.set((sets[i] as (typeof sets)[number]).path, texts[i] as string);
        return 'keep';
      },
    },
  ];
}

function castPhase(c: Config): RecordStep[] {
  if (c.cast === undefined) return [];
  const casts = [...c.cast].map(([field, type]) => ({
    path: fieldPath(field),
    field,
    type,
  }));
  const paths = casts.map(({ path }) => path);
  return [
    {
      form: 'record',
      cardinality: 'one',
      touches: paths,
      writes: paths,
      forms: castForms(casts),
      apply: (record) => {
        for (const { path, field, type } of casts) {
          const value = record.get(path);
          if (value === undefined || value === null) continue;
          record.set(path, castValue(value as Value, type, field, (record as RecordReader).numberText?.(path)));
        }
        return 'keep';
      },
    },
  ];
}

function castForms(casts: readonly { path: FieldPath; type: CastType }[]): NonNullable<RecordStep['forms']> {
  const fields = casts.flatMap(({ path, type }) => CASTS.flatMap((to) => (to === type ? [{ path, to }] : [])));
  const other = casts.find(({ type }) => CASTS.every((to) => to !== type));
  return other === undefined ? { bytes: { do: 'cast', fields } } : { why: `the kernel has no cast to ${other.type}` };
}

function renamePhase(c: Config): RecordStep[] {
  if (c.rename === undefined) return [];
  const renames = [...c.rename].map(([from, to]) => ({ from: fieldPath(from), to: fieldPath(to) }));
  const paths = renames.flatMap(({ from, to }) => [from, to]);
  return [
    {
      form: 'record',
      cardinality: 'one',
      touches: paths,
      writes: paths,
      forms: { bytes: { do: 'rename', fields: renames } },
      apply: (record) => {
        record.rename(renames);
        return 'keep';
      },
    },
  ];
}

function dropPhase(c: Config): RecordStep[] {
  if (c.drop === undefined) return [];
  const paths = c.drop.map(fieldPath);
  return [
    {
      form: 'record',
      cardinality: 'one',
      touches: paths,
      writes: paths,
      forms: { bytes: { do: 'drop', paths } },
      apply: (record) => {
        for (const path of paths) record.drop(path);
        return 'keep';
      },
    },
  ];
}

function selectPhase(c: Config): RecordStep[] {
  if (c.select === undefined) return [];
  const paths = c.select.map(fieldPath);
  return [
    {
      form: 'record',
      cardinality: 'one',
      touches: paths,
      forms: { bytes: { do: 'select', paths } },
      apply: (record) => {
        record.select(paths);
        return 'keep';
      },
    },
  ];
}
