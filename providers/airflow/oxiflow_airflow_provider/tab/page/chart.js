// The throughput of an attempt: an area over its seconds, with the reading under the pointer.

import { el, svg } from './elements.js';
import { bytes, compact, duration } from './format.js';

const WIDTH = 1120;
const HEIGHT = 180;
const LEFT = 64;
const RIGHT = 12;
const TOP = 12;
const BOTTOM = 26;
const LINES = 4;

/** What the chart can show: which column of the history, and how it is written. */
export const MEASURES = {
  rows: { label: 'Rows', column: 1, write: (rate) => `${compact(rate)} rows/s` },
  bytes: { label: 'Bytes', column: 2, write: (rate) => `${bytes(rate)}/s` },
};

/** `[[seconds, rows, bytes], ...]`, which only grow, as a rate between each two points: `[{at, rate}, ...]`. */
export function rates(history, column) {
  const points = [];
  for (let i = 1; i < history.length; i += 1) {
    const seconds = history[i][0] - history[i - 1][0];
    if (seconds > 0)
      points.push({ at: history[i][0], rate: Math.max(0, history[i][column] - history[i - 1][column]) / seconds });
  }
  return points;
}

/** `read` is told what the pointer is at, and an empty text when it has gone. */
export function chart(history, measure, read) {
  const points = rates(history, measure.column);
  if (points.length < 2) return el('p', { class: 'quiet' }, 'Too short a run for a chart, so far.');
  const first = history[0][0];
  const last = points[points.length - 1].at;
  const top = roundUp(Math.max(...points.map((point) => point.rate)));
  const x = (at) => LEFT + ((at - first) / (last - first)) * (WIDTH - LEFT - RIGHT);
  const y = (rate) => HEIGHT - BOTTOM - (rate / top) * (HEIGHT - TOP - BOTTOM);
  // A rate is that of the time before its point; the first one reaches back to where the history begins.
  const line = [{ at: first, rate: points[0].rate }, ...points]
    .map((point, i) => `${i === 0 ? 'M' : 'L'}${x(point.at).toFixed(1)},${y(point.rate).toFixed(1)}`)
    .join('');
  const ground = y(0);

  const marker = svg('g', { class: 'marker', visibility: 'hidden' });
  const picture = svg(
    'svg',
    {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      role: 'img',
      'aria-label': `${measure.label} a second over ${duration(last - first)}, ${measure.write(top)} at most on the scale`,
      onpointermove: (event) => point(event),
      onpointerleave: () => {
        marker.setAttribute('visibility', 'hidden');
        read('');
      },
    },
    Array.from({ length: LINES + 1 }, (_, i) => {
      const rate = (top * i) / LINES;
      return svg(
        'g',
        {},
        svg('line', { class: 'grid', x1: LEFT, x2: WIDTH - RIGHT, y1: y(rate), y2: y(rate) }),
        svg(
          'text',
          { class: 'axis', x: LEFT - 8, y: y(rate) + 4, 'text-anchor': 'end' },
          i === 0 ? '0' : short(measure, rate),
        ),
      );
    }),
    svg('text', { class: 'axis', x: LEFT, y: HEIGHT - 6 }, duration(first)),
    svg('text', { class: 'axis', x: WIDTH - RIGHT, y: HEIGHT - 6, 'text-anchor': 'end' }, duration(last)),
    svg('path', {
      class: 'area',
      d: `${line}L${x(last).toFixed(1)},${ground}L${x(first).toFixed(1)},${ground}Z`,
    }),
    svg('path', { class: 'line', d: line }),
    marker,
  );

  function point(event) {
    const box = picture.getBoundingClientRect();
    const at =
      first + (((event.clientX - box.left) / box.width) * WIDTH - LEFT) * ((last - first) / (WIDTH - LEFT - RIGHT));
    const nearest = points.reduce((a, b) => (Math.abs(b.at - at) < Math.abs(a.at - at) ? b : a));
    marker.replaceChildren(
      svg('line', { x1: x(nearest.at), x2: x(nearest.at), y1: TOP, y2: ground }),
      svg('circle', { cx: x(nearest.at), cy: y(nearest.rate), r: 3.5 }),
    );
    read(`${measure.write(nearest.rate)} at ${duration(nearest.at)}`);
    marker.setAttribute('visibility', 'visible');
  }

  return picture;
}

const short = (measure, rate) => (measure === MEASURES.bytes ? bytes(rate) : compact(rate));

/** The next of 1, 2, 2.5, 5 times a power of ten. */
function roundUp(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 5, 10].find((step) => step * power >= value) * power;
}
