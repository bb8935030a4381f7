import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { generateFile, ODD_KINDS } from '../fixtures/generate.ts';
import { writeExpected } from './oracle.ts';
import { asLines, copy, earthquakes, event, events, flights, flightsAsLines } from './pipelines.ts';

const DATA = 'node_modules/vega-datasets/data';

/** A record of the shop with what a test cares about, written by hand. */
const visit = (middle: string): string =>
  `{"id":"a1","ts":"2026-03-01T10:00:00Z","user":{"id":42,"country":"DE"},${middle},"ua":"curl","ok":true}`;

describe('events: the golden rows were written by hand', () => {
  const rows: [promise: string, line: string, expected: string | undefined][] = [
    [
      'keeps, renames in place, computes last and drops',
      visit('"amount":10.5,"tags":["web"]'),
      '{"id":"a1","timestamp":"2026-03-01T10:00:00Z","user":{"id":42,"country":"DE"},"amount":10.5,"tags":["web"],"ok":true,"total":12.5,"user_key":"DE:42"}',
    ],
    ['takes out a record that is not ok', visit('"amount":1').replace('true', 'false'), undefined],
    ['takes out a record whose ok is a text', visit('"amount":1').replace('true', '"true"'), undefined],
    [
      'keeps digits, exponents and escapes that nobody touches',
      visit('"amount":1e1,"big":12345678901234567890123,"over":1e400,"zero":-0.0,"name":"\\u00e9\\/\\t"'),
      '{"id":"a1","timestamp":"2026-03-01T10:00:00Z","user":{"id":42,"country":"DE"},"amount":1e1,"big":12345678901234567890123,"over":1e400,"zero":-0.0,"name":"\\u00e9\\/\\t","ok":true,"total":11.9,"user_key":"DE:42"}',
    ],
    [
      'removes white space outside strings only',
      ' { "ts" : "2026-03-01 10:00" ,\t"user":{ "id": 7, "country" :"F R" } , "amount" : 2 , "list":[ 1 , { } ], "ok" : true } \r',
      '{"timestamp":"2026-03-01 10:00","user":{"id":7,"country":"F R"},"amount":2,"list":[1,{}],"ok":true,"total":2.38,"user_key":"F R:7"}',
    ],
    [
      'leaves the last of a touched key at the place of the first, and both of an untouched one',
      '{"ok":false,"note":1,"ts":"old","note":2,"user":{"id":1,"id":2,"country":"PL","x":1,"x":2},"amount":1,"ts":"new","ok":true}',
      '{"ok":true,"note":1,"timestamp":"new","note":2,"user":{"id":2,"country":"PL","x":1,"x":2},"amount":1,"total":1.19,"user_key":"PL:2"}',
    ],
    [
      'knows an escaped key, keeps its text where it stays and writes the new name where it is renamed',
      '{"\\u006fk":true,"t\\u0073":"t","u\\u0061":"curl","amount":3,"user":{"id":5,"countr\\u0079":"\\u0041\\"B"}}',
      '{"\\u006fk":true,"timestamp":"t","amount":3,"user":{"id":5,"countr\\u0079":"\\u0041\\"B"},"total":3.57,"user_key":"A\\"B:5"}',
    ],
    [
      'sets a field that is there at its place',
      '{"total":"?","user_key":null,"ok":true,"ts":1,"amount":100,"user":{"id":0,"country":""}}',
      '{"total":119,"user_key":":0","ok":true,"timestamp":1,"amount":100,"user":{"id":0,"country":""}}',
    ],
    [
      'renames over a field that is there: the renamed one stays',
      '{"timestamp":"older","ok":true,"ts":"t","amount":1,"user":{"id":1,"country":"NO"}}',
      '{"ok":true,"timestamp":"t","amount":1,"user":{"id":1,"country":"NO"},"total":1.19,"user_key":"NO:1"}',
    ],
    [
      'keeps the order of names that look like numbers, and __proto__ as a name',
      '{"10":1,"2":2,"__proto__":{"ok":false},"":0,"ok":true,"ts":1,"amount":0,"user":{"id":1,"country":"SE"}}',
      '{"10":1,"2":2,"__proto__":{"ok":false},"":0,"ok":true,"timestamp":1,"amount":0,"user":{"id":1,"country":"SE"},"total":0,"user_key":"SE:1"}',
    ],
  ];
  test.each(rows)('%s', (_promise, line, expected) => {
    expect(event(line)).toBe(expected);
  });

  test('blank lines are no records', () => {
    const line = visit('"amount":1');
    expect(events(`\n${line}\n\r\n${line}`)).toHaveLength(2);
  });

  test('a field that is not there is an error', () => {
    expect(() => event('{"ok":true,"ts":1,"user":{"id":1,"country":"DE"}}')).toThrow('no amount');
  });

  test('broken JSON is an error', () => {
    expect(() => event('{"ok":true,}')).toThrow(SyntaxError);
  });
});

test('a copy changes nothing but white space', () => {
  expect(copy('{"a" : 1.50,"a":[ "x y" ]}\n\n[ 1e5 , null ]\n "\\u0041"')).toEqual([
    '{"a":1.50,"a":["x y"]}',
    '[1e5,null]',
    '"\\u0041"',
  ]);
});

describe('the real data', () => {
  test('earthquakes: the first one is the quake near Hualian', () => {
    const records = earthquakes(readFileSync(`${DATA}/earthquakes.json`, 'utf8'));
    expect(records[0]).toBe(
      '{"event":"us1000chvf","magnitude":4.7,"place":"7km E of Hualian, Taiwan","time_ms":1517960631840,"longitude":121.6773,"latitude":23.9887,"depth_km":10,"depth":"shallow","felt_reports":0,"tsunami_bulletin":false}',
    );
  });

  test('earthquakes: as many as a count over the parsed document says', () => {
    const text = readFileSync(`${DATA}/earthquakes.json`, 'utf8');
    const features: { properties: { mag: number; type: string } }[] = JSON.parse(text).features;
    const strong = features.filter(({ properties }) => properties.mag >= 4.5 && properties.type === 'earthquake');
    expect(earthquakes(text)).toHaveLength(strong.length);
    expect(strong.length).toBeGreaterThan(50);
  });

  test('flights: numbers keep their text, late ones are counted', () => {
    const whole = readFileSync(`${DATA}/flights-200k.json`, 'utf8');
    const text = `${whole.slice(0, whole.indexOf('}', 1_000_000))}}]`;
    const late = flights(text);
    expect(late[0]).toBe(
      '{"delay_minutes":171,"time":0.0,"delay_hours":2.85,"distance_km":3584,"part_of_day":"night"}',
    );
    expect(late).toHaveLength((JSON.parse(text) as { delay: number }[]).filter(({ delay }) => delay >= 60).length);
    expect(`[${flightsAsLines(text).join(',')}]`).toBe(text);
  });
});

test('a large file, read in pieces, gives what the whole text gives', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'oxiflow-oracle-'));
  try {
    const input = join(folder, 'events.ndjson');
    const output = join(folder, 'expected.ndjson');
    generateFile(input, { seed: 4, bytes: 2_500_000, odd: ODD_KINDS });
    await writeExpected('events', input, output);
    expect(readFileSync(output, 'utf8')).toBe(asLines(events(readFileSync(input, 'utf8'))));
  } finally {
    rmSync(folder, { recursive: true });
  }
});
