// Moving averages of the points that are drawn, exactly. The one of five points is the API's own;
// others are computed here by the same rule: a change of the unit begins a new window.

import { decimal, mean } from "../base/decimal.js";

/** @import { Point } from "../prices/market.js" */

/** The window whose averages the API stores with each point. */
export const STORED_WINDOW = 5;

/**
 * The average at each point, for drawing; null where the window is not full. Positions on the screen
 * are floating point anyway, and ten thousand exact means of 200 prices would take a second.
 * @param {Point[]} points oldest first
 * @param {number} window
 * @returns {(number | null)[]}
 */
export function positions(points, window) {
  if (window === STORED_WINDOW) return points.map((point) => Number(point.moving_average));

  let sum = 0;
  let start = 0;
  return points.map((point, index) => {
    if (index > 0 && points[index - 1]?.currency !== point.currency) [sum, start] = [0, index];
    sum += Number(point.price);
    if (index - start >= window) sum -= Number(points[index - window]?.price);
    return index - start + 1 >= window ? sum / window : null;
  });
}

/**
 * The exact average at one point, as text; null where the window is not full.
 * @param {Point[]} points oldest first
 * @param {number} index
 * @param {number} window
 * @returns {string | null}
 */
export function averageAt(points, index, window) {
  const point = points[index];
  if (!point) return null;
  if (window === STORED_WINDOW) return point.moving_average;

  const within = points.slice(Math.max(index + 1 - window, 0), index + 1);
  const isFull = within.length === window && within.every((other) => other.currency === point.currency);
  return isFull ? mean(within.map((other) => other.price)) : null;
}

/**
 * Most places after the point that the prices have, at most eight: what the axis shows.
 * @param {Iterable<string>} prices
 * @returns {number}
 */
export function placesOf(prices) {
  let places = 2;
  for (const price of prices) places = Math.max(places, decimal(price).scale);
  return Math.min(places, 8);
}
