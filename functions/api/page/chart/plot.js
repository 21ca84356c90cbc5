// The drawing: lightweight-charts, its colours from the page's tokens, its labels from the API's text.

import {
  AreaSeries,
  CandlestickSeries,
  CrosshairMode,
  LineSeries,
  createChart,
} from "../vendor/lightweight-charts.js";
import { moment } from "../base/times.js";
import { placesOf, positions } from "./average.js";

/** @import { Point } from "../prices/market.js" */
/** @import { Candle } from "./shown.js" */

/** Widest and narrowest bar, in pixels: zooming ends there. */
const BAR = { min: 0.05, max: 60 };

/** Most characters of a price on the axis. */
const LONGEST_LABEL = 15;
/** Fewest items that fill the width: the first ones come in at the right, as the later ones do. */
const FEWEST_IN_SIGHT = 40;

/**
 * The chart's time: seconds since 1970, with the microseconds as a fraction.
 * @param {string} timestamp RFC 3339 in UTC
 * @returns {any}
 */
export function chartTime(timestamp) {
  const micros = /\.(\d+)Z$/.exec(timestamp)?.[1]?.slice(3, 6) ?? "";
  return Date.parse(timestamp) / 1_000 + Number(micros.padEnd(3, "0")) / 1_000_000;
}

/**
 * A mark of the axis, without zeros that say nothing.
 * @param {number} position
 * @param {number} places
 */
const rounded = (position, places) => position.toFixed(places).replace(/(\.\d\d\d*?)0+$/, "$1");

/**
 * The price of a label. The axis has no room for the longest ones, which the legend shows in full.
 * @param {string | undefined} price
 */
const shortened = (price) => (price && price.length > LONGEST_LABEL ? `${price.slice(0, LONGEST_LABEL - 1)}…` : price);

/** @param {string} name */
const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export class Plot {
  #chart;
  #line;
  #candles;
  #average;
  /** @type {Map<number, string>} the text of each position that is a price */
  #texts = new Map();
  #places = 2;
  #window = 5;

  /** @param {HTMLElement} container */
  constructor(container) {
    this.#chart = createChart(container, {
      autoSize: true,
      layout: { attributionLogo: false, fontFamily: token("--font"), fontSize: 11 },
      crosshair: { mode: CrosshairMode.Magnet },
      rightPriceScale: { borderVisible: false, scaleMargins: { top: 0.2, bottom: 0.08 } },
      timeScale: {
        borderVisible: false,
        timeVisible: true,
        secondsVisible: true,
        minBarSpacing: BAR.min,
        maxBarSpacing: BAR.max,
        rightOffset: 4,
        // Ten thousand points on a thousand pixels: those of one pixel are drawn as one.
        enableConflation: true,
      },
      localization: {
        locale: "en-GB",
        timeFormatter: (/** @type {number} */ time) => `${moment(new Date(time * 1_000).toISOString())} UTC`,
      },
    });

    const priceFormat = this.#format();
    this.#line = this.#chart.addSeries(AreaSeries, { lineWidth: 2, priceFormat, lastValueVisible: true });
    this.#candles = this.#chart.addSeries(CandlestickSeries, { priceFormat, visible: false });
    this.#average = this.#chart.addSeries(LineSeries, {
      lineWidth: 1,
      priceFormat,
      lastValueVisible: false,
      priceLineVisible: false,
      crosshairMarkerRadius: 2,
    });
    this.paint();
  }

  /** Takes the colours of the theme that holds now. */
  paint() {
    const [text, grid, line, average, up, down] = [
      "--text-2",
      "--grid",
      "--line",
      "--average",
      "--up",
      "--down",
    ].map(token);
    const label = { color: token("--text-3"), labelBackgroundColor: token("--label") };

    this.#chart.applyOptions({
      layout: { background: { color: token("--surface") }, textColor: text },
      grid: { vertLines: { color: grid }, horzLines: { color: grid } },
      crosshair: { vertLine: label, horzLine: label },
    });
    this.#line.applyOptions({ lineColor: line, topColor: token("--line-area"), bottomColor: "transparent", priceLineColor: line });
    this.#average.applyOptions({ color: average });
    this.#candles.applyOptions({
      priceLineColor: line,
      upColor: token("--surface"),
      downColor: down,
      borderUpColor: up,
      borderDownColor: down,
      wickUpColor: up,
      wickDownColor: down,
    });
  }

  /**
   * Draws points as a line with their average.
   * @param {Point[]} points oldest first
   * @param {number} window of the average; 0 for none
   */
  drawPoints(points, window) {
    this.#window = window;
    this.#learn(points.map((point) => point.price));
    const times = points.map((point) => chartTime(point.timestamp));

    this.#line.setData(points.map((point, index) => ({ time: times[index], value: Number(point.price) })));
    this.#average.setData(
      window === 0
        ? []
        : positions(points, window).map((value, index) =>
            value === null ? { time: times[index] } : { time: times[index], value },
          ),
    );
    this.#candles.setData([]);
    this.#show("points");
  }

  /**
   * Draws the newest point, which is the only one that changed.
   * @param {Point[]} points oldest first
   */
  addPoint(points) {
    const point = points.at(-1);
    if (!point) return;
    this.#texts.set(Number(point.price), point.price);
    const time = chartTime(point.timestamp);
    this.#line.update({ time, value: Number(point.price) });

    if (this.#window === 0) return;
    const value = positions(points.slice(-this.#window), this.#window).at(-1);
    this.#average.update(value === null || value === undefined ? { time } : { time, value });
  }

  /**
   * Draws candles, or a line of their closing prices.
   * @param {Candle[]} candles oldest first
   * @param {"line" | "candles"} style
   */
  drawCandles(candles, style) {
    this.#learn(candles.flatMap(({ open, high, low, close }) => [open, high, low, close]));
    const time = (/** @type {Candle} */ candle) => chartTime(candle.timestamp);

    this.#average.setData([]);
    this.#candles.setData(
      style === "line"
        ? []
        : candles.map((candle) => ({
            time: time(candle),
            open: Number(candle.open),
            high: Number(candle.high),
            low: Number(candle.low),
            close: Number(candle.close),
          })),
    );
    this.#line.setData(
      style === "line" ? candles.map((candle) => ({ time: time(candle), value: Number(candle.close) })) : [],
    );
    this.#show(style === "line" ? "points" : "candles");
  }

  /**
   * Calls back with the time under the crosshair, as the chart has it; null if there is none.
   * @param {(time: number | null) => void} moved
   */
  onCrosshair(moved) {
    this.#chart.subscribeCrosshairMove((event) => moved(/** @type {number | undefined} */ (event.time) ?? null));
  }

  /**
   * Calls back when older points come into sight.
   * @param {() => void} wanted
   */
  onOldest(wanted) {
    this.#chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
      if (range && range.from < 20) wanted();
    });
  }

  /**
   * Puts the crosshair on a point, as arrow keys do.
   * @param {{ timestamp: string }} item
   * @param {string} price
   */
  pointAt(item, price) {
    const series = this.#candles.options().visible ? this.#candles : this.#line;
    this.#chart.setCrosshairPosition(Number(price), chartTime(item.timestamp), series);
  }

  /**
   * Scrolls as little as it takes for the item to be in sight.
   * @param {number} index
   */
  reveal(index) {
    const scale = this.#chart.timeScale();
    const range = scale.getVisibleLogicalRange();
    if (!range || (index >= range.from && index <= range.to)) return;
    const width = range.to - range.from;
    const from = index < range.from ? index - 2 : index + 2 - width;
    scale.setVisibleLogicalRange({ from, to: from + width });
  }

  /** @param {number} factor greater than one to see more */
  zoom(factor) {
    const scale = this.#chart.timeScale();
    const range = scale.getVisibleLogicalRange();
    if (!range) return;
    const [middle, half] = [(range.from + range.to) / 2, ((range.to - range.from) / 2) * factor];
    scale.setVisibleLogicalRange({ from: middle - half, to: middle + half });
  }

  /** @param {number} share of the width; less than zero for the past */
  pan(share) {
    const scale = this.#chart.timeScale();
    const range = scale.getVisibleLogicalRange();
    if (!range) return;
    const by = (range.to - range.from) * share;
    scale.setVisibleLogicalRange({ from: range.from + by, to: range.to + by });
  }

  /** Shows the newest points. */
  toNow() {
    this.#chart.timeScale().scrollToPosition(4, false);
    this.#chart.priceScale("right").applyOptions({ autoScale: true });
  }

  /**
   * Shows the last `count` items, the newest at the right.
   * @param {number} all
   * @param {number} count
   */
  showLast(all, count) {
    if (all === 0) return;
    const shown = Math.max(Math.min(all, count), FEWEST_IN_SIGHT);
    this.#chart.timeScale().setVisibleLogicalRange({ from: all - shown, to: all + 3 });
  }

  /** Shows everything that is loaded. */
  fit() {
    this.#chart.timeScale().fitContent();
  }

  clear() {
    this.#line.setData([]);
    this.#average.setData([]);
    this.#candles.setData([]);
  }

  /** @param {"points" | "candles"} what */
  #show(what) {
    this.#line.applyOptions({ visible: what === "points" });
    this.#candles.applyOptions({ visible: what === "candles" });
  }

  /** @param {string[]} prices */
  #learn(prices) {
    this.#texts = new Map(prices.map((price) => [Number(price), price]));
    this.#places = placesOf(prices);
    const priceFormat = this.#format();
    for (const series of [this.#line, this.#candles, this.#average]) series.applyOptions({ priceFormat });
  }

  /** Positions that are a price have its text; the others, the axis's, are rounded. */
  #format() {
    return /** @type {const} */ ({
      type: "custom",
      minMove: 10 ** -this.#places,
      formatter: (/** @type {number} */ position) => shortened(this.#texts.get(position)) ?? rounded(position, this.#places),
    });
  }
}
