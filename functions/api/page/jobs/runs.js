// The runs of a job, newest first: what failed, and why, in the API's words.

import { h, icon, say } from "../base/dom.js";
import { errorBlock } from "../base/notice.js";
import { polled } from "../base/polled.js";
import { moment } from "../base/times.js";
import { listRuns } from "./requests.js";

/**
 * @typedef {object} Outcome
 * @property {"published" | "unchanged" | "failed" | "closed"} outcome
 * @property {string | null} provider
 * @property {string[]} symbols
 * @property {{ type: string, detail: string } | null} problem
 */

/**
 * @typedef {object} Run
 * @property {string} run_id
 * @property {boolean} requested
 * @property {string} tick_time
 * @property {string} ticks
 * @property {string} status
 * @property {string | null} started_at
 * @property {string | null} finished_at
 * @property {string | null} error
 * @property {Outcome[]} outcomes
 */

/** How often the runs are read, in milliseconds. */
const EVERY = 2_000;

const KINDS = /** @type {Record<string, string>} */ ({
  succeeded: "good",
  running: "quiet",
  requested: "quiet",
  partial: "warn",
  missed: "warn",
  skipped: "quiet",
});

export class Runs {
  #list = h("ol", { class: "runs" });
  #state = h("p", { class: "quiet" }, "Loading its runs");
  element = h("div", { class: "runs-panel", tabindex: 0, role: "region", "aria-label": "Runs" }, h("h4", {}, "Runs, newest first"), this.#state, this.#list);
  #drawn = "";
  #ended = false;

  /**
   * @param {string} job
   * @param {() => boolean} isWanted
   */
  constructor(job, isWanted) {
    this.job = job;
    this.refresh = polled(() => this.#read(), (error) => this.#fail(error), EVERY, () => !this.#ended && isWanted());
  }

  end() {
    this.#ended = true;
  }

  async #read() {
    /** @type {{ items: Run[] }} */
    const { items } = await listRuns(this.job);
    const drawn = JSON.stringify(items);
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    this.#list.replaceChildren(...items.map(entry));
    this.#state.hidden = items.length > 0;
    say(this.#state, "No run yet. The first tick is at the next whole second.");
  }

  /** @param {unknown} error */
  #fail(error) {
    if (this.#list.childElementCount > 0 || this.#ended) return;
    this.#list.replaceChildren(h("li", {}, errorBlock(error, () => this.refresh())));
    this.#state.hidden = true;
  }
}

/** @param {Run} run */
function entry(run) {
  const kind = KINDS[run.status] ?? "bad";
  const ticks = run.ticks === "1" ? "" : `${run.ticks} ticks`;
  const took =
    run.started_at && run.finished_at ? `${Date.parse(run.finished_at) - Date.parse(run.started_at)} ms` : "";
  const facts = [run.requested && "asked for", ticks, took].filter(Boolean).join(", ");

  return h(
    "li",
    {},
    h("span", { class: "run-time" }, `${moment(run.tick_time)} UTC`),
    h("span", { class: `status ${kind}` }, icon(kind === "good" ? "check" : kind === "quiet" ? "clock" : "alert"), run.status),
    facts !== "" && h("span", { class: "quiet" }, facts),
    run.outcomes.length > 0 && h("ul", { class: "outcomes" }, ...run.outcomes.map(outcome)),
    run.outcomes.length === 0 && run.error && h("p", { class: "reason" }, run.error),
  );
}

/** @param {Outcome} outcome */
function outcome({ outcome, provider, symbols, problem }) {
  const from = provider ? ` by ${provider}` : "";
  return h(
    "li",
    { class: outcome },
    h("b", {}, symbols.slice(0, 12).join(", ") + (symbols.length > 12 ? ` and ${symbols.length - 12} more` : "")),
    ` ${outcome}${from}`,
    problem && h("span", { class: "reason" }, `: ${problem.detail}`),
  );
}
