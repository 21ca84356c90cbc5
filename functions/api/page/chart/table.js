// The same points or candles as a table: what the chart cannot say to a screen reader, and what is
// copied and saved. Texts are the API's.

import { h, say, the } from "../base/dom.js";
import { clock, day } from "../base/times.js";
import { notify } from "../base/notice.js";

/** @import { Shown } from "./shown.js" */

/** Rows that are drawn at first, and added by the button. */
const ROWS = 100;

const POINT_COLUMNS = ["Time (UTC)", "Price", "Average", "of"];
const CANDLE_COLUMNS = ["Time (UTC)", "Open", "High", "Low", "Close", "Points"];

export class Table {
  #head = the("points-head");
  #body = the("points-rows");
  #more = the("points-more", HTMLButtonElement);
  #rows = ROWS;
  /** @type {Shown | null} */
  #shown = null;
  #isWaiting = false;

  constructor() {
    this.#more.addEventListener("click", () => {
      this.#rows += ROWS;
      this.#draw();
    });
    the("points-copy").addEventListener("click", () => void this.#copy());
    the("points-save").addEventListener("click", () => this.#save());
  }

  /**
   * @param {Shown | null} shown
   */
  show(shown) {
    if (shown !== this.#shown) this.#rows = ROWS;
    this.#shown = shown;
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    requestAnimationFrame(() => {
      this.#isWaiting = false;
      this.#draw();
    });
  }

  #draw() {
    const all = this.#lines();
    const columns = this.#shown?.isCandles ? CANDLE_COLUMNS : POINT_COLUMNS;
    if (this.#head.childElementCount !== columns.length) {
      this.#head.replaceChildren(...columns.map((name, place) => h("th", { scope: "col", class: place > 0 && "number" }, name)));
    }

    const newest = all.slice(-this.#rows).reverse();
    // The rows are written again in place: making them anew would cost each update a layout of all.
    newest.forEach((line, place) => {
      const cells = [`${day(line[0] ?? "")} ${clock(line[0] ?? "")}`, ...line.slice(1)];
      const row = this.#body.children[place] ?? this.#body.appendChild(h("tr"));
      if (row.childElementCount !== cells.length) {
        row.replaceChildren(...cells.map((_, column) => h("td", { class: column > 0 && "number" })));
      }
      cells.forEach((text, column) => say(/** @type {Node} */ (row.children[column]), text));
    });
    while (this.#body.childElementCount > newest.length) this.#body.lastElementChild?.remove();

    this.#more.hidden = all.length <= this.#rows;
    const what = this.#shown?.isCandles ? "candles" : "points";
    say(the("points-count"), all.length === 1 ? `1 ${what.slice(0, -1)}` : `${all.length} ${what}`);
  }

  /** Each item as its texts, oldest first. */
  #lines() {
    if (!this.#shown) return [];
    if (this.#shown.isCandles) {
      return this.#shown.candles.map(({ timestamp, open, high, low, close, points }) => [timestamp, open, high, low, close, points]);
    }
    return this.#shown.points.map(({ timestamp, price, moving_average, points }) => [timestamp, price, moving_average, points]);
  }

  /** @param {string} separator */
  #text(separator) {
    const names = this.#shown?.isCandles
      ? ["timestamp", "open", "high", "low", "close", "points"]
      : ["timestamp", "price", "moving_average", "points"];
    return [names, ...this.#lines()].map((line) => line.join(separator)).join("\n") + "\n";
  }

  async #copy() {
    try {
      await navigator.clipboard.writeText(this.#text("\t"));
      notify("done", `${this.#lines().length} rows are on the clipboard.`);
    } catch {
      notify("error", "The browser did not allow the page to copy. Save the rows as CSV instead.");
    }
  }

  #save() {
    const series = this.#shown?.series;
    if (!series) return;
    const address = URL.createObjectURL(new Blob([this.#text(",")], { type: "text/csv" }));
    const name = `${series.symbol}-${series.provider}-${this.#shown?.interval}.csv`.replaceAll(/[^\w.-]/g, "_");
    h("a", { href: address, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
  }
}
