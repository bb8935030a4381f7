/**
 * Matches a text against a regular expression in time linear in the text: sets of automaton states, remembered as they come
 * up. Our own, because a filter needs one yes or no, at once and without start-up cost; the engine at hand is 260 KB that
 * can't be loaded lazily from synchronous code. `test/expressions/regex.test.ts` holds it against the platform's RegExp.
 */
import { type Assertion, type CharTest, isWord, PatternError, parseRegex, type Regex } from './regex-parse.ts';

type Instruction =
  | { kind: 'char'; test: CharTest; next: number }
  | { kind: 'split'; next: number; other: number }
  | { kind: 'assert'; what: Assertion; next: number }
  | { kind: 'match' };

const MAX_INSTRUCTIONS = 20_000;
/** Remembered transitions and states; beyond them the memory starts anew, and so stays bounded on any text. */
const MAX_REMEMBERED = 20_000;
/** A state takes the room of so many transitions. */
const STATE_COST = 4;
const END = -1;
const ASCII = 128;

/** Instructions to try at a position, and the character before it (END: the start of the text). */
interface State {
  entries: number[];
  before: 'start' | 'word' | 'line-feed' | 'other';
  after: After;
}

/** Where each character leads, as far as it was tried. Those of ASCII, which are most, are found without a look-up. */
class After {
  readonly #ascii: (State | true | undefined)[] = new Array(ASCII).fill(undefined);
  #others: Map<number, State | true> | undefined;

  get(code: number): State | true | undefined {
    return code >= 0 && code < ASCII ? this.#ascii[code] : this.#others?.get(code);
  }

  set(code: number, next: State | true): void {
    if (code >= 0 && code < ASCII) {
      this.#ascii[code] = next;
      return;
    }
    this.#others ??= new Map();
    this.#others.set(code, next);
  }
}

export interface LinearRegex {
  /** Size of the automaton. */
  readonly instructions: number;
  /** True where the pattern matches somewhere in the text. Every 8 instructions of work are charged as one step. */
  test(text: string, charge: (steps: number) => void): boolean;
}

/** Throws PatternError. */
export function compileRegex(pattern: string): LinearRegex {
  const program: Instruction[] = [];
  const start = emit(parseRegex(pattern), add(program, { kind: 'match' }), program);
  let states = new Map<string, State>();
  let remembered = 0;
  let first: State | undefined;
  const visited = new Int32Array(program.length);
  let visit = 0;
  /** Instructions that `step` looked at. */
  let tried = 0;

  const stateOf = (entries: number[], before: State['before']): State => {
    const key = `${before} ${entries.join(',')}`;
    let state = states.get(key);
    if (state === undefined) {
      state = { entries, before, after: new After() };
      states.set(key, state);
      remembered += STATE_COST;
    }
    return state;
  };

  /** The state behind the character `code` (or END), or true where the pattern has matched before it. */
  const step = (state: State, code: number): State | true => {
    visit++;
    const entries: number[] = [];
    const open = [...state.entries, start].reverse();
    for (let at = open.pop(); at !== undefined; at = open.pop()) {
      if (visited[at] === visit) continue;
      visited[at] = visit;
      tried++;
      const instruction = program[at];
      if (instruction === undefined) continue;
      if (instruction.kind === 'match') return true;
      if (instruction.kind === 'split') open.push(instruction.other, instruction.next);
      else if (instruction.kind === 'assert') {
        if (holds(instruction.what, state.before, code)) open.push(instruction.next);
      } else if (code !== END && instruction.test(code)) entries.push(instruction.next);
    }
    const before = code === 10 ? 'line-feed' : code !== END && isWord(code) ? 'word' : 'other';
    return stateOf(
      [...new Set(entries)].sort((a, b) => a - b),
      before,
    );
  };

  return {
    instructions: program.length,
    test(text, charge) {
      charge(text.length >> 3);
      first ??= stateOf([], 'start');
      let state = first;
      for (let i = 0; i <= text.length; i++) {
        const code = i === text.length ? END : (text.codePointAt(i) ?? END);
        if (code > 0xffff) i++;
        let next = state.after.get(code);
        if (next === undefined) {
          tried = 0;
          next = step(state, code);
          const cost = 1 + (tried >> 3);
          charge(cost);
          remembered += cost;
          state.after.set(code, next);
          if (remembered > MAX_REMEMBERED) {
            states = new Map();
            first = undefined;
            remembered = 0;
            if (next !== true) next = stateOf(next.entries, next.before);
          }
        }
        if (next === true) return true;
        state = next;
      }
      return false;
    },
  };
}

function holds(what: Assertion, before: State['before'], code: number): boolean {
  switch (what) {
    case 'text-start':
      return before === 'start';
    case 'text-end':
      return code === END;
    case 'line-start':
      return before === 'start' || before === 'line-feed';
    case 'line-end':
      return code === END || code === 10;
    default: {
      const boundary = (before === 'word') !== (code !== END && isWord(code));
      return boundary === (what === 'word');
    }
  }
}

function add(program: Instruction[], instruction: Instruction): number {
  if (program.length >= MAX_INSTRUCTIONS) throw new PatternError('the pattern is too large; use smaller counts');
  return program.push(instruction) - 1;
}

/** Appends the instructions of `regex` that go on at `next`; returns where they begin. */
function emit(regex: Regex, next: number, program: Instruction[]): number {
  switch (regex.kind) {
    case 'empty':
      return next;
    case 'char':
      return add(program, { kind: 'char', test: regex.test, next });
    case 'assert':
      return add(program, { kind: 'assert', what: regex.what, next });
    case 'sequence':
      return regex.items.reduceRight((behind, item) => emit(item, behind, program), next);
    case 'either':
      return regex.items
        .map((item) => emit(item, next, program))
        .reduceRight((other, begin) => add(program, { kind: 'split', next: begin, other }));
    case 'repeat': {
      let begin = next;
      if (regex.max === Number.POSITIVE_INFINITY) {
        const loop = { kind: 'split' as const, next: 0, other: next };
        begin = add(program, loop);
        loop.next = emit(regex.item, begin, program);
      } else {
        for (let i = regex.min; i < regex.max; i++) {
          begin = add(program, { kind: 'split', next: emit(regex.item, begin, program), other: next });
        }
      }
      for (let i = 0; i < regex.min; i++) {
        const again = emit(regex.item, begin, program);
        // Nothing, a thousand times, is nothing: counts of empty groups multiply without adding an instruction.
        if (again === begin) break;
        begin = again;
      }
      return begin;
    }
  }
}
