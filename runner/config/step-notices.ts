/** What a step says that has no effect: no mistake, since older projects say it, but whoever looks closely is told. */
import type { Where } from './problems.ts';
import { type ConfiguredOxi, configFields } from './step-overrides.ts';
import type { StepSpec } from './steps.ts';

/** A sentence for each such field that somebody has set, those of second chains too. */
export function noticesOf(steps: readonly StepSpec[], oxis: ReadonlyMap<string, ConfiguredOxi>): string[] {
  return steps.flatMap((step) => {
    const oxi = oxis.get(step.oxi);
    return [...(oxi === undefined ? [] : idleFields(step, oxi)), ...noticesOf(step.steps ?? [], oxis)];
  });
}

function idleFields(step: StepSpec, oxi: ConfiguredOxi): string[] {
  const notice = (field: string, why: string): string =>
    `${placeOf(step, field)}: step "${step.id}": "${field}" has no effect: ${why}`;
  const notices: string[] = [];
  const isEnd = oxi.kind === undefined || oxi.kind === 'source' || oxi.kind === 'sink';
  if (step.timeoutSeconds !== undefined && !isEnd && oxi.waits !== true)
    notices.push(notice('timeout_seconds', `"${oxi.name}" waits for nothing outside`));
  // What others leave behind is not known yet.
  if (oxi.idle === undefined || step.references.length > 0) return notices;
  const given = givenFields(step, oxi);
  const idle = oxi.idle(step.resolve(new Map()) as never, step.threads ?? 1);
  for (const { field, why } of idle) if (given.has(field)) notices.push(notice(field, why));
  return notices;
}

/** Canonical names of the fields of its config that somebody has set. */
function givenFields({ raw }: StepSpec, oxi: ConfiguredOxi): Set<string> {
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) return new Set();
  const fields = configFields(oxi);
  return new Set(Object.keys(raw).map((name) => (fields.includes(name) ? name : (oxi.aliases?.[name] ?? name))));
}

function placeOf(step: StepSpec, field: string): string {
  const where: Where = step.locate(field);
  return where.line === 0 ? `--set ${step.id}.${field}` : `${where.file}:${where.line}`;
}
