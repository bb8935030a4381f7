// The program of a stage, run over one record: words of 32 bits, an operation and its operands. What it makes of a record is that it
// stays, that a step filters it, or that this tier is not sure.
import { cast, change, combine, drop, popJson, pushBoolean, pushIsOneOf, pushJson, pushNull, pushNumber, pushScript, pushString, pushText, roundTo, startValues, takeScript, truth } from './values';
import { dropMember, renameMembers, selectMembers, setMember, slotOf, valueNow } from './edits';
import { END, FILTER, DROP, RENAME, SET, TAKE, PUSH_FIELD, PUSH_OR, PUSH_HAS, PUSH_NULL, PUSH_BOOLEAN, PUSH_NUMBER, PUSH_TEXT, COMBINE, CHANGE, ROUND_TO, ONE_OF, DECIDED, IS_BOOLEAN, CHOOSE, JUMP, SELECT, PUSH_STRING, PUSH_IS, PUSH_NOW, PUSH_NOW_OR, PUSH_HAS_NOW, CAST, LAP, SCRIPT, TAKE_SCRIPT } from './operations';
import { COUNTS, RECORD, SLOT_BYTES, TEXTS } from './memory';

/** Ends of a program. */
export const STAYS: u32 = 0;
export const FILTERED: u32 = 1;
export const DEFERRED: u32 = 2;


/** What went by since the last lap was the work of the step at that place. */
// @ts-ignore: decorator
@external('js', 'lap')
export declare function lap(owner: u32): void;

let code: usize = 0;

export function setProgram(at: usize): void {
  code = at;
}

/** Of a record that is an object. A jump is an address. */
export function runProgram(): u32 {
  if (load<u32>(code) == END) return STAYS;
  if (load<u8>(load<u32>(RECORD)) != 123) return DEFERRED;
  startValues();
  let pc = code;
  for (;;) {
    switch (load<u32>(pc)) {
      case END:
        return STAYS;
      case FILTER: {
        const kept = truth();
        if (kept == 1) {
          drop();
          pc += 8;
          continue;
        }
        if (kept) return DEFERRED;
        const count = COUNTS + (<usize>load<u32>(pc, 4) << 2);
        store<u32>(count, load<u32>(count) + 1);
        return FILTERED;
      }
      case DROP:
        dropMember(load<u32>(pc, 4));
        pc += 8;
        continue;
      case RENAME: {
        const count = load<u32>(pc, 4);
        renameMembers(pc + 8, count);
        pc += 8 + (<usize>count << 4);
        continue;
      }
      case SET:
        if (!setMember(pc + 8, TEXTS + <usize>load<u32>(pc, 4) * SLOT_BYTES)) return DEFERRED;
        pc += 28;
        continue;
      case TAKE:
        if (!popJson(TEXTS + <usize>load<u32>(pc, 4) * SLOT_BYTES)) return DEFERRED;
        pc += 8;
        continue;
      case PUSH_FIELD: {
        const slot = slotOf(load<u32>(pc, 4));
        if (!load<u32>(slot, 8) || !pushJson(load<u32>(slot, 4), load<u32>(slot, 8))) return DEFERRED;
        pc += 8;
        continue;
      }
      case PUSH_STRING: {
        const slot = slotOf(load<u32>(pc, 4));
        if (!load<u32>(slot, 8) || !pushString(load<u32>(slot, 4), load<u32>(slot, 8))) return DEFERRED;
        pc += 8;
        continue;
      }
      case PUSH_IS: {
        // Whether the JSON text of a field begins with a byte, which is that of true, false or null.
        const slot = slotOf(load<u32>(pc, 4));
        if (!load<u32>(slot, 8)) return DEFERRED;
        pushBoolean((<u32>load<u8>(load<u32>(slot, 4)) == load<u32>(pc, 8)) == (load<u32>(pc, 12) != 0));
        pc += 16;
        continue;
      }
      case PUSH_NOW: {
        const range = valueNow(load<u32>(pc, 4));
        if (!range || !pushJson(load<u32>(range), load<u32>(range, 4))) return DEFERRED;
        pc += 8;
        continue;
      }
      case PUSH_NOW_OR: {
        const range = valueNow(load<u32>(pc, 4));
        if (range && load<u8>(load<u32>(range)) != 110) {
          if (!pushJson(load<u32>(range), load<u32>(range, 4))) return DEFERRED;
          pc = load<u32>(pc, 8);
        } else pc += 12;
        continue;
      }
      case PUSH_HAS_NOW:
        pushBoolean(valueNow(load<u32>(pc, 4)) != 0);
        pc += 8;
        continue;
      case CAST: {
        // A field to a type, into a text: on at the address where it is not there or null.
        const range = valueNow(load<u32>(pc, 4));
        if (!range || load<u8>(load<u32>(range)) == 110) {
          pc = load<u32>(pc, 16);
          continue;
        }
        const text = TEXTS + <usize>load<u32>(pc, 12) * SLOT_BYTES;
        if (!pushJson(load<u32>(range), load<u32>(range, 4)) || !cast(load<u32>(pc, 8)) || !popJson(text)) return DEFERRED;
        pc += 20;
        continue;
      }
      case LAP:
        lap(load<u32>(pc, 4));
        pc += 8;
        continue;
      case SCRIPT:
        if (!pushScript(load<u32>(pc, 4))) return DEFERRED;
        pc += 8;
        continue;
      case TAKE_SCRIPT:
        if (!takeScript(load<u32>(pc, 4), TEXTS + <usize>load<u32>(pc, 8) * SLOT_BYTES)) return DEFERRED;
        pc += 12;
        continue;
      case SELECT: {
        const count = load<u32>(pc, 4);
        selectMembers(pc + 8, count);
        pc += 8 + (<usize>count << 3);
        continue;
      }
      case PUSH_OR: {
        // The value of a field, and on at the address, unless it is not there or null.
        const slot = slotOf(load<u32>(pc, 4));
        const end = <usize>load<u32>(slot, 8);
        if (end && load<u8>(load<u32>(slot, 4)) != 110) {
          if (!pushJson(load<u32>(slot, 4), end)) return DEFERRED;
          pc = load<u32>(pc, 8);
        } else pc += 12;
        continue;
      }
      case PUSH_HAS:
        pushBoolean(load<u32>(slotOf(load<u32>(pc, 4)), 8) != 0);
        pc += 8;
        continue;
      case PUSH_NULL:
        pushNull();
        pc += 4;
        continue;
      case PUSH_BOOLEAN:
        pushBoolean(load<u32>(pc, 4) != 0);
        pc += 8;
        continue;
      case PUSH_NUMBER:
        pushNumber(load<f64>(pc, 4));
        pc += 12;
        continue;
      case PUSH_TEXT:
        pushText(load<u32>(pc, 4), load<u32>(pc, 8), load<u32>(pc, 12));
        pc += 16;
        continue;
      case COMBINE:
        if (!combine(load<u32>(pc, 4))) return DEFERRED;
        pc += 8;
        continue;
      case CHANGE:
        if (!change(load<u32>(pc, 4))) return DEFERRED;
        pc += 8;
        continue;
      case ROUND_TO:
        if (!roundTo(load<u32>(pc, 4))) return DEFERRED;
        pc += 8;
        continue;
      case ONE_OF:
        pushIsOneOf(load<u32>(pc, 4));
        pc += 8;
        continue;
      case DECIDED: {
        // One side of && or ||: on at the address where it decides, with its value, which is gone otherwise.
        const value = truth();
        if (value == 2) return DEFERRED;
        if (value == load<u32>(pc, 4)) pc = load<u32>(pc, 8);
        else {
          drop();
          pc += 12;
        }
        continue;
      }
      case IS_BOOLEAN:
        if (truth() == 2) return DEFERRED;
        pc += 4;
        continue;
      case CHOOSE: {
        // On behind it where the value is true, at the address where it is false.
        const value = truth();
        if (value == 2) return DEFERRED;
        drop();
        pc = value ? pc + 8 : load<u32>(pc, 4);
        continue;
      }
      case JUMP:
        pc = load<u32>(pc, 4);
        continue;
      default:
        unreachable();
    }
  }
  return STAYS;
}
