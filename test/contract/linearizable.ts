/**
 * Whether one order explains all that concurrent clients saw of one document: the search of Wing and Gong (1993) over a register
 * that is read and compared-and-set. An order explains a history when every operation takes effect at one moment between its
 * call and its answer, and each saw what the one before it left.
 */
export type Operation = {
  by: number;
  /** On one clock for all clients, in milliseconds. */
  invoked: number;
  responded: number;
} & (
  | { kind: 'read'; version: number; value: string }
  /** Replaced the version `expected`. */
  | { kind: 'written'; expected: number; version: number; value: string }
  /** Named `expected` and was told that the stored version is another one. */
  | { kind: 'refused'; expected: number; version: number }
);

interface Register {
  version: number;
  /** Empty where nothing is stored. */
  value: string;
}

/** What the register holds after the operation, or undefined where it can't have taken effect now. */
function apply(operation: Operation, { version, value }: Register): Register | undefined {
  switch (operation.kind) {
    case 'read':
      return operation.version === version && operation.value === value ? { version, value } : undefined;
    case 'refused':
      return operation.version === version && operation.expected !== version ? { version, value } : undefined;
    case 'written':
      return operation.expected === version && operation.version > version
        ? { version: operation.version, value: operation.value }
        : undefined;
  }
}

/** The operations in an order that explains them all; undefined where there is none. */
export function explain(history: readonly Operation[]): Operation[] | undefined {
  const failed = new Set<string>();
  const search = (left: readonly Operation[], register: Register): Operation[] | undefined => {
    if (left.length === 0) return [];
    // Whoever began after another had its answer comes after it.
    const firstAnswer = Math.min(...left.map(({ responded }) => responded));
    const candidates = left.filter(({ invoked }) => invoked <= firstAnswer);
    // What changes nothing and fits now may as well come now: it stands in nobody's way.
    const idle = candidates.filter((one) => one.kind !== 'written' && apply(one, register) !== undefined);
    if (idle.length > 0) {
      const rest = search(
        left.filter((one) => !idle.includes(one)),
        register,
      );
      return rest && [...idle, ...rest];
    }
    const seen = `${register.version} ${register.value} ${left.map((one) => history.indexOf(one)).join()}`;
    if (failed.has(seen)) return undefined;
    for (const one of candidates) {
      const next = one.kind === 'written' ? apply(one, register) : undefined;
      const rest =
        next &&
        search(
          left.filter((other) => other !== one),
          next,
        );
      if (rest !== undefined) return [one, ...rest];
    }
    failed.add(seen);
    return undefined;
  };
  return search(history, { version: 0, value: '' });
}
