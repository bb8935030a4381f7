/** Which of the work on an input is left to the first stage: cutting records, and reading. */
import type { Makings } from './assembly.ts';
import { isTimed } from './patience.ts';
import { SourceText } from './source-text.ts';

/**
 * The first stage has threads or the byte kernel, and its parser can cut there: only whole pieces are looked for where the input is
 * read. A limit of records needs them counted at once.
 */
export function cutsLater(m: Makings): boolean {
  const { segment, stream } = m.start;
  const [first] = segment.nodes;
  const { parser } = segment;
  if (first?.kind !== 'stage' || first.place !== 'main') return false;
  if (!first.cutsBytes && (first.ordered || first.threads === 1)) return false;
  if (parser?.oxi.chunk === undefined || m.a.limit !== Number.POSITIVE_INFINITY) return false;
  const at = { offset: 0, state: null, name: '' };
  return parser.oxi.chunk(parser.step.config as never, stream, at) !== undefined;
}

/** Pieces of the input can be read by whoever works on them: lines in files as they are, and nobody times or repeats a read. */
export function piecesAreDirect(m: Makings): boolean {
  const { source, segment, stream, splits } = m.start;
  const { parser } = segment;
  if (!cutsLater(m) || parser === undefined || source.source.direct === undefined) return false;
  if (isTimed(source.step)) return false;
  const chunker = parser.oxi.chunk?.(parser.step.config as never, stream, { offset: 0, state: null, name: '' });
  if (chunker?.longestLine === undefined && chunker?.seesAll !== true) return false;
  return splits.every((split) => new SourceText(source.source, split, true).isOpenAnywhere);
}
