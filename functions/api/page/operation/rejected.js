// The panel of rejected events: records that can never become a point, and why. One may be sent
// again, after what was wrong with it is mended.

import { Problem, get, request } from "../base/api.js";
import { h, icon, say, the } from "../base/dom.js";
import { act, errorBlock, notify } from "../base/notice.js";
import { polled } from "../base/polled.js";
import { moment } from "../base/times.js";

/**
 * @typedef {object} Rejected
 * @property {string} id
 * @property {string} topic
 * @property {string} partition
 * @property {string} offset
 * @property {string} reason
 * @property {string | null} value
 * @property {string} rejected_at
 * @property {string} redriven how often it was sent again
 * @property {string | null} redriven_at
 */

/** How often they are read, in milliseconds. */
const EVERY = 5_000;

export class RejectedEvents {
  #body = the("rejected-rows");
  #state = the("rejected-state");
  #drawn = "";

  /** @param {() => boolean} isWanted */
  constructor(isWanted) {
    this.refresh = polled(() => this.#read(), (error) => this.#fail(error), EVERY, isWanted);
  }

  async #read() {
    /** @type {{ items: Rejected[], next_cursor: string | null }} */
    const { items, next_cursor } = await get("rejected", { limit: 100 });
    say(the("rejected-count"), items.length === 0 ? "" : String(items.length) + (next_cursor ? "+" : ""));
    const drawn = JSON.stringify(items);
    this.#state.hidden = items.length > 0;
    if (items.length === 0) this.#state.replaceChildren(empty());
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    this.#body.replaceChildren(...items.map((item) => this.#row(item)));
  }

  /** @param {unknown} error */
  #fail(error) {
    if (this.#body.childElementCount > 0) return;
    const isMissing = error instanceof Problem && error.isMissingRoute;
    const shown = isMissing ? new Error("This version of the pipeline does not list rejected events yet.") : error;
    this.#state.replaceChildren(errorBlock(shown, isMissing ? null : () => this.refresh()));
    this.#state.hidden = false;
  }

  /** @param {Rejected} item */
  #row(item) {
    const again = h("button", { type: "button", class: "button small", "aria-label": `Send again: offset ${item.offset}` }, icon("run"), "Send again");
    again.addEventListener("click", () => act(again, () => this.#redrive(item)));
    return h(
      "tr",
      {},
      h("td", { class: "place" }, `${moment(item.rejected_at)} UTC`),
      h("td", {}, h("span", { class: "bad-text" }, icon("alert"), " ", item.reason), sentAgain(item)),
      h("td", { class: "place" }, `${item.topic}/${item.partition} @ ${item.offset}`),
      h("td", {}, h("code", { class: "payload", title: item.value ?? "" }, item.value ?? "no value")),
      h("td", { class: "job-actions" }, again),
    );
  }

  /** @param {Rejected} item */
  async #redrive(item) {
    await request("POST", `rejected/${item.id}/redrive`);
    notify("done", "The event was sent to its topic again. If it is rejected again, it shows here as a new one.");
    this.refresh();
  }
}

/** @param {Rejected} item */
function sentAgain({ redriven, redriven_at, rejected_at }) {
  if (!redriven_at) return null;
  const times = redriven === "1" ? "once" : `${redriven} times`;
  const since = Date.parse(redriven_at) > Date.parse(rejected_at) ? ", not rejected since" : "";
  return h("p", { class: "reason" }, `Sent again ${times}${since}, last ${moment(redriven_at)} UTC`);
}

function empty() {
  return h(
    "div",
    { class: "state" },
    icon("check"),
    h("p", { class: "state-title" }, "No event was rejected"),
    h("p", {}, "Records that can never become a price, broken JSON for example, are kept here with the reason."),
  );
}
