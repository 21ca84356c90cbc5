// A row of the watchlist. It writes only what has changed.

import { badge, h, say } from "../base/dom.js";
import { age, moment } from "../base/times.js";
import { changeOf } from "./change.js";
import { isRecorded, isStale } from "./market.js";
import { Sparkline } from "./sparkline.js";

/** @import { Series } from "./market.js" */

/** Points of a whole average. */
const WINDOW = "5";

export class Row {
  #price = h("span", { class: "digits" });
  #currency = h("span", { class: "unit" });
  #units = h("td", { class: "number change" });
  #percent = h("td", { class: "number change share" });
  #average = h("span", { class: "digits" });
  #count = h("span", { class: "unit" });
  #age = h("td", { class: "number age" });
  #stale = badge("stale", "warn");
  #spark = new Sparkline();
  #cell;
  #shownPrice = "";

  /**
   * @param {Series} series
   * @param {(series: Series) => void} choose
   */
  constructor(series, choose) {
    this.series = series;
    this.button = h("button", { type: "button", class: "symbol", tabindex: -1 }, series.symbol);
    this.#cell = h("td", { class: "number price" }, this.#price, this.#currency);
    this.#stale.hidden = true;

    this.element = h(
      "tr",
      { onclick: () => choose(series), data: { key: series.key } },
      h("th", { scope: "row" }, this.button, isRecorded(series) && badge("replay", "recorded", "Recorded prices, not the market's"), this.#stale),
      this.#cell,
      this.#units,
      this.#percent,
      h("td", { class: "number average" }, this.#average, this.#count),
      h("td", { class: "spark" }, this.#spark.element),
      h("td", { class: "provider" }, series.provider),
      this.#age,
    );
    this.draw(Date.now());
  }

  /** @param {number} now milliseconds since 1970 */
  draw(now) {
    const { newest, recent } = this.series;
    say(this.#price, newest.price);
    say(this.#currency, newest.currency ?? "");
    say(this.#average, newest.moving_average);
    say(this.#count, newest.points === WINDOW ? "" : `of ${newest.points}`);
    this.#spark.draw(recent);
    this.#drawChange();
    this.drawAge(now);

    if (this.#shownPrice !== "" && this.#shownPrice !== newest.price) this.#light();
    this.#shownPrice = newest.price;
  }

  /** @param {number} now milliseconds since 1970 */
  drawAge(now) {
    say(this.#age, age(this.series.newest.timestamp, now));
    this.#age.title = `Quoted ${moment(this.series.newest.timestamp)} UTC`;
    const stale = isStale(this.series, now);
    if (this.#stale.hidden === stale) this.#stale.hidden = !stale;
  }

  /** @param {boolean} chosen */
  set chosen(chosen) {
    this.element.classList.toggle("chosen", chosen);
    if (chosen) this.button.setAttribute("aria-current", "true");
    else this.button.removeAttribute("aria-current");
  }

  #drawChange() {
    const change = changeOf(this.series);
    say(this.#units, change?.units ?? "–");
    say(this.#percent, change?.percent ?? "–");
    for (const cell of [this.#units, this.#percent]) {
      cell.dataset.direction = change?.direction ?? "flat";
      if (cell.title !== (change?.since ?? "")) cell.title = change?.since ?? "";
    }
  }

  /** Lights the price up until `calm` is called. */
  #light() {
    if (this.element.dataset.visible) this.#cell.dataset.flash = "yes";
  }

  calm() {
    if (this.#cell.dataset.flash) delete this.#cell.dataset.flash;
  }
}
