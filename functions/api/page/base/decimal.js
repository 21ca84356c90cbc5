// Arithmetic on decimals in text, without floating point.

/**
 * A decimal: `digits` × 10^-`scale`.
 * @typedef {{ digits: bigint, scale: number }} Decimal
 */

const FORM = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/;

/**
 * @param {string} text
 * @returns {Decimal}
 */
export function decimal(text) {
  const parts = FORM.exec(text);
  if (!parts) throw new RangeError(`not a decimal: ${text}`);

  const [, sign = "", whole = "", fraction = "", exponent = "0"] = parts;
  const digits = BigInt(sign + whole + fraction);
  const scale = fraction.length - Number(exponent);
  return scale >= 0 ? { digits, scale } : { digits: digits * 10n ** BigInt(-scale), scale: 0 };
}

/**
 * @param {Decimal} value
 * @param {number} scale at least that of the value
 * @returns {bigint}
 */
function digitsAt(value, scale) {
  return value.digits * 10n ** BigInt(scale - value.scale);
}

/**
 * The decimal as text, with all the places that it has.
 * @param {Decimal} value
 * @returns {string}
 */
export function text({ digits, scale }) {
  const sign = digits < 0n ? "-" : "";
  const all = (digits < 0n ? -digits : digits).toString().padStart(scale + 1, "0");
  if (scale === 0) return sign + all;
  return `${sign}${all.slice(0, -scale)}.${all.slice(-scale)}`;
}

/**
 * @param {string} a
 * @param {string} b
 * @returns {number} less than, equal to or greater than zero, as `a` is to `b`
 */
export function compare(a, b) {
  const [x, y] = [decimal(a), decimal(b)];
  const scale = Math.max(x.scale, y.scale);
  const difference = digitsAt(x, scale) - digitsAt(y, scale);
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}

/**
 * `a` - `b`, exactly.
 * @param {string} a
 * @param {string} b
 * @returns {string}
 */
export function difference(a, b) {
  const [x, y] = [decimal(a), decimal(b)];
  const scale = Math.max(x.scale, y.scale);
  return text({ digits: digitsAt(x, scale) - digitsAt(y, scale), scale });
}

/**
 * The quotient, rounded half away from zero.
 * @param {bigint} dividend
 * @param {bigint} divisor greater than zero
 * @returns {bigint}
 */
function rounded(dividend, divisor) {
  const half = dividend < 0n ? -divisor : divisor;
  return (dividend * 2n + half) / (divisor * 2n);
}

/**
 * The change from `base` to `value` in per cent of `base`, with two places; "" if `base` is zero.
 * @param {string} value
 * @param {string} base
 * @returns {string}
 */
export function percent(value, base) {
  const [x, y] = [decimal(value), decimal(base)];
  const scale = Math.max(x.scale, y.scale);
  const [now, then] = [digitsAt(x, scale), digitsAt(y, scale)];
  if (then <= 0n) return "";
  return text({ digits: rounded((now - then) * 10_000n, then), scale: 2 });
}

/**
 * The mean of the values: exact where a decimal of at most `places` more places than theirs is, else
 * rounded to as many.
 * @param {string[]} values at least one
 * @param {number} [places]
 * @returns {string}
 */
export function mean(values, places = 2) {
  const all = values.map(decimal);
  const scale = Math.max(...all.map((value) => value.scale)) + places;
  const sum = all.reduce((sum, value) => sum + digitsAt(value, scale), 0n);
  return trimmed(text({ digits: rounded(sum, BigInt(values.length)), scale }));
}

/**
 * Without zeros at the end of its fraction.
 * @param {string} text
 * @returns {string}
 */
function trimmed(text) {
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

/**
 * A change with its sign, a true minus among them: it is as wide as the plus.
 * @param {string} change
 * @returns {string}
 */
export function signed(change) {
  const direction = directionOf(change);
  if (direction === "flat") return change.replace("-", "");
  return direction === "up" ? `+${change}` : `−${change.slice(1)}`;
}

/**
 * @param {string} change
 * @returns {"up" | "down" | "flat"}
 */
export function directionOf(change) {
  const { digits } = decimal(change);
  return digits > 0n ? "up" : digits < 0n ? "down" : "flat";
}

/** The sign beside each colour: nobody has to tell colours apart. */
export const ARROWS = { up: "▲", down: "▼", flat: "■" };
