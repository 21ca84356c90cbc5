// Adds a symbol: reads its price, and offers to poll it.

import { get } from "../base/api.js";
import { h, icon, the } from "../base/dom.js";
import { act, notify, words } from "../base/notice.js";
import { isRecorded } from "./market.js";
import { createJob } from "../jobs/requests.js";

/** @import { Feed } from "./feed.js" */
/** @import { Market, Series } from "./market.js" */

/** Seconds between the ticks of a job that is started from here. */
const INTERVAL = 10;

export class Adding {
  #form = the("add", HTMLFormElement);
  #input = the("add-symbol", HTMLInputElement);
  #offer = the("offer");

  /**
   * @param {Market} market
   * @param {Feed} feed
   * @param {(series: Series) => void} choose
   */
  constructor(market, feed, choose) {
    this.market = market;
    this.feed = feed;
    this.choose = choose;

    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.add(this.#input.value);
    });
    for (const button of document.querySelectorAll("[data-suggest]")) {
      button.addEventListener("click", () => void this.add(/** @type {HTMLElement} */ (button).dataset.suggest ?? ""));
    }
  }

  /** @param {string} text */
  async add(text) {
    const symbol = text.trim().toUpperCase();
    if (symbol === "") {
      this.#input.focus();
      return;
    }

    this.#form.setAttribute("aria-busy", "true");
    try {
      const quote = await get("prices/latest", { symbol });
      // The average is not known before the point is stored; until then the price is its own.
      const point = { ...quote, moving_average: quote.price, points: "1" };
      const known = this.market.series.get(`${quote.symbol} ${quote.provider}`);
      const series = known ?? this.market.take(quote.symbol, quote.provider, point);
      this.#input.value = "";
      this.choose(series);
      await this.#propose(series);
      this.feed.refresh();
    } catch (error) {
      this.#show(h("p", { class: "offer-text error-text", role: "alert" }, icon("alert"), words(error)));
      this.#input.focus();
    } finally {
      this.#form.removeAttribute("aria-busy");
    }
  }

  /**
   * Offers a job, unless there is one.
   * @param {Series} series
   */
  async #propose(series) {
    const { items } = await get("prices/poll", { symbol: series.symbol, limit: 1 });
    if (items.length > 0) {
      this.#show(h("p", { class: "offer-text" }, `${series.symbol} is polled already: see Jobs.`));
      return;
    }

    const start = h(
      "button",
      { type: "button", class: "button primary", id: "offer-poll" },
      `Poll every ${INTERVAL} s`,
    );
    start.addEventListener("click", () => act(start, () => this.#poll(series)));
    const kind = isRecorded(series) ? "recorded prices of replay" : `prices of ${series.provider}`;
    this.#show(h("p", { class: "offer-text" }, `One price read. Follow the ${kind}?`), start);
    start.focus();
  }

  /** @param {Series} series */
  async #poll(series) {
    await createJob({ symbols: [series.symbol], interval: INTERVAL, provider: series.provider });
    this.#offer.hidden = true;
    notify("done", `${series.symbol} is polled every ${INTERVAL} s. Its first price comes within seconds.`);
    dispatchEvent(new CustomEvent("jobs-changed"));
  }

  /** @param {Node[]} content */
  #show(...content) {
    const close = h("button", { type: "button", class: "icon-button", "aria-label": "Close" }, icon("close"));
    close.addEventListener("click", () => (this.#offer.hidden = true));
    this.#offer.replaceChildren(...content, close);
    this.#offer.hidden = false;
  }
}
