// In which order the watchlist shows its series, and which of them.

import { compare, percent } from "../base/decimal.js";
import { compareTimes } from "./market.js";

/** @import { Series } from "./market.js" */

/** @typedef {"symbol" | "price" | "change" | "average" | "provider" | "age"} Column */

/**
 * The change in per cent; of a series without a base, less than any.
 * @param {Series} series
 */
const share = ({ base, newest }) => (base ? percent(newest.price, base.price) || "-100" : "-101");

/** @type {Record<Column, (a: Series, b: Series) => number>} */
const ORDERS = {
  symbol: () => 0,
  price: (a, b) => compare(a.newest.price, b.newest.price),
  change: (a, b) => compare(share(a), share(b)),
  average: (a, b) => compare(a.newest.moving_average, b.newest.moving_average),
  provider: (a, b) => (a.provider < b.provider ? -1 : a.provider > b.provider ? 1 : 0),
  age: (a, b) => compareTimes(b.newest.timestamp, a.newest.timestamp),
};

/** Columns whose order changes with the prices. */
export const MOVING = new Set(["price", "change", "average", "age"]);

/**
 * The series that contain the text, in the column's order.
 * @param {Iterable<Series>} all
 * @param {string} filter
 * @param {Column} column
 * @param {boolean} descending
 * @returns {Series[]}
 */
export function selected(all, filter, column, descending) {
  const wanted = filter.trim().toUpperCase();
  const found = [...all].filter(
    ({ symbol, provider }) => symbol.toUpperCase().includes(wanted) || provider.toUpperCase().includes(wanted),
  );

  const sign = descending ? -1 : 1;
  const byName = (/** @type {Series} */ a, /** @type {Series} */ b) => (a.key < b.key ? -1 : 1);
  const order = ORDERS[column];
  return found.sort((a, b) =>
    column === "symbol" ? sign * byName(a, b) : sign * order(a, b) || byName(a, b),
  );
}
