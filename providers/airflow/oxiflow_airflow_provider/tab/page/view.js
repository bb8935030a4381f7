// The page of one run: what stands in its documents, and nothing that is not there.

import { chart, MEASURES } from './chart.js';
import { el } from './elements.js';
import { bytes, compact, count, duration, share, time } from './format.js';
import { checkpointTable, deadLetterTable, outputTable, oxiTable, positionTable } from './tables.js';

/** The operator's words for a run's state, with those of the page. */
const STATES = {
  starting: ['Starting', 'live'],
  running: ['Running', 'live'],
  deferred: ['Running, deferred', 'live'],
  succeeded: ['Succeeded', 'good'],
  failed: ['Failed', 'bad'],
  stopped: ['Stopped', 'held'],
};
/** Airflow's words for a task instance that does nothing any more. */
const ENDED = new Set(['success', 'failed', 'upstream_failed', 'skipped', 'removed']);

/** Whether the page is to be asked for again soon. */
export const isLive = ({ instance }) => !ENDED.has(instance.state);

/** Shows one answer after the other in `page`; parts that stay the same are left alone. */
export function view(page) {
  const parts = new Map();
  let measure = MEASURES.rows;
  let shown = null;

  /** Sets the parts, in this order; those that are null are left out. */
  function set(wanted) {
    const elements = [];
    for (const [name, data, build] of wanted) {
      const key = JSON.stringify(data);
      let part = parts.get(name);
      if (part?.key !== key) {
        const content = build(data);
        part = { key, element: content === null ? null : el('section', { id: name }, content) };
        parts.set(name, part);
      }
      if (part.element !== null) elements.push(part.element);
    }
    if (elements.length !== page.children.length || elements.some((element, i) => element !== page.children[i]))
      page.replaceChildren(...elements);
  }

  function show(seen) {
    shown = seen;
    const { instance, run, checkpoints } = seen;
    if (run === null) return set([['nothing', emptyOf(instance), ([title, text]) => message(title, text)]]);
    const over = !isLive(seen) && run.state === 'succeeded';
    const positions = over ? [] : (checkpoints.at(-1)?.positions ?? []);
    return set([
      ['head', { run, state: instance.state }, head],
      ['note', noteOf(instance, run), (text) => text && el('p', { class: 'note' }, text)],
      ['error', [run.error, run.exit_code], failure],
      ['progress', [run.progress, run.total_bytes, run.bytes_read, run.eta_seconds, run.state], () => progress(run)],
      ['figures', run, figures],
      ['alerts', run.alerts ?? [], alerts],
      ['throughput', [run.history, measure.label], () => throughput(run.history)],
      ['oxis', [run.oxis, run.bottleneck], () => oxiTable(run.oxis, run.bottleneck)],
      ['details', [checkpoints, positions, run.dead_letters, run.outputs], details],
    ]);
  }

  /** A refusal takes away what was shown, if it says that this reader may not see it; else it stands above it. */
  function refuse(error) {
    if (shown === null || error.lasting) {
      shown = null;
      set([['nothing', error.message, (text) => message('Nothing to show', text)]]);
      return;
    }
    page.querySelector('#refusal')?.remove();
    page.prepend(el('section', { id: 'refusal' }, el('p', { class: 'note bad', role: 'alert' }, error.message)));
  }

  function throughput(history) {
    if (history.length < 2) return null;
    const choices = Object.values(MEASURES).map((one) =>
      el(
        'button',
        { type: 'button', 'aria-pressed': one === measure ? 'true' : 'false', onclick: () => choose(one) },
        one.label,
      ),
    );
    const reading = el('output', { class: 'quiet' });
    return [
      el(
        'div',
        { class: 'title' },
        el('h2', {}, 'Throughput'),
        el('div', { class: 'choice', role: 'group' }, choices),
        reading,
      ),
      chart(history, measure, (text) => reading.replaceChildren(text)),
    ];
  }

  function choose(one) {
    measure = one;
    if (shown !== null) show(shown);
  }

  return { show, refuse };
}

function emptyOf(instance) {
  if (!/oxiflow/i.test(`${instance.operator ?? ''} ${instance.operator_name ?? ''}`)) {
    return [
      'No pipeline here',
      'This task does not run a pipeline of Oxide Flow. The tasks of OxiFlowOperator show their run on this page, while it goes on.',
    ];
  }
  if (isLive({ instance })) return ['Not started yet', 'The run shows up here as soon as it reports.'];
  return ['No report', 'This task ended before its run reported anything, or the report is too old to be kept.'];
}

const message = (title, text) => el('div', { class: 'empty' }, el('h1', {}, title), el('p', {}, text));

/** Where Airflow's word and the run's are not the same: which one is older. */
function noteOf({ state }, run) {
  const live = STATES[run.state]?.[1] === 'live';
  if (ENDED.has(state) && live) {
    return `Airflow's word for this task is “${words(state)}”. The run's last report, of ${time(run.updated_at)}, says “${run.state}”.`;
  }
  if (
    !live &&
    (state === null || ['queued', 'scheduled', 'restarting', 'up_for_retry', 'up_for_reschedule'].includes(state))
  ) {
    return `This task is to run again${state === null ? '' : ` (${words(state)})`}. Below is its last run.`;
  }
  return null;
}

const words = (state) => state.replaceAll('_', ' ');

function head({ run }) {
  const [label, tone] = STATES[run.state] ?? [String(run.state), 'held'];
  const facts = [
    ['Run', run.run_key],
    ['Attempt', run.attempt === null ? null : count(run.attempt)],
    ['Resumed from', run.resumed_from ? `checkpoint ${count(run.resumed_from)}` : null],
    ['Worker', run.worker_id],
    ['State', run.backend],
    ['Started', run.started_at && time(run.started_at)],
    [run.finished_at ? 'Ended' : 'Reported', time(run.finished_at ?? run.updated_at)],
  ].filter(([, value]) => value);
  return [
    el('div', { class: 'title' }, el('h1', {}, run.pipeline), el('span', { class: `badge ${tone}` }, label)),
    el(
      'dl',
      { class: 'facts' },
      facts.map(([name, value]) => el('div', {}, el('dt', {}, name), el('dd', {}, value))),
    ),
  ];
}

function failure([error, exitCode]) {
  if (!error) return null;
  return el(
    'div',
    { class: 'failure' },
    el('p', {}, error),
    exitCode === null ? null : el('p', { class: 'quiet' }, `Exit code ${exitCode}`),
  );
}

function progress(run) {
  if (run.progress === null) return null;
  const of = run.total_bytes === null ? null : `${bytes(run.bytes_read)} of ${bytes(run.total_bytes)}`;
  const left = run.eta_seconds === null || run.finished_at ? null : `about ${duration(run.eta_seconds)} left`;
  const [, tone] = STATES[run.state] ?? [];
  return [
    el(
      'div',
      {
        class: `bar ${tone ?? ''}`,
        role: 'progressbar',
        'aria-valuemin': 0,
        'aria-valuemax': 100,
        'aria-valuenow': Math.floor(run.progress * 100),
      },
      el('div', { style: { width: `${Math.min(1, run.progress) * 100}%` } }),
    ),
    el(
      'p',
      { class: 'quiet spread' },
      el('strong', {}, share(run.progress)),
      ...[of, left].filter(Boolean).map((text) => el('span', {}, text)),
    ),
  ];
}

function figures(run) {
  const seconds = run.attempt_seconds ?? run.history.at(-1)?.[0] ?? null;
  const mean = run.rate === null && run.seconds > 0;
  const [rate, rateBytes] = mean
    ? [run.rows_read / run.seconds, run.bytes_read / run.seconds]
    : [run.rate, run.rate_bytes];
  const cards = [
    ['rows_read', 'Rows read', count(run.rows_read), bytes(run.bytes_read)],
    ['rows_written', 'Rows written', count(run.rows_written), bytes(run.bytes_written)],
    ['rate', mean ? 'Rows/s on average' : 'Rows/s', compact(rate), rateBytes === null ? null : `${bytes(rateBytes)}/s`],
    ['seconds', 'Time', duration(seconds), run.seconds > seconds ? `${duration(run.seconds)} over all attempts` : null],
    ['dead_letters', 'Dead letters', count(run.dead_letters.records), null],
    ['errors', 'Errors', count(run.errors), null],
  ];
  return el(
    'dl',
    { class: 'cards' },
    cards.map(([name, label, value, more]) =>
      el(
        'div',
        { 'data-field': name },
        el('dt', {}, label),
        el('dd', {}, value),
        more && el('dd', { class: 'quiet' }, more),
      ),
    ),
  );
}

function alerts(messages) {
  if (messages.length === 0) return null;
  return el(
    'ul',
    { class: 'alerts' },
    messages.map((text) => el('li', {}, text)),
  );
}

/** Two columns, where there is room: the checkpoints are many, the others few. */
function details([checkpoints, positions, deadLetters, outputs]) {
  const part = (id, content) => content && el('div', { id }, content);
  const first = part('checkpoints', checkpointTable(checkpoints));
  const others = [
    part('outputs', outputTable(outputs)),
    part('positions', positionTable(positions)),
    part('dead-letters', deadLetterTable(deadLetters)),
  ].filter(Boolean);
  if (first === null && others.length === 0) return null;
  return el('div', { class: 'columns' }, first, others.length === 0 ? null : el('div', { class: 'stack' }, others));
}
