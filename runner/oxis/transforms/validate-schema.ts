/** `validate: schema`: records against a JSON Schema, by functions that ajv compiles once a step. */
import type { ErrorObject, ValidateFunction } from 'ajv/dist/2020.js';
import type { Block, BlockStep, FailRecord, StepContext } from '../../engine/contracts.ts';
import { RecordError } from '../../engine/contracts.ts';
import { compileRegex } from '../../expressions/regex.ts';
import { bufferOf, keepRecords } from '../../kernel/keep.ts';
import { loadPackage } from '../packages/load.ts';
import { refuseField } from './field-path.ts';
import { compileProblem, type JsonSchema, schemaProblem } from './schema-problem.ts';

/** The part of a key of the record that a message shows. */
const SHOWN = 40;
/** Of the values that a schema allows, so many are shown. */
const SHOWN_VALUES = 8;

export class SchemaStep implements BlockStep {
  readonly form = 'block';
  readonly cardinality = 'one';
  readonly state = 'none';
  readonly #validate: ValidateFunction;

  /** `file`: where the schema stands, if not in the pipeline. Throws OxiError CONFIG_INVALID where this is no schema. */
  constructor(schema: JsonSchema, step: string, file: string | undefined) {
    const refuse = (problem: string, cause?: unknown): never =>
      refuseField(step, 'schema', file === undefined ? problem : `${file}: ${problem}`, cause);
    this.#validate = compileSchema(schema, refuse);
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

function compileSchema(schema: JsonSchema, refuse: (problem: string, cause?: unknown) => never): ValidateFunction {
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
  const problem = schemaProblem(ajv, schema);
  if (problem !== undefined) return refuse(problem);
  let validate: ValidateFunction;
  try {
    validate = ajv.compile(schema);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return refuse(compileProblem(error, schema), error);
  }
  if ('$async' in validate) return refuse('$async has no place in a pipeline');
  return validate;
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
