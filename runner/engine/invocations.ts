/** The requests for which a run was worked on, by the names that they were given: it is over for each of them. */
import type { RunDocument } from './documents.ts';

type Named = Pick<RunDocument, 'invocation' | 'invocations'>;

/** So many of the newest are known. */
const KEPT = 64;

/** The run was worked on for this request; a request without a name is never the same. */
export function isFor({ invocation, invocations = [] }: Named, asked: string | undefined): boolean {
  return asked !== undefined && (invocation === asked || invocations.includes(asked));
}

/** What a run's document says once it is worked on for this request, too. `run`: as it was before. */
export function alsoFor(run: Named | undefined, asked: string | undefined): Named {
  const { invocation, invocations = invocation === undefined ? [] : [invocation] } = run ?? {};
  if (asked === undefined || invocation === asked) return namedOf(invocations);
  return namedOf([...invocations.filter((one) => one !== asked), asked].slice(-KEPT));
}

function namedOf(invocations: readonly string[]): Named {
  const invocation = invocations.at(-1);
  if (invocation === undefined) return {};
  return invocations.length === 1 ? { invocation } : { invocation, invocations: [...invocations] };
}
