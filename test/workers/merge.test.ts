/** Parts that become one file are, byte for byte, what one worker writes; and whatever dies on the way, the next one ends it. */

import { describe, expect, test } from 'vitest';
import { readText } from '../../runner/oxis/files/staged-text.ts';
import { Chance, csvRows, jsonLines } from './inputs.ts';
import { Scene } from './scene.ts';

const SEED = 20_261_201;

/** The same pipeline twice over, but for the name of the output. */
const pipeline = (parser: string, formatter: string, output: string, more = ''): string => `
  - name: read_file
    config: { path: "in/*" }
  - name: ${parser}
    on_error: drop
${formatter === '' ? '' : `  - ${formatter}\n`}  - name: write_file
    config: { path: "out/${output}", merge: true${more} }
`;

async function unpacked(bytes: Buffer, ending: string): Promise<string> {
  const texts: Uint8Array[] = [];
  const codec = ending === 'gz' ? 'gzip' : 'zstd';
  async function* read() {
    yield { bytes: Uint8Array.from(bytes), after: bytes.length };
  }
  for await (const text of readText({ encoding: 'utf-8', codec, name: 'out' }, read)) texts.push(Uint8Array.from(text));
  return Buffer.concat(texts).toString();
}

async function bothWays(scene: Scene, output: string, groups: number): Promise<{ one: Buffer; merged: Buffer }> {
  const whole = await scene.whole();
  expect(whole.error).toBeUndefined();
  const one = scene.read(`out/${output}`);
  const parts = await scene.shared(await scene.cut({ groups, exactly: true, minBytes: 1 }));
  expect(parts.map(({ error }) => error)).toEqual(parts.map(() => undefined));
  expect(scene.read(`out/${output}`).equals(one)).toBe(true);
  scene.write({ [`out/${output}`]: 'that of yesterday' });
  const outputs = await scene.merge(parts);
  expect(scene.list('out')).toEqual([output]);
  const merged = scene.read(`out/${output}`);
  const [{ rows, columns } = { rows: -1, columns: undefined }] = whole.outputs;
  expect(outputs).toEqual([
    { step: 'write_file', path: whole.outputs[0]?.path, rows, bytes: merged.length, ...(columns && { columns }) },
  ]);
  return { one, merged };
}

describe('merged parts are what one worker writes', () => {
  const formats: [string, string][] = [
    ['orders.ndjson', ''],
    ['orders.json', 'name: format_json\n    config: { framing: array }'],
    ['orders.json', 'name: format_json\n    config: { framing: array, pretty: true }'],
    ['orders.csv', 'name: format_csv'],
    ['orders.csv', 'name: format_csv\n    config: { headers: false, line_ending: windows, quote_style: all }'],
    ['orders.yaml', 'name: format_yaml'],
    ['orders.yaml', 'name: format_yaml\n    config: { framing: array }'],
  ];
  test.each(formats)('%s %s', async (output, formatter) => {
    const chance = new Chance(SEED);
    for (let round = 0; round < 3; round++) {
      const files = { 'in/0.ndjson': jsonLines(chance, chance.below(200)), 'in/1.ndjson': jsonLines(chance, 50) };
      using scene = new Scene(pipeline('parse_json', formatter, output), files);
      const { one, merged } = await bothWays(scene, output, 1 + chance.below(6));
      expect(merged.equals(one)).toBe(true);
    }
  });

  test('CSV whose columns come up one after the other, some in another order', async () => {
    const chance = new Chance(SEED + 1);
    for (let round = 0; round < 4; round++) {
      const lines = Array.from({ length: 200 }, (_, i) => {
        const names = ['a', 'b', 'c,d', 'e "f"', 'g']
          .slice(0, 1 + Math.floor(i / 40))
          .filter(() => chance.below(4) > 0);
        if (chance.oneIn(3)) names.reverse();
        const value = (): string | number | null => chance.pick(['', 'x', 'two\nlines', 7, null, '"q"']);
        return `${JSON.stringify(Object.fromEntries(names.map((name) => [name, value()])))}\n`;
      });
      const formatter = `name: format_csv\n    config: { headers: ${chance.oneIn(3) ? 'false' : 'true'} }`;
      using scene = new Scene(pipeline('parse_json', formatter, 'orders.csv'), { 'in/0.ndjson': lines.join('') });
      const { one, merged } = await bothWays(scene, 'orders.csv', 2 + chance.below(6));
      expect(merged.toString()).toBe(one.toString());
    }
  });

  test('CSV of CSV: quoted line ends, short rows, a header in each file', async () => {
    const chance = new Chance(SEED + 2);
    for (let round = 0; round < 4; round++) {
      const files = {
        'in/0.csv': csvRows(chance, chance.below(200)),
        'in/1.csv': csvRows(chance, chance.below(200), ['order', 'city', 'name']),
      };
      using scene = new Scene(pipeline('parse_csv', 'name: format_csv', 'orders.csv'), files);
      const { one, merged } = await bothWays(scene, 'orders.csv', 2 + chance.below(6));
      expect(merged.toString()).toBe(one.toString());
    }
  });

  test('nothing at all', async () => {
    for (const [output, formatter] of formats) {
      using scene = new Scene(pipeline('parse_json', formatter, output), { 'in/0.ndjson': '\n' });
      const { one, merged } = await bothWays(scene, output, 3);
      expect(merged.toString()).toBe(one.toString());
    }
  });

  test.each(['utf-16', 'utf-16be', 'latin1'])('as %s', async (encoding) => {
    const files = { 'in/0.ndjson': '{"name":"Öl","n":1}\n{"name":"tea","n":2}\n{"name":"é","n":3}\n'.repeat(20) };
    for (const [output, formatter] of formats) {
      using scene = new Scene(pipeline('parse_json', formatter, output, `, encoding: ${encoding}`), files);
      const { one, merged } = await bothWays(scene, output, 4);
      expect(merged.equals(one)).toBe(true);
    }
  });

  test.each(['gz', 'zst'])(
    'packed as %s: lines have other members and the same text, the rest the same bytes',
    async (ending) => {
      const text = jsonLines(new Chance(SEED + 3), 400);
      for (const [output, formatter] of formats) {
        using scene = new Scene(pipeline('parse_json', formatter, `${output}.${ending}`), { 'in/0.ndjson': text });
        const { one, merged } = await bothWays(scene, `${output}.${ending}`, 3);
        expect(await unpacked(merged, ending)).toBe(await unpacked(one, ending));
        if (/array|csv/.test(formatter)) expect(merged.equals(one)).toBe(true);
      }
    },
  );
});
