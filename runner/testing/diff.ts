/** Two lists side by side: which elements differ, and how that looks to a person, within the size of a screen. */

/** An element that differs from the one beside it, or stands on one side only. Indices count from 0. */
export interface Hunk {
  expected?: { index: number; value: unknown };
  got?: { index: number; value: unknown };
}

/** Comparisons that finding the best pairs may take; beyond it elements are paired by their place. */
const MOST = 1_000_000;

export function differing(expected: readonly unknown[], got: readonly unknown[]): Hunk[] {
  const [a, b] = [expected.map(canonical), got.map(canonical)];
  let from = 0;
  while (from < a.length && from < b.length && a[from] === b[from]) from++;
  let [ea, eb] = [a.length, b.length];
  while (ea > from && eb > from && a[ea - 1] === b[eb - 1]) {
    ea--;
    eb--;
  }
  const hunks: Hunk[] = [];
  const gap = (a0: number, a1: number, b0: number, b1: number): void => {
    for (let i = 0; i < Math.max(a1 - a0, b1 - b0); i++) {
      const [x, y] = [a0 + i, b0 + i];
      if (x < a1 && y < b1 && a[x] === b[y]) continue;
      hunks.push({
        ...(x < a1 ? { expected: { index: x, value: expected[x] } } : {}),
        ...(y < b1 ? { got: { index: y, value: got[y] } } : {}),
      });
    }
  };
  const [n, m] = [ea - from, eb - from];
  if (n * m === 0 || n * m > MOST) {
    gap(from, ea, from, eb);
    return hunks;
  }
  // Longest common subsequence, from the end.
  const width = m + 1;
  const length = new Uint32Array((n + 1) * width);
  for (let i = n - 1; i >= 0; i--)
    for (let j = m - 1; j >= 0; j--)
      length[i * width + j] =
        a[from + i] === b[from + j]
          ? (length[(i + 1) * width + j + 1] ?? 0) + 1
          : Math.max(length[(i + 1) * width + j] ?? 0, length[i * width + j + 1] ?? 0);
  let [i, j, i0, j0] = [0, 0, 0, 0];
  while (i < n && j < m) {
    if (a[from + i] === b[from + j]) {
      gap(from + i0, from + i, from + j0, from + j);
      i0 = ++i;
      j0 = ++j;
    } else if ((length[(i + 1) * width + j] ?? 0) >= (length[i * width + j + 1] ?? 0)) i++;
    else j++;
  }
  gap(from + i0, ea, from + j0, eb);
  return hunks;
}

/** Equal for equal values: the order of keys means nothing, 1 and 1.0 are the same. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) =>
    isMap(part) ? Object.fromEntries(Object.entries(part).sort(([x], [y]) => (x < y ? -1 : 1))) : part,
  );
}

export function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

// ---------------------------------------------------------------- for people

interface Segment {
  text: string;
  marked: boolean;
}

export interface Look {
  /** Characters of a line, and lines, at most. */
  columns: number;
  rows: number;
  /** Lines are marked by colour; else by signs under them. */
  colour: boolean;
  /** Takes secrets and control characters out of a text. */
  clean(text: string): string;
}

const INDENT = '    ';
const LABELS = { expected: 'expected ', got: 'got      ' } as const;
const COLOURS = { expected: 32, got: 31 } as const;

/** The hunks as lines of text, as many as there is room for, and how many more there are. `what`: "record" or "line". */
export function diffLines(hunks: readonly Hunk[], what: string, look: Look): string[] {
  const lines: string[] = [];
  let shown = 0;
  for (const hunk of hunks) {
    const these = hunkLines(hunk, what, look);
    if (shown > 0 && lines.length + these.length > look.rows - 1) break;
    lines.push(...these);
    shown++;
  }
  const left = hunks.length - shown;
  if (left > 0) lines.push(`  and ${left} more ${left === 1 ? `${what} differs` : `${what}s differ`}`);
  return lines;
}

function hunkLines({ expected, got }: Hunk, what: string, look: Look): string[] {
  const head = `  ${what} ${((expected ?? got)?.index ?? 0) + 1}${expected === undefined ? ' too many' : got === undefined ? ' missing' : ''}`;
  if (expected === undefined || got === undefined) {
    const side = expected === undefined ? 'got' : 'expected';
    const text = plainText((expected ?? got)?.value, what);
    return [head, ...sideLines(side, [{ text, marked: false }], look)];
  }
  const room = look.columns - INDENT.length - LABELS.got.length;
  const whole = pair(expected.value, got.value, what, false, room);
  const fits = whole.every((side) => side.reduce((sum, { text }) => sum + text.length, 0) <= room);
  const [left, right] = fits ? whole : pair(expected.value, got.value, what, true, room);
  return [head, ...sideLines('expected', left, look), ...sideLines('got', right, look)];
}

function sideLines(side: keyof typeof LABELS, segments: readonly Segment[], look: Look): string[] {
  let room = look.columns - INDENT.length - LABELS[side].length;
  let line = INDENT + LABELS[side];
  let marks = ' '.repeat(line.length);
  for (const { text, marked } of segments) {
    const clean = look.clean(text);
    const part = clean.length <= room ? clean : `${clean.slice(0, Math.max(0, room - 1))}…`;
    if (room <= 0) break;
    room -= part.length;
    line += marked && look.colour ? `\u001b[${COLOURS[side]}m${part}\u001b[0m` : part;
    marks += (marked ? '^' : ' ').repeat(part.length);
  }
  return look.colour || marks.trim() === '' ? [line] : [line, marks.trimEnd()];
}

function plainText(value: unknown, what: string): string {
  return what === 'line' ? String(value) : JSON.stringify(value);
}

/** Both sides in pieces, those that differ marked; `brief`: what is the same is left out. */
function pair(expected: unknown, got: unknown, what: string, brief: boolean, room: number): [Segment[], Segment[]] {
  if (what === 'line') return pairText(String(expected), String(got), brief);
  const sides: [Segment[], Segment[]] = [[], []];
  const most = Math.max(20, Math.floor(room / 2));
  const put = (at: 0 | 1, text: string, marked = false): void => {
    const shown = brief && marked && text.length > most ? `${text.slice(0, most)}…` : text;
    sides[at].push({ text: shown, marked });
  };
  const both = (text: string): void => {
    put(0, text);
    put(1, text);
  };
  const walk = (x: unknown, y: unknown): void => {
    const isList = Array.isArray(x) && Array.isArray(y);
    if (!isList && !(isMap(x) && isMap(y))) {
      put(0, JSON.stringify(x), true);
      put(1, JSON.stringify(y), true);
      return;
    }
    const [one, other] = [new Map(Object.entries(x)), new Map(Object.entries(y))];
    both(isList ? '[' : '{');
    const begun = [false, false];
    let elided = false;
    const comma = (at: 0 | 1): void => {
      if (begun[at]) put(at, ',');
      begun[at] = true;
    };
    for (const key of new Set([...one.keys(), ...other.keys()])) {
      const name = isList ? '' : `${JSON.stringify(key)}:`;
      const [inX, inY] = [one.has(key), other.has(key)];
      if (inX && inY && canonical(one.get(key)) === canonical(other.get(key))) {
        if (brief && elided) continue;
        comma(0);
        comma(1);
        both(brief ? '…' : name + JSON.stringify(one.get(key)));
        elided = true;
        continue;
      }
      elided = false;
      if (inX) comma(0);
      if (inY) comma(1);
      if (inX && inY) {
        both(name);
        walk(one.get(key), other.get(key));
      } else if (inX) put(0, name + JSON.stringify(one.get(key)), true);
      else put(1, name + JSON.stringify(other.get(key)), true);
    }
    both(isList ? ']' : '}');
  };
  walk(expected, got);
  return sides;
}

/** Two lines: what stands between their common beginning and end. */
function pairText(expected: string, got: string, brief: boolean): [Segment[], Segment[]] {
  let start = 0;
  while (start < Math.min(expected.length, got.length) && expected[start] === got[start]) start++;
  let end = 0;
  while (end < Math.min(expected.length, got.length) - start && expected.at(-1 - end) === got.at(-1 - end)) end++;
  const kept = brief ? Math.min(start, 20) : start;
  const side = (text: string): Segment[] => [
    { text: (kept < start ? '…' : '') + text.slice(start - kept, start), marked: false },
    { text: text.slice(start, text.length - end), marked: true },
    { text: text.slice(text.length - end), marked: false },
  ];
  return [side(expected), side(got)];
}
