/** Typed definitions of oxis: `config` of `make` is what the schema gives, and the registry sees all of them as one type. */
import type * as z from 'zod';
import type { FormatterOxi, Oxi, ParserOxi, SinkOxi, SourceOxi, StepOxi } from '../engine/contracts.ts';

type Schema = z.ZodType;
type With<S extends Schema, D> = Omit<D, 'config'> & { config: S };

export const defineSource = <S extends Schema>(oxi: With<S, SourceOxi<z.output<S>>>): SourceOxi =>
  oxi as unknown as SourceOxi;
export const defineParser = <S extends Schema>(oxi: With<S, ParserOxi<z.output<S>>>): ParserOxi =>
  oxi as unknown as ParserOxi;
export const defineStep = <S extends Schema>(oxi: With<S, StepOxi<z.output<S>>>): StepOxi => oxi as unknown as StepOxi;
export const defineFormatter = <S extends Schema>(oxi: With<S, FormatterOxi<z.output<S>>>): FormatterOxi =>
  oxi as unknown as FormatterOxi;
export const defineSink = <S extends Schema>(oxi: With<S, SinkOxi<z.output<S>>>): SinkOxi => oxi as unknown as SinkOxi;

export type OxiRegistry = ReadonlyMap<string, Oxi>;
