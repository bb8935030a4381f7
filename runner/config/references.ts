/**
 * References in string values: `${VAR}`, `${VAR:-default}`, `${VAR:?message}`, `${steps.ID.FIELD}`, `$${` for a plain `${`.
 * They are found after YAML was parsed and replaced once: what a variable holds is text, whatever it looks like.
 */
import type { Json } from '../state/store.ts';
import { fitsExpression } from './expression-guard.ts';

export interface StepReference {
  readonly step: string;
  /** Field names from the step's metadata down. */
  readonly path: readonly string[];
}

type Part =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'variable'; readonly name: string; readonly fallback?: string; readonly demand?: string }
  | ({ readonly kind: 'step'; readonly fallback?: string } & StepReference);

/** Where the values of references come from. `step` answers undefined where it can't be known before the run. */
export interface Scope {
  variable(name: string): string | undefined;
  /** What stands for a variable that is not set, where it does not have to be. */
  standIn?(name: string): string;
  step(reference: StepReference): { known: boolean; value?: Json | undefined; problem?: string } | undefined;
}

export interface Expanded {
  readonly text: string;
  /** Names of the variables that the value came from. */
  readonly variables: readonly string[];
  /** References to steps: those whose value is not known yet make the whole value `deferred`. */
  readonly steps: readonly StepReference[];
  readonly deferred: boolean;
  /** Something stands in it for a variable that is not set. */
  readonly standsIn?: boolean;
}

const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]*$/;
const STEP_PATH = /^steps\.([A-Za-z_][A-Za-z0-9_-]*)\.([A-Za-z0-9_$-]+(?:\.[A-Za-z0-9_$-]+)*)$/;

/** Replaces the references in `text`; the error is a sentence without a place. `expression`: text is an expression. */
export function expand(text: string, scope: Scope, expression = false): Expanded | { readonly error: string } {
  if (!text.includes('${')) return { text, variables: [], steps: [], deferred: false };
  const parts = parseTemplate(text);
  if (typeof parts === 'string') return { error: parts };
  const out: string[] = [];
  const variables: string[] = [];
  const steps: StepReference[] = [];
  let deferred = false;
  let standsIn = false;
  for (const part of parts) {
    if (part.kind === 'text') {
      out.push(part.text);
    } else if (part.kind === 'variable') {
      const value = scope.variable(part.name);
      const missing =
        value === undefined || (value === '' && (part.fallback !== undefined || part.demand !== undefined));
      if (!missing) variables.push(part.name);
      else if (part.fallback === undefined && scope.standIn === undefined)
        return { error: unset(part.name, part.demand) };
      standsIn ||= missing && part.fallback === undefined;
      if (!missing && expression && !fitsExpression(out.join(''), value)) return { error: unfit(part.name) };
      out.push(missing ? (part.fallback ?? standIn(scope, part.name, expression)) : value);
    } else {
      steps.push({ step: part.step, path: part.path });
      const found = scope.step({ step: part.step, path: part.path });
      if (found === undefined) deferred = true;
      else if (found.problem !== undefined && !(found.known && part.fallback !== undefined))
        return { error: found.problem };
      else {
        const value = stepText(found.value, part.fallback);
        if (expression && value !== part.fallback && !fitsExpression(out.join(''), value))
          return { error: unfit(`steps.${part.step}`) };
        out.push(value);
      }
    }
  }
  return { text: deferred ? '' : out.join(''), variables, steps, deferred, standsIn };
}

function standIn(scope: Scope, name: string, expression: boolean): string {
  const text = scope.standIn?.(name) ?? '';
  // A digit can stand in any expression, inside a text and outside.
  return expression ? '0' : text;
}

function stepText(value: Json | undefined, fallback: string | undefined): string {
  if (value === undefined || value === null || value === '') return fallback ?? '';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

function unfit(name: string): string {
  const problem = `what \${${name}} holds would change the expression`;
  if (!name.startsWith('steps.')) return `${problem}; use env.${name} in it, without \${}`;
  return `${problem}; put it within quotes, or use ${name} without \${} in a condition`;
}

function unset(name: string, demand: string | undefined): string {
  if (demand !== undefined && demand !== '') return `\${${name}} is not set: ${demand}`;
  return `\${${name}} is not set; set the variable ${name}, or give a default as in \${${name}:-default}`;
}

/** The parts of `text`, or what is wrong with it. */
function parseTemplate(text: string): Part[] | string {
  const parts: Part[] = [];
  let plain = '';
  let at = 0;
  while (at < text.length) {
    if (text.startsWith('$${', at)) {
      plain += '${';
      at += 3;
    } else if (text.startsWith('${', at)) {
      const end = closing(text, at + 2);
      if (end === undefined) return 'a reference ${ has no closing }; write $${ for a plain ${';
      if (plain !== '') parts.push({ kind: 'text', text: plain });
      plain = '';
      const part = parseReference(text.slice(at + 2, end));
      if (typeof part === 'string') return part;
      parts.push(part);
      at = end + 1;
    } else {
      plain += text[at];
      at += 1;
    }
  }
  if (plain !== '') parts.push({ kind: 'text', text: plain });
  return parts;
}

/** Index of the brace that closes a reference; braces in a default pair up. */
function closing(text: string, from: number): number | undefined {
  let open = 0;
  for (let at = from; at < text.length; at += 1) {
    if (text[at] === '{') open += 1;
    else if (text[at] === '}' && open === 0) return at;
    else if (text[at] === '}') open -= 1;
  }
  return undefined;
}

function parseReference(body: string): Part | string {
  const colon = /:[-?]/.exec(body);
  const name = colon === null ? body : body.slice(0, colon.index);
  const rest = colon === null ? undefined : body.slice(colon.index + 2);
  if (rest?.includes('${'))
    return 'the default of a reference can\'t hold another reference; set a variable in "environment" for it';
  const step = STEP_PATH.exec(name);
  if (step !== null) {
    if (colon?.[0] === ':?') return `\${${name}} can have a default (:-) but no message (:?)`;
    const names = (step[2] ?? '').split('.');
    const path = names[0] === 'metadata' && names.length > 1 ? names.slice(1) : names;
    return { kind: 'step', step: step[1] ?? '', path, ...(rest === undefined ? {} : { fallback: rest }) };
  }
  if (!VARIABLE.test(name)) {
    return 'a reference is ${NAME}, ${NAME:-default}, ${NAME:?message} or ${steps.ID.FIELD}; write $${ for a plain ${';
  }
  if (rest === undefined) return { kind: 'variable', name };
  return colon?.[0] === ':?' ? { kind: 'variable', name, demand: rest } : { kind: 'variable', name, fallback: rest };
}
