/**
 * The expected output of a pipeline, one record a line:
 * node test/oracle/oracle.ts events|copy|earthquakes|flights|flights_as_lines INPUT > EXPECTED
 * `events` and `copy` work in constant memory; a third argument names an output file instead of stdout.
 */
import { closeSync, createReadStream, openSync, readFileSync, writeSync } from 'node:fs';
import { asLines, copy, earthquakes, events, flights, flightsAsLines } from './pipelines.ts';

const PER_LINE = { events, copy };
const WHOLE = { earthquakes: (text: string) => earthquakes(text), flights, flights_as_lines: flightsAsLines };
const PIECE_BYTES = 1 << 20;

/** The file in pieces of whole lines. (`readline` would also cut at U+2028 inside a string.) */
async function* pieces(path: string): AsyncGenerator<string> {
  let rest = '';
  for await (const chunk of createReadStream(path, { encoding: 'utf8', highWaterMark: PIECE_BYTES })) {
    const text = rest + String(chunk);
    const end = text.lastIndexOf('\n') + 1;
    yield text.slice(0, end);
    rest = text.slice(end);
  }
  yield rest;
}

/** Writes what `pipeline` makes of the file `input` to `output`, a path or a file descriptor. */
export async function writeExpected(pipeline: string, input: string, output: string | number): Promise<void> {
  const file = typeof output === 'number' ? output : openSync(output, 'w');
  const put = (text: string): void => {
    const bytes = Buffer.from(text);
    for (let from = 0; from < bytes.length; ) from += writeSync(file, bytes, from);
  };
  try {
    if (Object.hasOwn(WHOLE, pipeline)) {
      put(asLines(WHOLE[pipeline as keyof typeof WHOLE](readFileSync(input, 'utf8'))));
    } else if (Object.hasOwn(PER_LINE, pipeline)) {
      const recordsOf = PER_LINE[pipeline as keyof typeof PER_LINE];
      for await (const piece of pieces(input)) put(asLines(recordsOf(piece)));
    } else {
      throw new Error(
        `no pipeline "${pipeline}"; there are ${[...Object.keys(PER_LINE), ...Object.keys(WHOLE)].join(', ')}`,
      );
    }
  } finally {
    if (typeof output !== 'number') closeSync(file);
  }
}

if (import.meta.main) {
  const [pipeline = '', input = '', output = 1] = process.argv.slice(2);
  await writeExpected(pipeline, input, output);
}
