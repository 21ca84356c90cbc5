// What the page knows of every series: its newest point, the points before it, and the base that its
// change is counted from.

/**
 * A point as the API writes it; numbers are text.
 * @typedef {object} Point
 * @property {string} timestamp market time
 * @property {string} price
 * @property {string | null} currency
 * @property {string} moving_average
 * @property {string} points number of points in the average
 * @property {string} [polled_at]
 */

/**
 * The point that a change is counted from.
 * @typedef {object} Base
 * @property {string} price
 * @property {string} timestamp
 * @property {"previous day" | "first point"} kind
 * @property {string} day the day for which it holds: its beginning
 */

/**
 * @typedef {object} Series
 * @property {string} key
 * @property {string} symbol
 * @property {string} provider
 * @property {Point} newest
 * @property {string | null} first market time of the oldest point
 * @property {Base | null} base
 * @property {Point[]} recent the last points, oldest first
 * @property {boolean} isLoaded whether base and last points were asked for
 */

/** Points of a series that are kept for its sparkline. */
export const RECENT_POINTS = 48;

/** A price without a newer one for this long is marked as stale, in milliseconds. */
const STALE_AFTER = 10 * 60_000;

/** The provider whose prices are recordings. */
const RECORDED = "replay";

/**
 * @param {string} symbol
 * @param {string} provider
 */
export const keyOf = (symbol, provider) => `${symbol} ${provider}`;

/** @param {Pick<Series, "provider">} series */
export const isRecorded = (series) => series.provider === RECORDED;

/**
 * @param {Series} series
 * @param {number} now milliseconds since 1970
 */
export const isStale = (series, now) => now - Date.parse(series.newest.timestamp) > STALE_AFTER;

/**
 * Orders market times. As text they would be misordered where one has a fraction and the other has
 * none; as milliseconds they would be equal within one.
 * @param {string} a
 * @param {string} b
 * @returns {number}
 */
export function compareTimes(a, b) {
  const [x, y] = [a, b].map((time) => time.replace(/(\.\d+)?Z$/, (_, fraction = ".") => fraction.padEnd(10, "0")));
  return x === y ? 0 : /** @type {string} */ (x) < /** @type {string} */ (y) ? -1 : 1;
}

/**
 * Puts the point in its place among `points`, oldest first, in place of one of the same time.
 * @param {Point[]} points
 * @param {Point} point
 * @returns {number} its place
 */
export function place(points, point) {
  let index = points.length;
  while (index > 0) {
    const order = compareTimes(/** @type {Point} */ (points[index - 1]).timestamp, point.timestamp);
    if (order === 0) {
      points[index - 1] = point;
      return index - 1;
    }
    if (order < 0) break;
    index -= 1;
  }
  points.splice(index, 0, point);
  return index;
}

/** @typedef {(series: Series, point: Point | null) => void} Listener */

/** All series, and those who want to know of changes. */
export class Market {
  /** @type {Map<string, Series>} */
  series = new Map();
  /** @type {Set<Listener>} */
  #listeners = new Set();

  /**
   * Calls the listener with each series that changed, and the point that is new, if it is one.
   * @param {Listener} listener
   */
  listen(listener) {
    this.#listeners.add(listener);
  }

  /** @param {Series} series */
  changed(series) {
    for (const listener of this.#listeners) listener(series, null);
  }

  /**
   * Takes in a new, late or revised point of a series.
   * @param {string} symbol
   * @param {string} provider
   * @param {Point} point
   * @param {string | null} [first] market time of the series' oldest point
   * @returns {Series}
   */
  take(symbol, provider, point, first = null) {
    const key = keyOf(symbol, provider);
    let series = this.series.get(key);
    if (!series) {
      series = { key, symbol, provider, newest: point, first, base: null, recent: [point], isLoaded: false };
      this.series.set(key, series);
    } else {
      if (compareTimes(point.timestamp, series.newest.timestamp) >= 0) series.newest = point;
      place(series.recent, point);
      if (series.recent.length > RECENT_POINTS) series.recent.shift();
    }

    for (const listener of this.#listeners) listener(series, point);
    return series;
  }
}

/**
 * Whether the API has told us this point already.
 * @param {Point} a
 * @param {Point} b
 */
export function isSame(a, b) {
  return a.timestamp === b.timestamp && a.price === b.price && a.moving_average === b.moving_average;
}
