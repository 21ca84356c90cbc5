// The panel of polling jobs: those that need attention first.

import { h, icon, say, the } from "../base/dom.js";
import { errorBlock } from "../base/notice.js";
import { polled } from "../base/polled.js";
import { JobForm } from "./form.js";
import { JobRow } from "./row.js";
import { listJobs } from "./requests.js";

/** @import { Job } from "./requests.js" */

/** How often the jobs are read, in milliseconds. */
const EVERY = 2_000;

/** Those that somebody should look at come first. */
const URGENCY = { stalled: 0, backing_off: 1, active: 2, paused: 3 };

export class Jobs {
  #body = the("job-rows");
  #state = the("jobs-state");
  #form = new JobForm(() => this.refresh());
  /** @type {Map<string, JobRow>} */
  #rows = new Map();

  /** @param {() => boolean} isWanted */
  constructor(isWanted) {
    this.refresh = polled(() => this.#read(), (error) => this.#fail(error), EVERY, isWanted);
    the("new-job").addEventListener("click", () => this.#form.create());
    addEventListener("jobs-changed", () => this.refresh());
    setInterval(() => {
      for (const row of this.#rows.values()) row.drawTimes(Date.now());
    }, 1_000);
  }

  async #read() {
    const { items, next_cursor } = await listJobs();
    items.sort((a, b) => (URGENCY[a.status] ?? 2) - (URGENCY[b.status] ?? 2));
    this.#draw(items);
    this.#state.hidden = items.length > 0;
    if (items.length === 0) this.#state.replaceChildren(this.#empty());

    const troubled = items.filter(({ status }) => status === "stalled" || status === "backing_off").length;
    say(the("jobs-count"), items.length === 0 ? "" : String(items.length) + (next_cursor ? "+" : ""));
    say(the("jobs-trouble"), troubled === 0 ? "" : `${troubled} in trouble`);
    the("jobs-trouble").hidden = troubled === 0;
  }

  /** @param {Job[]} jobs */
  #draw(jobs) {
    const kept = new Set(jobs.map((job) => job.job_id));
    for (const [id, row] of this.#rows) {
      if (kept.has(id)) continue;
      row.remove();
      this.#rows.delete(id);
    }

    // Rows stay where they are if they can: moving one would take the focus from its buttons.
    let place = this.#body.firstElementChild;
    for (const job of jobs) {
      let row = this.#rows.get(job.job_id);
      if (!row) {
        row = new JobRow(job, { change: (job) => this.#form.change(job), changed: () => this.refresh() });
        this.#rows.set(job.job_id, row);
      }
      row.draw(job);
      for (const element of row.elements) {
        if (element === place) place = place.nextElementSibling;
        else this.#body.insertBefore(element, place);
      }
    }
  }

  /** @param {unknown} error */
  #fail(error) {
    if (this.#rows.size > 0) return;
    this.#state.replaceChildren(errorBlock(error, () => this.refresh()));
    this.#state.hidden = false;
  }

  #empty() {
    const create = h("button", { type: "button", class: "button primary", onclick: () => this.#form.create() }, icon("plus"), "New job");
    return h(
      "div",
      { class: "state" },
      h("p", { class: "state-title" }, "Nothing is polled yet"),
      h("p", {}, "A job reads the prices of its symbols at an interval, until it is deleted. It goes on when this page is closed."),
      create,
    );
  }
}
