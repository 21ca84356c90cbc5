// The chosen series: its heading, its chart with the controls, and the table beside it.

import { h, say, the } from "../base/dom.js";
import { errorBlock } from "../base/notice.js";
import { age, moment } from "../base/times.js";
import { changeOf } from "../prices/change.js";
import { isRecorded, isStale } from "../prices/market.js";
import { listenToKeys } from "./keys.js";
import { drawLegend, spoken, valuesAt } from "./legend.js";
import { Plot, chartTime } from "./plot.js";
import { Shown, hasNoCandles } from "./shown.js";
import { Table } from "./table.js";

/** @import { Market, Point, Series } from "../prices/market.js" */
/** @import { Interval } from "./shown.js" */

/** Points in sight at first. */
const FIRST_SIGHT = 120;
/** Shortest time between two spoken prices, in milliseconds. */
const SPEAK_EVERY = 10_000;
/** Shortest time between two requests for the running candle, in milliseconds. */
const CANDLES_EVERY = 2_000;

export class ChartPanel {
  #plot = new Plot(the("chart"));
  #table = new Table();
  /** @type {Shown | null} */
  #shown = null;
  /** @type {Interval} */
  #interval = "points";
  /** @type {"line" | "candles"} */
  #style = "line";
  #window = 5;
  /** @type {number | null} the item that the keyboard points at */
  #pointed = null;
  #failed = false;
  #needsDrawing = false;
  #isWaiting = false;
  #spokenAt = 0;
  #candlesAt = 0;

  /** @param {Market} market */
  constructor(market) {
    market.listen((series, point) => this.#changed(series, point));
    this.#plot.onCrosshair((time) => this.#hover(time));
    this.#plot.onOldest(() => void this.#older());
    this.#controls();
    setInterval(() => this.#heading(), 1_000);
    addEventListener("connection", () => this.#again());
    addEventListener("changes-lost", () => this.series && this.#open(this.series));
    addEventListener("theme-changed", () => this.#plot.paint());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#plot.paint());
  }

  get series() {
    return this.#shown?.series ?? null;
  }

  /** @param {Series} series */
  choose(series) {
    if (this.series === series) return;
    this.#open(series);
  }

  /** @param {Series} series */
  #open(series) {
    this.#shown?.end();
    const shown = new Shown(series, this.#interval);
    this.#shown = shown;
    this.#pointed = null;
    the("chart-empty").hidden = true;
    the("chart-panel").dataset.filled = "yes";
    this.#heading();
    // Nothing of the previous series stays beside the name of this one.
    this.#table.show(shown);
    this.#legend();
    this.#speak(series, true);
    void this.#load(shown);
  }

  /** Reads again what could not be read while there was no connection. */
  #again() {
    const isLive = document.documentElement.dataset.connection === "live";
    if (isLive && this.#failed && this.series) this.#open(this.series);
  }

  /** @param {Shown} shown */
  async #load(shown) {
    this.#failed = false;
    const state = the("chart-state");
    state.replaceChildren(h("div", { class: "state loading" }, h("span", { class: "spinner" }), "Loading"));
    state.hidden = false;
    this.#plot.clear();
    try {
      await shown.start();
      if (shown.hasEnded) return;
      if (!shown.isCandles && shown.points.length === 0) shown.take(shown.series.newest);
      state.hidden = true;
    } catch (error) {
      if (shown.hasEnded) return;
      // A quote that was just read is stored within moments: its first point comes by itself.
      if (!shown.isCandles && isNoSeries(error)) {
        shown.isWhole = true;
        shown.take(shown.series.newest);
        state.hidden = true;
      } else if (hasNoCandles(error)) {
        state.replaceChildren(errorBlock(new Error("This version of the pipeline has no candles yet."), () => this.#setInterval("points")));
        return;
      } else {
        this.#failed = true;
        state.replaceChildren(errorBlock(error, () => void this.#load(shown)));
        return;
      }
    }
    this.#draw();
    this.#plot.showLast(this.#length, FIRST_SIGHT);
  }

  get #length() {
    return (this.#shown?.isCandles ? this.#shown.candles.length : this.#shown?.points.length) ?? 0;
  }

  #draw() {
    const shown = this.#shown;
    if (!shown) return;
    if (shown.isCandles) this.#plot.drawCandles(shown.candles, this.#style);
    else this.#plot.drawPoints(shown.points, this.#window);
    this.#table.show(shown);
    this.#legend();
  }

  async #older() {
    const shown = this.#shown;
    if (!shown || shown.isCandles || shown.points.length === 0) return;
    try {
      if ((await shown.older()) && shown === this.#shown) this.#draw();
    } catch {
      // The next movement asks again; what is in sight stays.
    }
  }

  /**
   * @param {Series} series
   * @param {Point | null} point
   */
  #changed(series, point) {
    const shown = this.#shown;
    if (!shown || series !== shown.series) return;
    if (point && shown.isCandles) void this.#candlesChanged(shown, point);
    else if (point && shown.points.length > 0) this.#pointChanged(shown, point);
    this.#later();
  }

  /**
   * @param {Shown} shown
   * @param {Point} point
   */
  #pointChanged(shown, point) {
    const before = shown.points.length;
    const place = shown.take(point);
    if (place === null) return;
    const isNewest = place === shown.points.length - 1 && !this.#needsDrawing;
    if (isNewest && (shown.points.length === before + 1 || before === place + 1)) this.#plot.addPoint(shown.points);
    else this.#needsDrawing = true;
  }

  /**
   * @param {Shown} shown
   * @param {Point} point
   */
  async #candlesChanged(shown, point) {
    if (Date.now() - this.#candlesAt < CANDLES_EVERY) return;
    this.#candlesAt = Date.now();
    try {
      await shown.refreshCandles(point.timestamp);
      if (!shown.hasEnded) this.#draw();
    } catch {
      // The next point asks again.
    }
  }

  /** Draws with the next frame, once for all changes until then. */
  #later() {
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    requestAnimationFrame(() => {
      this.#isWaiting = false;
      if (this.#needsDrawing) this.#draw();
      else {
        this.#table.show(this.#shown);
        this.#legend();
      }
      this.#needsDrawing = false;
      this.#heading();
      if (this.series) this.#speak(this.series, false);
    });
  }

  #heading() {
    const series = this.series;
    if (!series) return;
    const { newest } = series;
    say(the("chart-symbol"), series.symbol);
    say(the("chart-price"), newest.price);
    say(the("chart-currency"), newest.currency ?? "");

    const change = changeOf(series);
    const element = the("chart-change");
    say(element, change ? `${change.units} (${change.percent})` : "");
    element.dataset.direction = change?.direction ?? "flat";
    say(the("chart-base"), change?.since ?? "");
    say(the("chart-source"), `${series.provider}, quoted ${moment(newest.timestamp)} UTC, ${age(newest.timestamp, Date.now())} ago`.replace("now ago", "now"));
    the("chart-replay").hidden = !isRecorded(series);
    the("chart-stale").hidden = !isStale(series, Date.now());
  }

  /**
   * Tells screen readers the price, not more often than one can listen to.
   * @param {Series} series
   * @param {boolean} isChosen
   */
  #speak(series, isChosen) {
    if (!isChosen && Date.now() - this.#spokenAt < SPEAK_EVERY) return;
    this.#spokenAt = Date.now();
    const { newest, symbol } = series;
    const change = changeOf(series);
    const recorded = isRecorded(series) ? ", a recorded price" : "";
    say(the("live-price"), `${symbol} ${newest.price} ${newest.currency ?? ""}${change ? `, ${change.spoken}` : ""}${recorded}`);
  }

  #legend() {
    const index = this.#pointed ?? this.#length - 1;
    drawLegend(the("legend"), this.#shown && valuesAt(this.#shown, index, this.#window));
  }

  /** @param {number | null} time as the chart has it */
  #hover(time) {
    const items = this.#shown?.isCandles ? this.#shown.candles : (this.#shown?.points ?? []);
    if (time === null) this.#pointed = null;
    else {
      const index = bisect(items, time);
      this.#pointed = index;
    }
    this.#legend();
  }

  /** @param {number} index */
  #point(index) {
    const shown = this.#shown;
    const length = this.#length;
    if (!shown || length === 0) return;
    const place = Math.min(Math.max(index, 0), length - 1);
    this.#plot.reveal(place);
    const item = shown.isCandles ? shown.candles[place] : shown.points[place];
    if (!item) return;
    this.#plot.pointAt(item, "close" in item ? item.close : item.price);
    this.#pointed = place;
    this.#legend();
    say(the("live-point"), spoken(valuesAt(shown, place, this.#window)));
  }

  #controls() {
    for (const radio of document.querySelectorAll("input[name=interval]")) {
      radio.addEventListener("change", () => this.#setInterval(/** @type {Interval} */ (/** @type {HTMLInputElement} */ (radio).value)));
    }
    for (const radio of document.querySelectorAll("input[name=style]")) {
      radio.addEventListener("change", () => this.#setStyle(/** @type {"line" | "candles"} */ (/** @type {HTMLInputElement} */ (radio).value)));
    }
    the("window", HTMLSelectElement).addEventListener("change", (event) => {
      this.#window = Number(/** @type {HTMLSelectElement} */ (event.target).value);
      this.#draw();
    });
    the("zoom-in").addEventListener("click", () => this.#plot.zoom(0.7));
    the("zoom-out").addEventListener("click", () => this.#plot.zoom(1.4));
    the("fit").addEventListener("click", () => this.#plot.fit());
    the("to-now").addEventListener("click", () => this.#plot.toNow());

    listenToKeys(the("chart"), {
      move: (by) => this.#point((this.#pointed ?? this.#length - 1) + by),
      jump: (end) => this.#point(end === "first" ? 0 : this.#length - 1),
      zoom: (factor) => this.#plot.zoom(factor),
      pan: (share) => this.#plot.pan(share),
      toNow: () => this.#plot.toNow(),
    });
  }

  /** @param {Interval} interval */
  #setInterval(interval) {
    this.#interval = interval;
    check("interval", interval);
    // Candles are of an interval, never of single points.
    if (interval === "points") {
      this.#style = "line";
      check("style", "line");
    }
    the("window", HTMLSelectElement).disabled = interval !== "points";
    if (this.series) this.#open(this.series);
  }

  /** @param {"line" | "candles"} style */
  #setStyle(style) {
    this.#style = style;
    if (style === "candles" && this.#interval === "points") this.#setInterval("1m");
    else this.#draw();
  }
}

/**
 * @param {string} name
 * @param {string} value
 */
function check(name, value) {
  const radio = document.querySelector(`input[name=${name}][value="${value}"]`);
  if (radio instanceof HTMLInputElement) radio.checked = true;
}

/**
 * The place of the item with that time.
 * @param {{ timestamp: string }[]} items oldest first
 * @param {number} time as the chart has it
 */
function bisect(items, time) {
  let [low, high] = [0, items.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (chartTime(/** @type {{ timestamp: string }} */ (items[middle]).timestamp) < time) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** @param {unknown} error */
function isNoSeries(error) {
  return error instanceof Error && "type" in error && error.type === "/docs#no-series";
}
