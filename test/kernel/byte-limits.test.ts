/** Where the kernel's room ends: long keys and texts, many fields, steps and deferrals, output that grows, and what the run is given. */
import { expect, test, vi } from 'vitest';
import { noProgram } from '../../runner/engine/byte-pass.ts';
import type { Op } from '../../runner/engine/fuse.ts';
import { giveBuffer } from '../../runner/kernel/buffers.ts';
import { compileSteps } from '../../runner/kernel/bytes/program.ts';
import { filter } from '../../runner/oxis/transforms/filter.ts';
import { map } from '../../runner/oxis/transforms/map.ts';
import { ByteStage, type Given, onValues, opsOf } from './tiers.ts';

const context = { projectRoot: '.', stepId: 'step' };
const filterOps = (where: string): Op[] => opsOf([filter.make({ where } as never, context) as never]);
const mapOps = (config: Record<string, unknown>): Op[] => opsOf([...(map.make(config as never, context) as never[])]);
const setOps = (fields: Record<string, string>): Op[] => mapOps({ set: new Map(Object.entries(fields)) });

/** The same on both; returns how many records the kernel handed on. */
function expectSame(ops: () => Op[], lines: string, given?: Given): number {
  const stage = new ByteStage(ops(), given);
  const text = Buffer.from(lines);
  expect(stage.run(text)).toEqual(onValues(ops(), text, given));
  return stage.deferred;
}

test.each([8, 15, 16, 17, 4096, 65_270, 65_279, 65_280, 65_281, 70_000, 200_000])(
  'a key of %i bytes is none of the fields that steps touch, however it is written',
  (size) => {
    const key = 'k'.repeat(size - 2);
    for (const written of [key, `\\u006b${key.slice(1)}`, `${key.slice(1)}\\u006b`])
      expectSame(() => setOps({ z: 'user' }), `{"${written}":"not me","user":"me"}\n{"${written}":"not me"}\n`);
  },
);

test('a step whose place is beyond what the kernel counts has no program, and none writes over another', () => {
  const forms = (owner: number): Parameters<typeof compileSteps>[0] => [
    { owner, form: { do: 'drop', paths: [['a']] } },
  ];
  const world = { params: new Map(), env: new Map() };
  expect(compileSteps(forms(1023), world).owners).toBe(1024);
  expect(() => compileSteps(forms(1024), world)).toThrow('its stage has more than 1024 steps');
  const late = filterOps('n > 1').map((op) => ({ ...op, owner: 1023 }));
  const stage = new ByteStage(late);
  for (let round = 0; round < 2; round++) {
    const { outcome } = stage.work(Buffer.from('{"n":1}\n{"n":2}\n'));
    expect(outcome.left).toEqual(['1008: {"n":2}']);
    expect(stage.deferred).toBe(0);
  }
});

test('paths are the same only name by name', () => {
  const rename = (from: readonly string[], to: readonly string[]): Op[] => [
    {
      owner: 0,
      step: {
        form: 'record',
        cardinality: 'one',
        touches: [],
        forms: { bytes: { do: 'rename', fields: [{ from, to }] } },
        apply: () => 'keep',
      },
    },
  ];
  expect(noProgram(rename(['a', 'b'], ['a\nb']))?.why).toBe('"a.b" goes into another object');
  expect(noProgram(rename(['a', 'b'], ['a', 'b']))).toBeUndefined();
});

test('steps without what the run is given have no program that could run', () => {
  // @ts-expect-error the world is needed
  const make = (): unknown => compileSteps([{ owner: 0, form: { do: 'pass' } }]);
  expect(make).toBeTypeOf('function');
  expect(noProgram(filterOps('params.least > 1'))).toBeUndefined();
  const world = (least: unknown) => ({ params: new Map([['least', least]]), env: new Map() });
  expect(noProgram(filterOps('params.least > 1'), world(5))).toBeUndefined();
  expect(noProgram(filterOps('params.least > 1'), world(5n))?.why).toMatch(/^params\.least is nothing/);
});

test('expressions read parameters and the environment', () => {
  const given: Given = {
    params: new Map<string, unknown>([
      ['least', 3],
      ['rate', 1.19],
      ['name', 'a "quoted" é'],
      ['on', true],
      ['none', null],
    ]),
    env: new Map([['STAGE', 'test']]),
  };
  const lines = Array.from({ length: 40 }, (_, i) => `{"n":${i},"t":"a"}\n`).join('');
  const deferred = expectSame(
    () => [
      ...filterOps('n >= params.least && params.on'),
      ...setOps({
        total: 'round(n * params.rate, 2)',
        name: 't + params.name + env.STAGE',
        none: 'params.none == null',
        same: 'params.on',
      }).map((op) => ({ ...op, owner: 1 })),
    ],
    lines,
    given,
  );
  expect(deferred).toBe(0);
  for (const value of [['a'], 2n ** 60n, 'x'.repeat(5000), '\ud800'])
    expect(() => new ByteStage(setOps({ z: 'params.odd' }), { params: new Map([['odd', value]]) })).toThrow(
      'params.odd is nothing that the kernel works with',
    );
});

test('more than a turn of deferred records keep their places among the others', () => {
  const lines = Array.from({ length: 3000 }, (_, i) => (i % 2 === 0 ? `{"n":${i}}\n` : `{"n":"${i}"}\n`)).join('');
  expect(expectSame(() => setOps({ z: 'n + 1' }), lines)).toBe(1500);
  const all = Array.from({ length: 1537 }, (_, i) => `{"n":"${i}"}\n`).join('');
  expect(expectSame(() => setOps({ z: 'default(absent, n) == n' }), all)).toBe(0);
  expect(expectSame(() => setOps({ z: 'n / 2' }), all)).toBe(1537);
});

test('records that grow beyond all room come in several turns', () => {
  const long = 'x'.repeat(3000);
  const lines = Array.from({ length: 4000 }, (_, i) => `{"n":${i}}\n`).join('');
  expect(expectSame(() => setOps({ z: `"${long}"`, w: `"${long}" + string(n)` }), lines)).toBe(0);
});

test('one record larger than all that there is room for is deferred', () => {
  const text = 'y'.repeat(60_000);
  const fields = Object.fromEntries(Array.from({ length: 12 }, (_, i) => [`z${i}`, 't']));
  expect(expectSame(() => setOps(fields), `{"t":"${text}"}\n{"t":"a"}\n`)).toBe(1);
});

test('more fields than the kernel has room for are no program', () => {
  const fields = (n: number): Record<string, string> =>
    Object.fromEntries(Array.from({ length: n }, (_, i) => [`f${i}`, '1']));
  expect(noProgram(setOps(fields(256)))).toBeUndefined();
  expect(noProgram(setOps(fields(257)))?.why).toBe('its steps touch more than 256 fields');
});

test('a search in texts that look alike everywhere grows with their length only', () => {
  const line = (size: number, end: string): string =>
    `{"h":"${'a'.repeat(size)}${end}","n":"${'a'.repeat(size / 3)}b${'a'.repeat(size / 6)}"}\n`;
  const ops = (): Op[] => setOps({ z: 'h.contains(n)' });
  const alike = [3000, 6000].flatMap((size) => [line(size, ''), line(size, `b${'a'.repeat(size)}`), line(size, 'b')]);
  expect(expectSame(ops, alike.join(''))).toBe(0);
  const stage = new ByteStage(ops());
  const lines = Buffer.from(line(60_000, '').repeat(200));
  const started = process.cpuUsage();
  expect(stage.run(lines).left).toHaveLength(200);
  // All in all 200 times 40,000 times 20,000 comparisons otherwise: a minute, as JavaScript has it.
  expect(process.cpuUsage(started).user).toBeLessThan(10_000_000);
  expect(stage.deferred).toBe(0);
});

test('a search finds what ends at the very end, at every length', () => {
  const lines: string[] = [];
  for (let before = 0; before < 40; before++)
    for (const word of ['a', 'ab', 'abc', 'a longer word than sixteen'])
      lines.push(
        `{"h":"${'-'.repeat(before)}${word}","n":"${word}"}`,
        `{"h":"${'-'.repeat(before)}${word}","n":"${word}!"}`,
      );
  expect(expectSame(() => setOps({ z: 'h.contains(n)' }), `${lines.join('\n')}\n`)).toBe(0);
});

test('a piece whose records all fail in the steps gives every buffer back', () => {
  const stage = new ByteStage(setOps({ z: 'n * 2' }));
  const lines = Buffer.from(Array.from({ length: 3000 }, (_, i) => `{"n":"${'text'.repeat(25)} ${i}"}\n`).join(''));
  const round = (): void => {
    const { outcome, block } = stage.work(lines);
    expect(outcome.failed).toHaveLength(3000);
    giveBuffer(block.bytes);
  };
  round();
  round();
  const made = vi.spyOn(globalThis, 'SharedArrayBuffer');
  try {
    for (let i = 0; i < 5; i++) round();
    // What lies idle is let go now and then; one lost in each turn would be thirty.
    expect(made.mock.calls.length).toBeLessThan(10);
  } finally {
    made.mockRestore();
  }
});
