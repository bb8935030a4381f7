/** YAML that is laid out by us says to another reader what the JSON said. */
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { ByteWriter } from '../../runner/kernel/writer.ts';
import { layOutYaml } from '../../runner/kernel/yaml.ts';
import { RandomJson } from './random-json.ts';

const SEED = Number(process.env.OXIFLOW_FUZZ_SEED ?? 20_260_301);

function yaml(json: string, indent = 0): string {
  const out = new ByteWriter(16);
  const bytes = Buffer.from(json);
  layOutYaml(bytes, 0, bytes.length, indent, out);
  return out.bytes.toString('utf8', 0, out.length);
}

test('objects and lists stand in blocks, numbers and literals keep their text', () => {
  expect(yaml('{"id":1.50,"user":{"name":"Ana Lima","tags":["a",{"b":null,"c":[[1e5],[]]}]},"none":{}}')).toBe(
    [
      'id: 1.50',
      'user:',
      '  name: Ana Lima',
      '  tags:',
      '    - a',
      '    - b: null',
      '      c:',
      '        - - 1e5',
      '        - []',
      'none: {}',
    ].join('\n'),
  );
});

test.each([
  'yes',
  'No',
  'null',
  '~',
  '1',
  '1e3',
  '2026-03-01',
  '',
  ' a',
  'a ',
  'a: b',
  'a #b',
  '- a',
  '\n',
  '\u2028',
  '.inf',
  '0x1F',
  '=',
  '<<',
  'é',
  '\ud83d\ude00',
  '\u0085',
  '"',
  'NaN',
])('the text %j stays a text, as value and as key', (text) => {
  expect(parse(yaml(JSON.stringify({ [text]: text })))).toEqual({ [text]: text });
});

test('a key longer than YAML allows without a mark is read back', () => {
  const key = 'k'.repeat(5000);
  expect(parse(yaml(`{"a":{"${key}":{"b":[1]},"c":2}}`))).toEqual({ a: { [key]: { b: [1] }, c: 2 } });
});

test('of a key that stands twice the last one is written, at the place of the first', () => {
  expect(yaml('{"a":1,"b":2,"\\u0061":3}')).toBe('a: 3\nb: 2');
});

test(`any JSON is read back as it was (seed ${SEED})`, () => {
  const random = new RandomJson(SEED);
  for (let round = 0; round < 1500; round++) {
    const json = random.value().replaceAll(/[\n\t\r ]/g, '');
    const text = `- ${yaml(json, 2)}\n`;
    // Keys of Maps keep their order and `__proto__`; 1e400 is Infinity to both.
    const read = parse(text, { mapAsMap: true }) as unknown[];
    expect(plain(read[0]), `seed ${SEED}, round ${round}: ${json}\n${text}`).toEqual(JSON.parse(json));
  }
});

function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (!(value instanceof Map)) return value;
  const out: Record<string, unknown> = {};
  for (const [key, member] of value)
    Object.defineProperty(out, String(key), {
      value: plain(member),
      enumerable: true,
      configurable: true,
      writable: true,
    });
  return out;
}
