// The points or candles of the chosen series, oldest first: what chart and table show.

import { Problem, get } from "../base/api.js";
import { compareTimes, place } from "../prices/market.js";

/** @import { Point, Series } from "../prices/market.js" */

/**
 * A candle as the API writes it; numbers are text.
 * @typedef {object} Candle
 * @property {string} timestamp its beginning
 * @property {string} open
 * @property {string} high
 * @property {string} low
 * @property {string} close
 * @property {string | null} currency
 * @property {string} points number of points in it
 * @property {boolean} complete
 */

/** Points in one answer: the API's limit. */
const PAGE = 1_000;
/** Most points of a series that are loaded. */
const MOST_POINTS = 20_000;
/** Candles that are asked for: the API's limit. */
const CANDLES = 1_000;

/** Seconds of each interval. */
export const INTERVALS = { "1m": 60, "5m": 300, "15m": 900, "1h": 3_600, "1d": 86_400 };

/** @typedef {"points" | keyof typeof INTERVALS} Interval */

/** What is shown of one series at one interval. */
export class Shown {
  /** @type {Point[]} */
  points = [];
  /** @type {Candle[]} */
  candles = [];
  /** Whether the oldest point is loaded. */
  isWhole = false;
  /** @type {string | null} */
  #cursor = null;
  #isReading = false;
  #ended = new AbortController();

  /**
   * @param {Series} series
   * @param {Interval} interval
   */
  constructor(series, interval) {
    this.series = series;
    this.interval = interval;
  }

  get isCandles() {
    return this.interval !== "points";
  }

  /** Ends what is under way: another series was chosen. */
  end() {
    this.#ended.abort();
  }

  get hasEnded() {
    return this.#ended.signal.aborted;
  }

  /** Reads the newest page. */
  async start() {
    if (this.interval === "points") await this.older();
    else await this.#readCandles();
  }

  /**
   * Reads the next older page of points. Answers whether it brought any.
   * @returns {Promise<boolean>}
   */
  async older() {
    if (this.#isReading || this.isWhole || this.isCandles) return false;
    this.#isReading = true;
    try {
      const { symbol, provider } = this.series;
      const query = { symbol, provider, limit: PAGE, cursor: this.#cursor };
      const page = await get("prices/history", query, this.#ended.signal);

      const older = /** @type {Point[]} */ (page.items).reverse();
      const arrived = this.points;
      this.points = older;
      // Points that came by changes meanwhile may be among those of the page.
      for (const point of arrived) this.#append(point);

      this.#cursor = page.next_cursor;
      this.isWhole = page.next_cursor === null || this.points.length >= MOST_POINTS;
      return older.length > 0;
    } finally {
      this.#isReading = false;
    }
  }

  /** @param {Point} point */
  #append(point) {
    const last = this.points.at(-1);
    if (!last || compareTimes(last.timestamp, point.timestamp) < 0) this.points.push(point);
    else if (last.timestamp !== point.timestamp) place(this.points, point);
  }

  /**
   * Takes in a point that changed. Answers its place; null if it is older than what is loaded.
   * @param {Point} point
   * @returns {number | null}
   */
  take(point) {
    const oldest = this.points[0];
    if (oldest && !this.isWhole && compareTimes(point.timestamp, oldest.timestamp) < 0) return null;
    return place(this.points, point);
  }

  /**
   * Reads the candles again, from the one of that time on.
   * @param {string} time
   */
  async refreshCandles(time) {
    const length = /** @type {Record<string, number>} */ (INTERVALS)[this.interval] ?? 60;
    const from = Math.floor(Date.parse(time) / 1_000 / length) * length;
    await this.#readCandles(from);
  }

  /** @param {number} [from] seconds since 1970; without it, the last candles */
  async #readCandles(from) {
    const { symbol, provider } = this.series;
    const start = from === undefined ? null : new Date(from * 1_000).toISOString();
    const query = { symbol, provider, interval: this.interval, from: start, limit: CANDLES };
    const answer = await get("prices/candles", query, this.#ended.signal);

    const read = /** @type {Candle[]} */ (answer.items).slice().reverse();
    const first = read[0]?.timestamp;
    const kept = first ? this.candles.filter((candle) => compareTimes(candle.timestamp, first) < 0) : this.candles;
    this.candles = oneEach([...kept, ...read]);
  }
}

/**
 * One candle for each period: where the unit changes within one, the last.
 * @param {Candle[]} candles oldest first
 */
function oneEach(candles) {
  return candles.filter((candle, place) => candle.timestamp !== candles[place + 1]?.timestamp);
}

/**
 * Whether the error says that this API has no candles.
 * @param {unknown} error
 */
export const hasNoCandles = (error) => error instanceof Problem && error.isMissingRoute;
