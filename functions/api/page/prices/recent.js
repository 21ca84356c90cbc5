// Reads what a row shows besides the newest point: the last points, and the base of its change. Rows
// ask once they are visible; few requests are under way at a time, so that others are not delayed.

import { get } from "../base/api.js";
import { startOfDay } from "../base/times.js";
import { RECENT_POINTS, place } from "./market.js";

/** @import { Base, Market, Point, Series } from "./market.js" */

/** Series that are read at the same time. */
const MOST_AT_A_TIME = 2;

export class Recent {
  /** @type {Series[]} */
  #waiting = [];
  #running = 0;
  /** @type {Market} */
  #market;

  /** @param {Market} market */
  constructor(market) {
    this.#market = market;
  }

  /**
   * Reads the series' base and last points, unless that was asked for before today's end.
   * @param {Series} series
   */
  want(series) {
    const isYesterdays = series.base !== null && series.base.day !== startOfDay(Date.now());
    if (series.isLoaded && !isYesterdays) return;
    if (this.#waiting.includes(series)) return;

    series.isLoaded = true;
    if (isYesterdays) series.base = null;
    this.#waiting.push(series);
    void this.#work();
  }

  async #work() {
    if (this.#running >= MOST_AT_A_TIME) return;
    this.#running += 1;
    for (let series = this.#waiting.shift(); series; series = this.#waiting.shift()) {
      try {
        await read(series);
        this.#market.changed(series);
      } catch {
        // The row shows a dash, and asks again with its next point.
        series.isLoaded = false;
      }
    }
    this.#running -= 1;
  }
}

/** @param {Series} series */
async function read(series) {
  const { symbol, provider } = series;
  const today = startOfDay(Date.now());
  const [last, before] = await Promise.all([
    get("prices/history", { symbol, provider, limit: RECENT_POINTS }),
    get("prices/history", { symbol, provider, limit: 1, to: today }),
  ]);

  for (const point of /** @type {Point[]} */ (last.items).reverse()) place(series.recent, point);
  series.recent.splice(0, series.recent.length - RECENT_POINTS);
  series.base = before.items[0] ? base(before.items[0], "previous day", today) : await first(series, today);
}

/**
 * The oldest point of a series that began today.
 * @param {Series} series
 * @param {string} today
 * @returns {Promise<Base | null>}
 */
async function first(series, today) {
  const { symbol, provider, first, recent } = series;
  const oldest = recent[0];
  if (recent.length < RECENT_POINTS && oldest) return base(oldest, "first point", today);
  if (!first) return null;

  const to = new Date(Date.parse(first) + 1).toISOString();
  const { items } = await get("prices/history", { symbol, provider, limit: 1, from: first, to });
  return items[0] ? base(items[0], "first point", today) : null;
}

/**
 * @param {Point} point
 * @param {Base["kind"]} kind
 * @param {string} day
 * @returns {Base}
 */
const base = ({ price, timestamp }, kind, day) => ({ price, timestamp, kind, day });
