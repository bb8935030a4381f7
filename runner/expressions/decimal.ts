/**
 * Exact decimal numbers: a whole number of units of 10^-scale. Kept without trailing zeros, so that equal values have equal
 * texts. Sums, differences and products are exact; a quotient has at most 34 significant digits (IEEE decimal128's), rounded
 * half away from zero. At most MAX_DIGITS digits on either side of the point.
 */

const MAX_DIGITS = 1000;
const QUOTIENT_DIGITS = 34;
const SYNTAX = /^([+-]?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d{1,6}))?$/;

export class Decimal {
  readonly units: bigint;
  /** Digits behind the point; never negative. */
  readonly scale: number;

  private constructor(units: bigint, scale: number) {
    this.units = units;
    this.scale = scale;
  }

  /** Throws RangeError where the number needs more than MAX_DIGITS digits. */
  static of(units: bigint, scale: number): Decimal {
    let digits = units.toString();
    if (digits.length > 2 * MAX_DIGITS + 2)
      throw new RangeError(`a decimal has at most ${MAX_DIGITS} digits on each side of the point`);
    let places = scale;
    if (places > 0) {
      const zeros = digits.length - digits.replace(/0+$/, '').length;
      const dropped = units === 0n ? places : Math.min(zeros, places);
      if (dropped > 0 && units !== 0n) digits = digits.slice(0, digits.length - dropped);
      places -= dropped;
    }
    if (places > MAX_DIGITS || digits.length - places > MAX_DIGITS + 1) {
      throw new RangeError(`a decimal has at most ${MAX_DIGITS} digits on each side of the point`);
    }
    return new Decimal(BigInt(digits), places);
  }

  /** The value of a decimal text such as -12.50 or 1e-3; undefined where it is none. */
  static parse(text: string): Decimal | undefined {
    const parts = text.length > 4 * MAX_DIGITS ? null : SYNTAX.exec(text);
    if (parts === null) return undefined;
    const fraction = parts[3] ?? '';
    const scale = fraction.length - Number(parts[4] ?? '0');
    const units = BigInt(`${parts[1] === '-' ? '-' : ''}${parts[2] ?? '0'}${fraction}`);
    if (units === 0n) return new Decimal(0n, 0);
    if (scale >= 0) return scale > 4 * MAX_DIGITS ? tooLong() : Decimal.of(units, scale);
    return -scale > MAX_DIGITS ? tooLong() : Decimal.of(units * 10n ** BigInt(-scale), 0);
  }

  /** A double as people read it: by its shortest text, so that 0.1 is one tenth. */
  static fromNumber(value: number | bigint): Decimal {
    return Decimal.parse(String(value)) ?? tooLong();
  }

  plus(other: Decimal): Decimal {
    const scale = Math.max(this.scale, other.scale);
    return Decimal.of(this.#at(scale) + other.#at(scale), scale);
  }

  minus(other: Decimal): Decimal {
    return this.plus(other.negated());
  }

  times(other: Decimal): Decimal {
    return Decimal.of(this.units * other.units, this.scale + other.scale);
  }

  /** `other` is not zero. */
  dividedBy(other: Decimal): Decimal {
    const lack = QUOTIENT_DIGITS + length(other.units) - length(this.units) + 1;
    const shift = Math.max(0, lack, other.scale - this.scale);
    const quotient = divideRounding(this.units * 10n ** BigInt(shift), other.units);
    const scale = this.scale + shift - other.scale;
    const beyond = length(quotient) - QUOTIENT_DIGITS;
    if (beyond <= 0) return Decimal.of(quotient, scale);
    // One rounding only: divide again with a divisor that is longer by the digits to drop.
    const rounded = divideRounding(this.units * 10n ** BigInt(shift), other.units * 10n ** BigInt(beyond));
    const places = scale - beyond;
    return places >= 0 ? Decimal.of(rounded, places) : Decimal.of(rounded * 10n ** BigInt(-places), 0);
  }

  negated(): Decimal {
    return new Decimal(-this.units, this.scale);
  }

  abs(): Decimal {
    return this.units < 0n ? this.negated() : this;
  }

  /** To `digits` places behind the point, half away from zero. */
  rounded(digits: number): Decimal {
    if (digits >= this.scale) return this;
    return Decimal.of(divideRounding(this.units, 10n ** BigInt(this.scale - digits)), digits);
  }

  /** The whole part; towards zero. */
  truncated(): bigint {
    return this.units / 10n ** BigInt(this.scale);
  }

  floor(): Decimal {
    const whole = this.truncated();
    return Decimal.of(this.units < 0n && this.scale > 0 ? whole - 1n : whole, 0);
  }

  ceil(): Decimal {
    return this.negated().floor().negated();
  }

  isWhole(): boolean {
    return this.scale === 0;
  }

  /** Below, at or above zero as this is less than, equal to or greater than `other`. */
  compare(other: Decimal): number {
    const scale = Math.max(this.scale, other.scale);
    const left = this.#at(scale);
    const right = other.#at(scale);
    return left < right ? -1 : left > right ? 1 : 0;
  }

  /** Plain digits, without an exponent: a JSON number. */
  toString(): string {
    if (this.scale === 0) return this.units.toString();
    const digits = (this.units < 0n ? -this.units : this.units).toString().padStart(this.scale + 1, '0');
    const split = digits.length - this.scale;
    return `${this.units < 0n ? '-' : ''}${digits.slice(0, split)}.${digits.slice(split)}`;
  }

  #at(scale: number): bigint {
    return scale === this.scale ? this.units : this.units * 10n ** BigInt(scale - this.scale);
  }
}

function length(units: bigint): number {
  return (units < 0n ? -units : units).toString().length;
}

/** Half away from zero. */
function divideRounding(dividend: bigint, divisor: bigint): bigint {
  const quotient = dividend / divisor;
  const rest = dividend % divisor;
  const twice = (rest < 0n ? -rest : rest) * 2n;
  if (twice < (divisor < 0n ? -divisor : divisor)) return quotient;
  return dividend < 0n === divisor < 0n ? quotient + 1n : quotient - 1n;
}

function tooLong(): never {
  throw new RangeError(`a decimal has at most ${MAX_DIGITS} digits on each side of the point`);
}
