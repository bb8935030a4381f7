/** "Did you mean": the known name that a mistyped one is nearest to. */

/** Edits between two names: insert, delete, replace, swap of neighbours. Names here are short. */
function distance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, column) => column)];
  const at = (row: number, column: number) => rows[row]?.[column] ?? 0;
  for (let row = 1; row <= a.length; row += 1) {
    const current = [row];
    rows.push(current);
    for (let column = 1; column <= b.length; column += 1) {
      const same = a[row - 1] === b[column - 1] ? 0 : 1;
      let cost = Math.min(at(row - 1, column) + 1, at(row, column - 1) + 1, at(row - 1, column - 1) + same);
      if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]) {
        cost = Math.min(cost, at(row - 2, column - 2) + 1);
      }
      current.push(cost);
    }
  }
  return at(a.length, b.length);
}

/** The nearest of `known`, or undefined where none is near enough to be a slip of the fingers. */
export function nearest(name: string, known: Iterable<string>): string | undefined {
  const wanted = name.slice(0, 64).toLowerCase();
  const limit = Math.max(1, Math.floor(wanted.length / 3));
  let best: { name: string; cost: number } | undefined;
  for (const candidate of known) {
    const cost = distance(wanted, candidate.toLowerCase());
    if (cost <= limit && (best === undefined || cost < best.cost)) best = { name: candidate, cost };
  }
  return best?.name;
}

/** `; did you mean "x"?` or nothing. */
export function didYouMean(name: string, known: Iterable<string>): string {
  const near = nearest(name, known);
  return near === undefined ? '' : `; did you mean "${near}"?`;
}

/** "a, b, c", or "a, b, c and 7 more" beyond `most`. */
export function listNames(names: readonly string[], most = 20): string {
  if (names.length <= most) return names.join(', ');
  return `${names.slice(0, most).join(', ')} and ${names.length - most} more`;
}
