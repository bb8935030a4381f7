/** Typed definitions of oxis: `config` of `make` is what the schema gives, and the registry sees all of them as one type. */
import * as z from 'zod/mini';
import type {
  BatchOxi,
  FormatterOxi,
  Oxi,
  ParserOxi,
  SinkOxi,
  SourceOxi,
  StepOxi,
  TeeOxi,
} from '../engine/contracts.ts';
import { once } from '../engine/once.ts';

type Schema = z.core.$ZodType;
/** `config`: a schema, or what makes it at its first use. */
type With<S extends Schema, D> = Omit<D, 'config'> & { config: S | (() => S) };

export const defineSource = <S extends Schema>(oxi: With<S, SourceOxi<z.output<S>>>) => defined<SourceOxi>(oxi);
export const defineParser = <S extends Schema>(oxi: With<S, ParserOxi<z.output<S>>>) => defined<ParserOxi>(oxi);
export const defineStep = <S extends Schema>(oxi: With<S, StepOxi<z.output<S>>>) => defined<StepOxi>(oxi);
export const defineFormatter = <S extends Schema>(oxi: With<S, FormatterOxi<z.output<S>>>) =>
  defined<FormatterOxi>(oxi);
export const defineSink = <S extends Schema>(oxi: With<S, SinkOxi<z.output<S>>>) => defined<SinkOxi>(oxi);

export const defineBatch = <S extends Schema>(oxi: With<S, BatchOxi<z.output<S>>>) => defined<BatchOxi>(oxi);
export const defineTee = <S extends Schema>(oxi: With<S, TeeOxi>) => defined<TeeOxi>(oxi);

/** The schema is made when it is first asked for: most runs use a few oxis, and their threads need no schema at all. */
function defined<D extends Oxi>(oxi: { config: Schema | (() => Schema) }): D {
  const { config } = oxi;
  const get = typeof config === 'function' ? once(config) : () => config;
  return Object.defineProperty({ ...oxi }, 'config', { get, enumerable: true }) as unknown as D;
}

/** Says what a field of a config is for; `unit` is that of a bare number. */
export function field<S extends Schema>(
  schema: S,
  description: string,
  more: { unit?: string; expression?: true; secret?: true } = {},
): S {
  z.globalRegistry.add(schema, { description, ...more });
  return schema;
}

/** `inOrder(name, value)`: values by name, as a Map in the order in which they are written. */
export { inOrder } from '../config/fields.ts';

export type OxiRegistry = ReadonlyMap<string, Oxi>;
