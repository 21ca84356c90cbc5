// The change of a price since its base, in units and in per cent, with the base's name.

import { ARROWS, difference, directionOf, percent, signed } from "../base/decimal.js";
import { clock, day } from "../base/times.js";

/** @import { Series } from "./market.js" */

/**
 * @typedef {object} Change
 * @property {"up" | "down" | "flat"} direction
 * @property {string} units with sign and arrow
 * @property {string} percent with sign
 * @property {string} since the base's name
 * @property {string} spoken for screen readers
 */

/**
 * The change since the series' base; null while the base is not known.
 * @param {Series} series
 * @returns {Change | null}
 */
export function changeOf({ base, newest }) {
  if (!base) return null;

  const change = difference(newest.price, base.price);
  const direction = directionOf(change);
  const share = percent(newest.price, base.price);
  const since =
    base.kind === "previous day"
      ? `since the last price of ${day(base.timestamp)}, ${clock(base.timestamp)} UTC: ${base.price}`
      : `since the first price, ${day(base.timestamp)} ${clock(base.timestamp)} UTC: ${base.price}`;

  return {
    direction,
    units: `${ARROWS[direction]} ${signed(change)}`,
    percent: share === "" ? "–" : `${signed(share)} %`,
    since,
    spoken: direction === "flat" ? "unchanged" : `${direction} ${change.replace("-", "")}`,
  };
}
