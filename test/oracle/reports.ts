/** What the examples with CSV have to write, computed without the runner. */
import { parse } from 'csv-parse/sync';

type Row = Record<string, string>;

/** Names of the columns in the report, and those of the records in the order in which they stay. */
const KEPT: readonly (readonly [string, string])[] = [
  ['Airport Name', 'airport'],
  ['Aircraft Make Model', 'aircraft'],
  ['Flight Date', 'date'],
  ['Origin State', 'state'],
  ['Wildlife Size', 'size'],
  ['Wildlife Species', 'species'],
  ['Time of day', 'time_of_day'],
  ['Cost Other', 'cost_other'],
  ['Cost Repair', 'cost_repair'],
  ['Speed IAS in knots', 'speed_knots'],
];
const NUMBERS = new Set(['cost_other', 'cost_repair', 'speed_knots']);

/** Pipeline `birdstrikes`: the lines that it writes, and the records that it finds doubtful, as text. */
export function birdstrikes(text: string): { good: string[]; doubtful: string[] } {
  const good: string[] = [];
  const doubtful: string[] = [];
  for (const row of parse(text, { columns: true }) as Row[]) {
    const record: Record<string, string | number | null> = {};
    for (const [column, name] of KEPT) {
      const cell = row[column] ?? '';
      record[name] = NUMBERS.has(name) ? (cell === '' ? null : Number(cell)) : cell;
    }
    const damage = (row['Effect Amount of damage'] ?? '').toLowerCase();
    const phase = (row['Phase of flight'] ?? '').toLowerCase();
    Object.assign(record, { damage, phase, operator: (row['Aircraft Airline Operator'] ?? '').replace('*', '') });
    const flies = ['climb', 'descent', 'approach'].includes(phase);
    const isDoubtful =
      damage.length === 1 || (flies && record.speed_knots === 0) || (damage === 'none' && record.cost_repair !== 0);
    (isDoubtful ? doubtful : good).push(JSON.stringify(record));
  }
  return { good, doubtful };
}

/** Pipeline `rides` of the older kind: one row of text cells for each ride, empty cells left out. */
export function rides(text: string): Row[] {
  const { report } = JSON.parse(text) as { report: { rides: Record<string, unknown>[] } };
  return report.rides.map((ride) => nonEmpty(flat(ride, '.')));
}

/** Pipeline `rides_from_lists`: the same with `_` between keys. */
export function ridesFromLists(text: string): Row[] {
  return (JSON.parse(text) as Record<string, unknown>[]).map((ride) => nonEmpty(flat(ride, '_')));
}

/** Rows of CSV text under a header, empty cells left out. */
export function rowsOf(text: string): Row[] {
  return (parse(text, { columns: true }) as Row[]).map(nonEmpty);
}

export function nonEmpty(row: Row): Row {
  return Object.fromEntries(Object.entries(row).filter(([, cell]) => cell !== ''));
}

/** As the older program flattened: keys joined, values of arrays joined by commas, an empty object as it is. */
function flat(record: Record<string, unknown>, separator: string, prefix = ''): Row {
  const row: Row = {};
  for (const [key, value] of Object.entries(record)) {
    const name = `${prefix}${key}`;
    if (Array.isArray(value)) row[name] = value.map(cell).join(',');
    else if (typeof value === 'object' && value !== null && Object.keys(value).length > 0)
      Object.assign(row, flat(value as Record<string, unknown>, separator, `${name}${separator}`));
    else row[name] = cell(value);
  }
  return row;
}

function cell(value: unknown): string {
  if (value === null) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
}
