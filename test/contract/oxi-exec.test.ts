/** What `exec` promises, with small programs that behave, misbehave and die. */
import { mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest';
import type { OxiError } from '../../runner/engine/errors.ts';
import { Secret } from '../../runner/engine/secret.ts';
import { SideBySide, type SideBySideOptions } from '../../runner/engine/side-by-side.ts';
import { StageProgram } from '../../runner/engine/stage.ts';
import type { StageSpec } from '../../runner/engine/stage-spec.ts';
import { stepMaker } from '../../runner/oxis/make.ts';
import { blockOf, recordsOf, stageOf } from './oxi-suite.ts';

vi.setConfig({ testTimeout: 60_000 });

const NEVER = new AbortController().signal;
const ROOT = realpathSync(mkdtempSync(join(tmpdir(), 'oxiflow-exec-')));
afterAll(() => rmSync(ROOT, { recursive: true }));

const open = new Set<StageProgram>();
afterEach(async () => {
  for (const program of open) await program.close();
  open.clear();
});

/** A node program: `ask` gets each line and answers what is written. */
function script(body: string): string[] {
  return [
    process.execPath,
    '-e',
    `const { createInterface } = require('node:readline'); let n = 0;
     const say = (text) => process.stdout.write(text + '\\n');
     createInterface({ input: process.stdin }).on('line', (line) => { n++; ${body} });`,
  ];
}

function specOf(
  command: string[],
  more: { env?: Record<string, string>; cwd?: string } = {},
  onError?: 'drop',
): StageSpec {
  const step = { oxi: 'exec', config: { command, ...more }, ...(onError === undefined ? {} : { onError }) };
  return { ...stageOf([step]), projectRoot: ROOT };
}

function programOf(spec: StageSpec, said: string[] = []): StageProgram {
  const program = new StageProgram(
    spec,
    stepMaker((message) => said.push(message)),
  );
  open.add(program);
  return program;
}

const rides = (count: number, pad = ''): string[] =>
  Array.from({ length: count }, (_, ride) => JSON.stringify({ ride, ...(pad === '' ? {} : { pad }) }));

const failure = (work: Promise<unknown>): Promise<OxiError> =>
  work.then(
    () => expect.fail('it did not fail'),
    (error: unknown) => error as OxiError,
  );

function isAlive(pid: number): boolean {
  try {
    // A zombie that nobody has waited for yet is no process any more.
    return !/^\d+ \(.*\) [ZX]/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

async function untilGone(pid: number): Promise<void> {
  while (isAlive(pid)) await sleep(5);
}

describe('a program that answers', () => {
  test('gets every record as a line and gives every answer at its place, block after block', async () => {
    const program = programOf(
      specOf(script('const r = JSON.parse(line); say(JSON.stringify({ n, twice: 2 * r.ride }));')),
    );
    for (const first of [1, 101]) {
      const { block, counters } = await program.process(blockOf(rides(100)));
      expect(recordsOf(block)).toEqual(rides(100).map((_, i) => JSON.stringify({ n: first + i, twice: 2 * i })));
      expect([...block.offsets]).toEqual([...blockOf(rides(100)).offsets]);
      expect(counters[1]).toMatchObject({ in: 100, out: 100, filtered: 0, dropped: 0 });
    }
    await program.end();
  });

  test('may take far more at a time than the pipes hold, and answer it only at the end of the block', async () => {
    const records = rides(2000, 'x'.repeat(2000));
    for (const command of [
      ['cat'],
      script('(globalThis.kept ??= []).push(line); if (n === 2000) kept.forEach(say);'),
    ]) {
      const program = programOf(specOf(command));
      expect(recordsOf((await program.process(blockOf(records))).block)).toEqual(records);
      await program.end();
    }
  });

  test('its answers are records like others: checked, white space removed, null is a value', async () => {
    const answers = ['{ "a" : 1.50 }\r', ' null', '"\\u00e9 \u00fc"', '[1, 2 ]'];
    const program = programOf(specOf(script(`say(${JSON.stringify(answers)}[n - 1]);`)));
    const { block } = await program.process(blockOf(rides(4)));
    expect(recordsOf(block)).toEqual(['{"a":1.50}', 'null', '"\\u00e9 \u00fc"', '[1,2]']);
    await program.end();
  });

  test('an answer that is no record is the error of that record, and the others go on', async () => {
    const body = `say(n === 2 ? '' : n === 4 ? '{"a":' : line); if (n === 6) process.stdout.write(Buffer.from([0x22, 0xff, 0x22, 10]));`;
    const program = programOf(specOf(script(body.replace('say(n', 'if (n !== 6) say(n')), {}, 'drop'));
    const { block, counters, failures } = await program.process(blockOf(rides(7)));
    expect(recordsOf(block)).toEqual([0, 2, 4, 6].map((ride) => JSON.stringify({ ride })));
    expect(counters[1]).toMatchObject({ in: 7, out: 4, dropped: 3 });
    expect(failures.map(({ message }) => message.replace(/^.*answered/, ''))).toEqual([
      ' with an empty line',
      expect.stringMatching(/^ with what is no JSON: .* \(byte \d+ of its line\)$/),
      ' with what is no UTF-8 text (byte 1 of its line)',
    ]);
    await program.end();
  });

  test('sees its own variables and those of the machine, none of the secrets of the runner, in the folder it asked for', async () => {
    process.env.OXIFLOW_TEST_API_TOKEN = 'swordfish';
    try {
      const spec = specOf(script('say(JSON.stringify({ ...process.env, cwd: process.cwd() }));'), { cwd: '..' });
      (spec.steps[1] as { config: { env: unknown } }).config.env = new Map<string, unknown>([
        ['DEPOT', 'North'],
        ['API_TOKEN', new Secret('marlin')],
      ]);
      const { block } = await programOf(spec).process(blockOf(rides(1)));
      const seen = JSON.parse(recordsOf(block)[0] ?? '') as Record<string, string>;
      expect(seen).toMatchObject({
        DEPOT: 'North',
        API_TOKEN: 'marlin',
        PATH: process.env.PATH,
        cwd: join(ROOT, '..'),
      });
      expect(seen).not.toHaveProperty('OXIFLOW_TEST_API_TOKEN');
    } finally {
      delete process.env.OXIFLOW_TEST_API_TOKEN;
    }
  });

  test('no shell reads its arguments', async () => {
    const command = ['printf', '%s\\n', '"$HOME; echo `id` > x"'];
    const { block } = await programOf(specOf(command)).process(blockOf(rides(1)));
    expect(recordsOf(block)).toEqual(['"$HOME; echo `id` > x"']);
  });

  test('what it says on standard error goes to the log, a bounded part of it', async () => {
    const said: string[] = [];
    const program = programOf(
      specOf(script(`for (let i = 0; i < 3000; i++) console.error('warn ' + i + 'x'.repeat(500)); say(line);`)),
      said,
    );
    await program.process(blockOf(rides(1)));
    await program.end();
    expect(said).toHaveLength(1001);
    expect(said[0]).toMatch(/^.*node: warn 0x+…$/);
    expect(said.every((line) => line.length < 500)).toBe(true);
  });
});

test('a variable of its own is not told in part where a long line is cut', async () => {
  const said: string[] = [];
  const spec = specOf(script(`console.error('x'.repeat(295) + process.env.KEY); say(line);`), {
    env: { KEY: 'swordfish' },
  });
  const program = programOf(spec, said);
  await program.process(blockOf(rides(1)));
  await program.end();
  expect(said[0]).toMatch(/x\*\*\*$/);
});

describe('a program that fails', () => {
  const rows: [name: string, command: string[], message: RegExp][] = [
    ['is not there', ['no-such-program'], /"no-such-program" could not be started: no such program \(looked in PATH /],
    [
      'gets more than a command line takes',
      ['true', 'x'.repeat(3_000_000)],
      /"true" could not be started: spawn E2BIG/,
    ],
    ['ends at once', ['true'], /"true" ended with code 0, having answered 0 of 5 lines/],
    [
      'dies in the middle and says why',
      script(
        'if (n === 3) { console.error("no more fuel"); process.exitCode = 9; process.stdin.destroy(); } else say(line);',
      ),
      /ended with code 9, having answered 2 of 5 lines. It said: no more fuel/,
    ],
    ['is killed', ['sh', '-c', 'head -n 1; kill -9 $$'], /"sh" was ended by SIGKILL, having answered 1 of 5 lines/],
    [
      'answers once more than asked',
      script('say(line); if (n === 5) say(line);'),
      /wrote more lines than it was given/,
    ],
    ['answers without an end', ['yes', '1'], /"yes" wrote more lines than it was given/],
    ['writes half a line more', script('say(line); if (n === 5) process.stdout.write("{");'), /wrote more lines/],
    ['writes a line without an end', ['sh', '-c', 'cat /dev/zero'], /"sh" wrote a line of more than 64 MB/],
    ['closes its output', ['sh', '-c', 'exec 1>&-; sleep 60'], /"sh" closed its output/],
    ['closes its input', ['sh', '-c', 'exec 0<&-; sleep 60'], /"sh" closed its input before it had read all of it/],
  ];
  test.each(rows)('%s: exit 1, naming the step and the program', async (_name, command, message) => {
    const program = programOf(specOf(command));
    const records = rides(5, 'x'.repeat(100_000));
    const work = async (): Promise<void> => {
      await program.process(blockOf(records));
      // Some of it shows only behind the last line.
      await program.end();
    };
    const error = await failure(work());
    expect(error).toMatchObject({ code: 'EXEC_FAILED', exitCode: 1, place: { step: 'exec_1' } });
    expect(error.message).toMatch(/^step "exec_1": "/);
    expect(error.message).toMatch(message);
    // And it is of no use any more.
    expect((await failure(program.process(blockOf(records)))).code).toBe('EXEC_FAILED');
  });

  test('behind its last answer it still has to end well', async () => {
    const program = programOf(specOf(['sh', '-c', 'cat; echo "the ledger is open" >&2; exit 4']));
    expect(recordsOf((await program.process(blockOf(rides(3)))).block)).toEqual(rides(3));
    const error = await failure(program.end());
    expect(error.message).toMatch(/"sh" ended with code 4. It said: the ledger is open$/);
  });

  test('a folder that is not there is said', async () => {
    const error = await failure(programOf(specOf(['cat'], { cwd: 'no/such' })).process(blockOf(rides(1))));
    expect(error.message).toContain(`could not be started: no such folder: ${ROOT}/no/such`);
  });
});

describe('nothing of it stays behind', () => {
  /** Writes its own process number and that of a child of its own, then answers nothing. */
  const family = (more: string): string[] => [
    'sh',
    '-c',
    `${more} sleep 300 & echo "[$$,$!]" > ${join(ROOT, 'pids')}; read line; echo 1; wait; sleep 300`,
  ];

  test.each([
    ['a program and its children', ''],
    ['even those that take no notice of SIGTERM', 'trap "" TERM;'],
  ])('%s end with the step', async (_name, trap) => {
    const program = programOf(specOf(family(trap)));
    await program.process(blockOf(rides(1)));
    const pids = JSON.parse(readFileSync(join(ROOT, 'pids'), 'utf8')) as number[];
    expect(pids.map(isAlive)).toEqual([true, true]);
    const hanging = failure(program.process(blockOf(rides(1))));
    await program.close();
    expect((await hanging).code).toBe('EXEC_FAILED');
    for (const pid of pids) await untilGone(pid);
  });

  test('children of one that ended well go too', async () => {
    const program = programOf(specOf(['sh', '-c', `sleep 300 & echo "$!" > ${join(ROOT, 'pid')}; exec cat`]));
    await program.process(blockOf(rides(1)));
    await program.end();
    await untilGone(Number(readFileSync(join(ROOT, 'pid'), 'utf8')));
  });
});

describe('side by side', () => {
  function pool(command: string[], more: Partial<SideBySideOptions> = {}): { pool: SideBySide; retries: number[] } {
    const retries: number[] = [];
    const made = new SideBySide({
      spec: specOf(command),
      makeSteps: stepMaker(),
      instances: 2,
      timeout: undefined,
      retry: { attempts: 0, delayMs: 1, signal: NEVER, onRetry: ({ attempt }) => retries.push(attempt) },
      ...more,
    });
    return { pool: made, retries };
  }

  test('blocks are worked on at the same time, by as many programs as allowed and no more', async () => {
    writeFileSync(join(ROOT, 'started'), '');
    // Each waits until the other has started: alone, neither would ever answer.
    const meet = `echo x >> started; while [ $(wc -l < started) -lt 2 ]; do sleep 0.02; done; exec cat`;
    const { pool: two } = pool(['sh', '-c', meet]);
    await using _ = two;
    const blocks = Array.from({ length: 6 }, (_, i) => rides(10 + i));
    const results = await Promise.all(blocks.map((block) => two.run(blockOf(block))));
    expect(results.map(({ block }) => recordsOf(block))).toEqual(blocks);
    await two.end();
    expect(readFileSync(join(ROOT, 'started'), 'utf8')).toBe('x\nx\n');
  });

  test('a block that failed is done again by a new program, whole, within its budget', async () => {
    writeFileSync(join(ROOT, 'tries'), '');
    const flaky = 'echo x >> tries; [ $(wc -l < tries) -lt 3 ] && { head -n 1; exit 5; }; exec cat';
    const retry = (attempts: number): Partial<SideBySideOptions> => ({
      retry: { attempts, delayMs: 1, signal: NEVER },
    });
    const { pool: enough } = pool(['sh', '-c', flaky], retry(2));
    await using _ = enough;
    expect(recordsOf((await enough.run(blockOf(rides(20)))).block)).toEqual(rides(20));
    writeFileSync(join(ROOT, 'tries'), '');
    const { pool: few } = pool(['sh', '-c', flaky], retry(1));
    await using _few = few;
    expect((await failure(few.run(blockOf(rides(20))))).message).toMatch(
      /"sh" ended with code 5, having answered 1 of 20/,
    );
  });

  test('a block that takes too long is given up: the message says how far it got, and what may be the matter', async () => {
    const { pool: slow } = pool(['sh', '-c', 'head -n 2; sleep 300'], {
      timeout: { ms: 400, what: 'step "exec_1"', field: 'timeout_seconds', step: 'exec_1' },
    });
    await using _ = slow;
    const error = await failure(slow.run(blockOf(rides(3))));
    expect(error).toMatchObject({ code: 'TIMED_OUT', exitCode: 1 });
    expect(error.message).toMatch(/took longer than 400 ms .*"sh" has answered 2 of 3 lines and has all of its input/);
  });

  test('bad data is not tried again', async () => {
    const { pool: one, retries } = pool(script('say("{");'), {
      retry: { attempts: 5, delayMs: 1, signal: NEVER },
    });
    await using _ = one;
    expect((await failure(one.run(blockOf(rides(1))))).code).toBe('RECORD_INVALID');
    expect(retries).toEqual([]);
  });

  test('the end of the run ends what is at work and what waits', async () => {
    const { pool: hanging } = pool(['sleep', '300'], {
      instances: 1,
      retry: { attempts: 9, delayMs: 1, signal: NEVER },
    });
    const work = [1, 2, 3].map((n) => failure(hanging.run(blockOf(rides(n)))));
    await hanging[Symbol.asyncDispose]();
    for (const error of await Promise.all(work)) expect(error.code).toBe('EXEC_FAILED');
  });
});

describe('a record that the program does not survive, where a block has a time of its own', () => {
  const MS = 400;
  const LIMIT = { ms: MS, what: 'step "exec_1"', field: 'max_processing_time_ms', step: 'exec_1' };

  /** `body` gets `ride`, the number of the ride, and answers with `say(line)`. */
  function looking(body: string, more: Partial<SideBySideOptions> = {}, onError: 'drop' | 'stop' = 'drop') {
    const said: string[] = [];
    const spec = specOf(script(`const { ride } = JSON.parse(line); ${body}`), {}, 'drop');
    const [, step] = spec.steps;
    if (step === undefined) throw new Error('the stage has a second step');
    step.onError = onError;
    // A stage that waits holds that one step alone.
    const alone = { ...spec, steps: [step], checked: true };
    const pool = new SideBySide({
      spec: alone,
      makeSteps: stepMaker(),
      instances: 1,
      timeout: LIMIT,
      retry: { attempts: 0, delayMs: 1, signal: NEVER },
      findsPoison: true,
      say: (message) => said.push(message),
      ...more,
    });
    return { pool, said };
  }

  const without = (count: number, ...bad: number[]) => rides(count).filter((_, ride) => !bad.includes(ride));

  test('is found and refused as one that took too long; the others go on in order, and the balance holds', async () => {
    writeFileSync(join(ROOT, 'programs'), '');
    const note = `if (n === 1) require('node:fs').appendFileSync('programs', process.pid + '\\n');`;
    const { pool, said } = looking(`${note} if (ride === 77) globalThis.mute = true; if (!globalThis.mute) say(line);`);
    await using _ = pool;
    const { block, counters, failures } = await pool.run(blockOf(rides(200)));
    expect(recordsOf(block)).toEqual(without(200, 77));
    expect(counters[0]).toMatchObject({ in: 200, out: 199, dropped: 1, failed: 0 });
    const reason = `it took longer than ${MS} ms (max_processing_time_ms)`;
    expect(said).toEqual([`step "exec_1": a record is given up: ${reason}`]);
    expect(failures.map(({ message }) => message)).toEqual([expect.stringContaining(reason)]);
    // Every one of them that hung is gone, with its group.
    const pids = readFileSync(join(ROOT, 'programs'), 'utf8')
      .split('\n')
      .filter((pid) => pid !== '')
      .map(Number);
    const busy = pids.slice(0, -1);
    expect(busy.length).toBeGreaterThanOrEqual(3);
    for (const pid of busy) await untilGone(pid);
    await pool.end();
  });

  test('those that it dies over are refused by what it said, each of them', async () => {
    const { pool } = looking(
      'if (ride === 0 || ride === 99) { console.error("no such bike"); process.exit(7); } say(line);',
      {
        timeout: { ...LIMIT, ms: 20_000 },
      },
    );
    await using _ = pool;
    const { block, counters, failures } = await pool.run(blockOf(rides(100)));
    expect(recordsOf(block)).toEqual(without(100, 0, 99));
    expect(counters[0]).toMatchObject({ in: 100, out: 98, dropped: 2 });
    expect(failures[0]?.message).toMatch(/ended with code 7, having answered 0 of 1 lines. It said: no such bike/);
  });

  test('stops the run where the step says so, with the code of bad data', async () => {
    const { pool } = looking(
      'if (ride === 5) process.exit(7); say(line);',
      { timeout: { ...LIMIT, ms: 20_000 } },
      'stop',
    );
    await using _ = pool;
    const error = await failure(pool.run(blockOf(rides(40))));
    expect(error).toMatchObject({ code: 'RECORD_INVALID', exitCode: 3 });
  });

  test('is tried again alone as often as the step is allowed to: a death that passes costs no record', async () => {
    writeFileSync(join(ROOT, 'deaths'), '');
    const twice = `const fs = require('node:fs');
      if (ride === 3 && fs.readFileSync('deaths', 'utf8').length < 3) { fs.appendFileSync('deaths', 'x'); process.exit(7); }
      say(line);`;
    const { pool } = looking(twice, {
      timeout: { ...LIMIT, ms: 20_000 },
      retry: { attempts: 1, delayMs: 1, signal: NEVER },
    });
    await using _ = pool;
    // Two attempts of the whole, one of the part, and none is left to die of.
    const { block } = await pool.run(blockOf(rides(64)));
    expect(recordsOf(block)).toEqual(rides(64));
    expect(readFileSync(join(ROOT, 'deaths'), 'utf8')).toBe('xxx');
  });

  test('is not looked for where the world is to blame: a time of timeout_seconds, a program that is not there', async () => {
    const { pool: late } = looking('', { timeout: { ...LIMIT, field: 'timeout_seconds' } });
    await using _late = late;
    expect((await failure(late.run(blockOf(rides(3))))).code).toBe('TIMED_OUT');
    const spec = specOf(['no-such-program'], {}, 'drop');
    const { pool: none } = looking('', { spec: { ...spec, steps: spec.steps.slice(1), checked: true } });
    await using _none = none;
    expect((await failure(none.run(blockOf(rides(3))))).message).toContain('could not be started');
  });

  test('is no accident where all of them are such: the run fails after a few', async () => {
    const { pool, said } = looking('process.exit(7);', { timeout: { ...LIMIT, ms: 20_000 } });
    await using _ = pool;
    const error = await failure(pool.run(blockOf(rides(1000))));
    expect(error).toMatchObject({ code: 'EXEC_FAILED', exitCode: 1 });
    expect(error.message).toMatch(/ended with code 7.*: it came to that \d+ times in a row$/);
    expect(said.length).toBeLessThan(20);
  });
});
