/** `validate: schema`: records against a JSON Schema, by functions that ajv compiles once a step. */
import type { ErrorObject, ValidateFunction } from 'ajv/dist/2020.js';
import type { Block, BlockStep, FailRecord, StepContext } from '../../engine/contracts.ts';
import { RecordError } from '../../engine/contracts.ts';
import { compileRegex } from '../../expressions/regex.ts';
import { bufferOf, keepRecords } from '../../kernel/keep.ts';
import { loadPackage } from '../packages/load.ts';
import { refuseField } from './field-path.ts';

/** The part of a key of the record that a message shows. */
const SHOWN = 40;
/** Of the values that a schema allows, so many are shown. */
const SHOWN_VALUES = 8;

export class SchemaStep implements BlockStep {
  readonly form = 'block';
  readonly cardinality = 'one';
  readonly state = 'none';
  readonly #validate: ValidateFunction;

  /** Throws OxiError CONFIG_INVALID where this is no schema. */
  constructor(schema: Record<string, unknown> | boolean, step: string) {
    this.#validate = compileSchema(schema, step);
  }

  process(block: Block, _context: StepContext, fail: FailRecord): Block {
    const bytes = bufferOf(block);
    return keepRecords(block, (i) => {
      const record: unknown = JSON.parse(bytes.toString('utf8', block.spans[2 * i], block.spans[2 * i + 1]));
      if (this.#validate(record)) return true;
      fail(i, new RecordError(sentence(this.#validate.errors?.[0]), undefined, 'SCHEMA'));
      return false;
    });
  }
}

function compileSchema(schema: Record<string, unknown> | boolean, step: string): ValidateFunction {
  const { Ajv2020, addFormats } = loadPackage('ajv');
  const ajv = new Ajv2020({
    strict: true,
    strictTypes: false,
    strictTuples: false,
    strictRequired: false,
    allowUnionTypes: true,
    // What objects inherit is no field of theirs.
    ownProperties: true,
    // 0.07 is a multiple of 0.01, though not among doubles.
    multipleOfPrecision: 9,
    logger: false,
    code: { regExp: linearPatterns() },
  });
  addFormats(ajv);
  let validate: ValidateFunction;
  try {
    validate = ajv.compile(schema);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return refuseField(step, 'schema', problemOf(error), error);
  }
  if ('$async' in validate) return refuseField(step, 'schema', '$async has no place in a pipeline');
  return validate;
}

function problemOf(error: Error): string {
  if ('missingRef' in error) return `${error.message}; a $ref may point into the schema itself only`;
  if (error.message.startsWith('no schema with key or ref "http'))
    return 'its "$schema" must be that of draft 2020-12 (https://json-schema.org/draft/2020-12/schema), or be left out';
  return error.message.replaceAll(/\bdata\//g, '/');
}

interface Pattern {
  test(text: string): boolean;
  toString(): string;
}

/** Patterns as expressions match them: a record can't make one slow. */
function linearPatterns(): { (pattern: string): Pattern; code: string } {
  const compile = (pattern: string): Pattern => {
    const regex = compileRegex(pattern);
    // Ajv takes patterns with the same text for the same one.
    return { test: (text) => regex.test(text, () => undefined), toString: () => `/${pattern}/` };
  };
  return Object.assign(compile, { code: 'linearPattern' });
}

/** Where and what, from the schema: nothing of the record but names of its fields. */
function sentence(error: ErrorObject | undefined): string {
  if (error === undefined) return 'it breaks the schema';
  const path = error.instancePath
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    .map((part) => (part.length > SHOWN ? `${part.slice(0, SHOWN)}...` : part))
    .join('.');
  return `${path === '' ? 'the record' : `"${path}"`} ${ruleOf(error)}`;
}

/** What the schema asks for, with the values where ajv says only that there are some. */
function ruleOf({ keyword, params, message = 'breaks the schema' }: ErrorObject): string {
  const short = (value: unknown): string => {
    const text = JSON.stringify(value);
    return text.length > SHOWN ? `${text.slice(0, SHOWN)}...` : text;
  };
  if (keyword === 'const') return `must be ${short(params.allowedValue)}`;
  if (keyword !== 'enum') return message;
  const values: readonly unknown[] = params.allowedValues;
  const more = values.length > SHOWN_VALUES ? ` and ${values.length - SHOWN_VALUES} more` : '';
  return `must be one of ${values.slice(0, SHOWN_VALUES).map(short).join(', ')}${more}`;
}
