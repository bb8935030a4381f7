// The tables of the page. A column that has nothing to say in any row is left out.

import { el } from './elements.js';
import { bytes, compact, count, NONE, percent, share, time } from './format.js';

/** What a step's threads do with their time. */
const TIMES = [
  ['busy_percent', 'busy', 'Works'],
  ['wait_input_percent', 'input', 'Waits for input'],
  ['wait_room_percent', 'room', 'Waits for room'],
  ['wait_outside_percent', 'outside', 'Waits for others'],
];

/** `columns` are `[title, cell of a row, has something to say about a row, class]`. */
function table(caption, rows, columns, rowClass = () => null) {
  const shown = columns.filter(([, , says]) => says === undefined || rows.some(says));
  return el(
    'div',
    { class: 'wide' },
    el(
      'table',
      { 'aria-label': caption },
      el(
        'thead',
        {},
        el(
          'tr',
          {},
          shown.map(([title, , , kind]) => el('th', { scope: 'col', class: kind }, title)),
        ),
      ),
      el(
        'tbody',
        {},
        rows.map((row) =>
          el(
            'tr',
            { class: rowClass(row) },
            shown.map(([, cell, , kind]) => el('td', { class: kind }, cell(row))),
          ),
        ),
      ),
    ),
  );
}

export function oxiTable(oxis, bottleneck) {
  if (oxis.length === 0) return null;
  const known = (field) => (oxi) => oxi[field] !== null && oxi[field] !== undefined;
  const some = (field) => (oxi) => oxi[field] > 0;
  const timed = oxis.some(known('busy_percent'));
  return [
    el('h2', {}, 'Oxis'),
    table(
      'Oxis',
      oxis,
      [
        ['Step', (oxi) => [oxi.step, oxi.bottleneck ? el('span', { class: 'badge held' }, 'Bottleneck') : null]],
        ['Oxi', (oxi) => oxi.oxi, (oxi) => oxi.oxi !== oxi.step],
        ['Kind', (oxi) => oxi.kind],
        ['In', (oxi) => (oxi.kind === 'source' ? NONE : count(oxi.records_in)), undefined, 'number'],
        ['Out', (oxi) => count(oxi.records_out), undefined, 'number'],
        ['Bytes in', (oxi) => (oxi.bytes_in > 0 ? bytes(oxi.bytes_in) : NONE), some('bytes_in'), 'number'],
        ['Bytes out', (oxi) => (oxi.bytes_out > 0 ? bytes(oxi.bytes_out) : NONE), some('bytes_out'), 'number'],
        ['Errors', (oxi) => count(oxi.errors), some('errors'), 'number'],
        ['Rows/s', (oxi) => compact(oxi.rate_per_s), known('rate_per_s'), 'number'],
        ['Time', times, known('busy_percent')],
        ['Queue', (oxi) => share(oxi.queue_fill), known('queue_fill'), 'number'],
        [
          'Memory',
          (oxi) => (known('memory_mb')(oxi) ? `${count(oxi.memory_mb)} MB` : '–'),
          known('memory_mb'),
          'number',
        ],
      ],
      (oxi) => (oxi.bottleneck ? 'bottleneck' : null),
    ),
    timed
      ? el(
          'p',
          { class: 'legend quiet' },
          TIMES.map(([, kind, label]) => el('span', {}, el('i', { class: kind }), label)),
        )
      : null,
    bottleneck ? el('p', { class: 'quiet' }, `Bottleneck: ${bottleneck.reason}`) : null,
  ];
}

/** A strip of what the time went into, and how much was work; above 100 % there is more than one thread. */
function times(oxi) {
  const all = TIMES.map(([field, kind, label]) => [oxi[field] ?? 0, kind, label]);
  const whole = Math.max(
    100,
    all.reduce((sum, [value]) => sum + value, 0),
  );
  const title = all.map(([value, , label]) => `${label}: ${percent(value)}`).join(', ');
  return el(
    'div',
    { class: 'times', title },
    el(
      'div',
      { class: 'strip' },
      all.map(([value, kind]) => el('i', { class: kind, style: { width: `${(value / whole) * 100}%` } })),
    ),
    percent(oxi.busy_percent),
  );
}

export function checkpointTable(checkpoints) {
  if (checkpoints.length === 0) return null;
  return [
    el('h2', {}, 'Checkpoints'),
    table('Checkpoints', checkpoints.toReversed(), [
      ['No.', (one) => count(one.n), undefined, 'number'],
      ['At', (one) => time(one.ts), undefined, 'when'],
      ['Kind', (one) => one.grade],
      ['Attempt', (one) => count(one.attempt), undefined, 'number'],
      ['Rows', (one) => count(one.records), undefined, 'number'],
      ['Bytes', (one) => bytes(one.bytes), undefined, 'number'],
      ['Parts done', (one) => `${count(one.splits_done)} of ${count(one.splits_total)}`, undefined, 'number'],
    ]),
  ];
}

/** Where a next attempt would go on. */
export function positionTable(positions) {
  if (positions.length === 0) return null;
  return [
    el('h2', {}, 'Parts under way at the last checkpoint'),
    table('Parts', positions, [
      ['Part', (one) => one.name],
      ['Read', (one) => bytes(one.offset), undefined, 'number'],
      ['Of', (one) => bytes(one.size), (one) => one.size !== null, 'number'],
      ['', (one) => (one.size > 0 ? share(one.offset / one.size) : ''), (one) => one.size > 0, 'number'],
    ]),
  ];
}

export function deadLetterTable({ records, reasons }) {
  if (records === 0) return null;
  return [
    el('h2', {}, 'Dead letters'),
    el(
      'p',
      { class: 'quiet' },
      `${count(records)} in all${reasons.length > 0 && reasons.length < records ? `; the last ${count(reasons.length)}:` : ''}`,
    ),
    reasons.length === 0
      ? null
      : table('Dead letters', reasons, [
          ['Step', (one) => one.step],
          ['Part', (one) => one.split],
          ['At byte', (one) => count(one.offset), undefined, 'number'],
          ['Reason', (one) => one.reason],
        ]),
  ];
}

export function outputTable(outputs) {
  if (outputs.length === 0) return null;
  return [
    el('h2', {}, 'Outputs'),
    table('Outputs', outputs, [
      ['Step', (one) => one.step],
      ['To', (one) => el('code', {}, one.to ?? NONE)],
      ['Rows', (one) => count(one.rows), undefined, 'number'],
      ['Bytes', (one) => bytes(one.bytes), undefined, 'number'],
    ]),
  ];
}
