/** A table for people: a column of names, and columns of short cells that are aligned to the right. */

export interface Column {
  head: string;
  cells: readonly string[];
}

const MARGIN = 2;
const SHORTEST_NAME = 8;

/** Whether nothing would be cut. */
export function fits(names: Column, columns: readonly Column[], width: number): boolean {
  return widthOf(names) + widthOfAll(columns) <= width;
}

/** The head and a line for each name. Names that are too long for `width` are cut, cells never. */
export function tableLines(names: Column, columns: readonly Column[], width: number): string[] {
  const nameWidth = Math.max(SHORTEST_NAME, Math.min(widthOf(names), width - widthOfAll(columns)));
  const line = (of: (column: Column) => string): string => {
    const name = of(names);
    const shown = name.length > nameWidth ? `${name.slice(0, nameWidth - 1)}…` : name.padEnd(nameWidth);
    const cells = columns.map((column) => `  ${of(column).padStart(widthOf(column))}`);
    return `  ${shown}${cells.join('')}`.trimEnd();
  };
  return [line(({ head }) => head), ...names.cells.map((_, i) => line(({ cells }) => cells[i] ?? ''))];
}

function widthOf({ head, cells }: Column): number {
  return Math.max(head.length, ...cells.map((cell) => cell.length));
}

function widthOfAll(columns: readonly Column[]): number {
  return columns.reduce((sum, column) => sum + widthOf(column) + 2, MARGIN);
}
