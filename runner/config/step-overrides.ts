/** Puts `--set` values into a step: a field of the oxi's config first, else a universal field. */
import type { $ZodType } from 'zod/v4/core';
import { once } from '../engine/once.ts';
import { didYouMean, listNames } from './nearest.ts';
import { applyOverride, type Override } from './overrides.ts';
import { stepSchema, threadsSchema } from './pipeline-schema.ts';
import type { Problems } from './problems.ts';
import { core } from './schema-kinds.ts';
import type { MapNode } from './tree.ts';

/** What the loader needs to know of an oxi; the definitions of `engine/contracts.ts` have it. */
export interface ConfiguredOxi {
  readonly name: string;
  readonly summary?: string;
  readonly config: $ZodType;
  readonly aliases?: Readonly<Record<string, string>>;
  /** The field of its config that holds steps of their own. */
  readonly nested?: string;
  readonly kind?: string;
  /** Waits for something outside. */
  readonly waits?: true;
  /** Fields that have no effect beside the others, and why. */
  idle?(config: never, threads: number): readonly { readonly field: string; readonly why: string }[];
}

/** Names of the fields that every step has. */
export const universalFields = once((): readonly string[] => Object.keys(stepSchema().shape));

/** The step's map and its config with the `--set` options applied: a field of the oxi, else a universal one. */
export function overridden(
  node: MapNode,
  oxi: ConfiguredOxi | undefined,
  overrides: readonly Override[],
  problems: Problems,
): { universal: MapNode; config: MapNode } {
  const given = node.entries.get('config')?.value;
  let universal = node;
  let config: MapNode = { kind: 'map', entries: new Map(), where: given?.where ?? node.where };
  if (given?.kind === 'map') config = given;
  else if (given !== undefined && !(given.kind === 'scalar' && given.value === null))
    problems.add(given.where, '"config" must be a map of fields');
  if (oxi === undefined) return { universal, config };
  const fields = configFields(oxi);
  for (const override of overrides) {
    const path = override.path[0] === 'config' && override.path.length > 1 ? override.path.slice(1) : override.path;
    const [name = ''] = path;
    const canonical =
      oxi.aliases !== undefined && Object.hasOwn(oxi.aliases, name) ? (oxi.aliases[name] ?? name) : name;
    if (fields.includes(canonical)) {
      const spellings = Object.entries(oxi.aliases ?? {}).flatMap(([alias, target]) =>
        target === canonical ? [alias] : [],
      );
      const old = spellings.find((alias) => config.entries.has(alias));
      const value = old === undefined ? undefined : config.entries.get(old);
      const bare = keep(config, (key) => !spellings.includes(key));
      const renamed =
        value === undefined || path.length === 1
          ? bare
          : { ...bare, entries: new Map([...bare.entries, [canonical, value]]) };
      config = applyOverride(renamed, oxi.config, [canonical, ...path.slice(1)], override, problems);
    } else if (name === 'threads') {
      config = applyOverride(config, threadsSchema(), path, override, problems);
    } else if (universalFields().includes(name) && !['name', 'id', 'config'].includes(name)) {
      universal = applyOverride(universal, stepSchema(), path, override, problems);
    } else {
      const known = [
        ...fields,
        ...universalFields().filter((field) => !['name', 'id', 'config'].includes(field)),
        'threads',
      ];
      const near = didYouMean(name, known);
      problems.add(
        override.where,
        `${oxi.name} has no field "${name}"${near === '' ? `; it has: ${listNames(fields)}` : near}`,
      );
    }
  }
  return { universal, config };
}

/** Canonical names of the fields of an oxi's config. */
export function configFields(oxi: ConfiguredOxi): string[] {
  const { def } = core(oxi.config)._zod;
  return def.type === 'object' ? Object.keys(def.shape) : [];
}

/** The map with only these keys. */
export function keep(node: MapNode, wanted: (name: string) => boolean): MapNode {
  return { ...node, entries: new Map([...node.entries].filter(([name]) => wanted(name))) };
}
