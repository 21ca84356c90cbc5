// The panel of providers: whether they may be asked, and what is left of their budgets.

import { badge, h, icon, the } from "../base/dom.js";
import { errorBlock } from "../base/notice.js";
import { polled } from "../base/polled.js";
import { moment, until } from "../base/times.js";

import { get } from "../base/api.js";

/**
 * @typedef {object} Provider
 * @property {string} provider
 * @property {"closed" | "open" | "half_open"} state of its breaker
 * @property {string | null} reason
 * @property {string | null} since
 * @property {string | null} until
 * @property {string | null} default_place
 * @property {string | null} needs
 * @property {string} symbols_per_request
 * @property {{ window: string, limit: string, left: string }[]} budget
 */

/** How often they are read, in milliseconds. */
const EVERY = 3_000;

export class Providers {
  #body = the("provider-rows");
  #state = the("providers-state");
  #drawn = "";

  /** @param {() => boolean} isWanted */
  constructor(isWanted) {
    this.refresh = polled(() => this.#read(), (error) => this.#fail(error), EVERY, isWanted);
  }

  async #read() {
    /** @type {{ items: Provider[] }} */
    const { items } = await get("providers");
    this.#state.hidden = true;
    const drawn = JSON.stringify(items);
    if (drawn === this.#drawn && !items.some((item) => item.until)) return;
    this.#drawn = drawn;

    items.sort((a, b) => rank(a) - rank(b));
    this.#body.replaceChildren(...items.map(row));
  }

  /** @param {unknown} error */
  #fail(error) {
    if (this.#body.childElementCount > 0) return;
    this.#state.replaceChildren(errorBlock(error, () => this.refresh()));
    this.#state.hidden = false;
  }
}

/**
 * The default ones first, those without their key last.
 * @param {Provider} provider
 */
const rank = ({ default_place, needs }) => (default_place === null ? (needs ? 100 : 50) : Number(default_place));

/** @param {Provider} provider */
function row(provider) {
  const { provider: name, default_place, needs, symbols_per_request } = provider;
  return h(
    "tr",
    {},
    h(
      "th",
      { scope: "row" },
      name,
      default_place !== null && badge(default_place === "1" ? "default" : `default ${default_place}`, "quiet"),
      name === "replay" && badge("replay", "recorded", "Recorded prices, not the market's"),
    ),
    h("td", {}, ...breaker(provider)),
    h("td", {}, needs ? h("span", { class: "status quiet" }, icon("key"), `needs ${needs}`) : budget(provider)),
    h("td", { class: "number" }, symbols_per_request),
  );
}

/** @param {Provider} provider */
function breaker({ state, reason, since, until: end, needs }) {
  if (needs && state === "closed") return [h("span", { class: "quiet" }, "not asked")];
  if (state === "closed") return [h("span", { class: "status good" }, icon("check"), "closed, requests pass")];
  const ends = end && state === "open" ? `, ${until(end, Date.now())}` : "";
  return [
    h(
      "span",
      { class: `status ${state === "open" ? "bad" : "warn"}` },
      icon("alert"),
      state === "open" ? `open, no request passes${ends}` : "half open, one request tests it",
    ),
    h("p", { class: "reason" }, [reason, since && `since ${moment(since)} UTC`].filter(Boolean).join(", ")),
  ];
}

/** @param {Provider} provider */
function budget({ provider, budget }) {
  if (budget.length === 0) return h("span", { class: "quiet" }, "no limit");
  return h(
    "div",
    { class: "budget" },
    ...budget.map(({ window, limit, left }) =>
      h(
        "label",
        {},
        h("meter", {
          min: 0,
          max: limit,
          low: Number(limit) / 4,
          optimum: limit,
          value: left,
          "aria-label": `${provider}: left of this ${window}`,
        }),
        `${left} of ${limit} per ${window}`,
      ),
    ),
  );
}
