// A job: its state, its last run, what can be done with it, and below it its runs.

import { badge, h, icon, say } from "../base/dom.js";
import { act, notify } from "../base/notice.js";
import { age, interval, moment, until } from "../base/times.js";
import { actOn, deleteJob } from "./requests.js";
import { Runs } from "./runs.js";

/** @import { Job, LastRun } from "./requests.js" */

/** Symbols that are named before "and n more". */
const NAMED = 4;

/** State, in words and as a sign: colour is never the only one. */
const STATES = {
  active: { word: "active", sign: "play", kind: "good" },
  paused: { word: "paused", sign: "pause", kind: "quiet" },
  backing_off: { word: "backing off", sign: "alert", kind: "warn" },
  stalled: { word: "stalled", sign: "alert", kind: "bad" },
};

/** Results that need no attention. */
const FINE = new Set(["succeeded", "running", "requested"]);

/**
 * @typedef {object} Actions
 * @property {(job: Job) => void} change
 * @property {() => void} changed
 */

export class JobRow {
  #state = h("td", { class: "job-state" });
  #symbols = h("td", { class: "job-symbols" });
  #every = h("td", { class: "number next" });
  #provider = h("td", {});
  #next = h("td", { class: "number next" });
  #last = h("td", { class: "job-last" });
  #pause = h("button", { type: "button", class: "button small" });
  #actions = h("div", { class: "actions" });
  #row;
  #details = h("td", { colspan: 7 });
  #detailsRow = h("tr", { class: "details", hidden: true }, this.#details);
  #toggle = h("button", { type: "button", class: "button small" }, "Runs");
  /** @type {Runs | null} */
  #runs = null;
  #drawn = "";

  /**
   * @param {Job} job
   * @param {Actions} actions
   */
  constructor(job, actions) {
    this.job = job;
    this.actions = actions;
    this.#row = h(
      "tr",
      { data: { job: job.job_id } },
      this.#state,
      this.#symbols,
      this.#every,
      this.#provider,
      this.#next,
      this.#last,
      h("td", { class: "job-actions" }, this.#actions),
    );
    this.#detailsRow.id = `runs-${job.job_id}`;
    this.#toggle.setAttribute("aria-controls", this.#detailsRow.id);
    this.#toggle.setAttribute("aria-expanded", "false");
    this.#toggle.addEventListener("click", () => this.#open(this.#detailsRow.hidden));
    this.#pause.addEventListener("click", () => act(this.#pause, () => this.#pauseOrResume()));
    this.#showActions();
  }

  get elements() {
    return [this.#row, this.#detailsRow];
  }

  remove() {
    for (const element of this.elements) element.remove();
    this.#runs?.end();
  }

  /** @param {Job} job */
  draw(job) {
    this.job = job;
    const drawn = JSON.stringify([job.status, job.reason, job.config, job.last_run]);
    if (drawn !== this.#drawn) this.#drawAll(job);
    this.#drawn = drawn;
    this.drawTimes(Date.now());
  }

  /** @param {Job} job */
  #drawAll(job) {
    const { symbols } = job.config;
    const named = symbols.slice(0, NAMED).join(", ");
    const { word, sign, kind } = STATES[job.status] ?? STATES.active;
    const state = h("span", { class: `status ${kind}` }, icon(sign), word);
    this.#state.replaceChildren(state, ...(job.reason ? [h("p", { class: "reason" }, job.reason)] : []));
    this.#state.parentElement?.setAttribute("data-status", job.status);

    say(this.#symbols, symbols.length > NAMED ? `${named} and ${symbols.length - NAMED} more` : named);
    this.#symbols.title = symbols.slice(0, 200).join(", ");
    say(this.#every, interval(Number(job.config.interval)) + (job.config.market_hours ? ", market hours" : ""));
    const isRecorded = job.config.provider === "replay";
    this.#provider.replaceChildren(isRecorded ? badge("replay", "recorded", "Recorded prices, not the market's") : job.config.provider);
    this.#last.replaceChildren(...lastRun(job.last_run));
    say(this.#pause, job.status === "paused" ? "Resume" : "Pause");
    this.#name();
  }

  /** @param {number} now milliseconds since 1970 */
  drawTimes(now) {
    const { next_tick_at } = this.job;
    say(this.#next, next_tick_at ? until(next_tick_at, now) : "–");
    this.#next.title = next_tick_at ? `${moment(next_tick_at)} UTC` : "";
    const last = this.#last.querySelector("time");
    if (last instanceof HTMLTimeElement) say(last, `${age(last.dateTime, now)} ago`.replace("now ago", "now"));
  }

  #showActions() {
    const run = h("button", { type: "button", class: "button small" }, "Run now");
    run.addEventListener("click", () => act(run, () => this.#runNow()));
    const change = h("button", { type: "button", class: "button small", onclick: () => this.actions.change(this.job) }, "Change");
    const remove = h("button", { type: "button", class: "button small", onclick: () => this.#ask() }, "Delete");
    this.#actions.replaceChildren(this.#toggle, run, this.#pause, change, remove);
    this.#name();
  }

  /** Names the job in each button's label: a screen reader reads buttons without their row. */
  #name() {
    const symbols = this.job.config.symbols.slice(0, NAMED).join(", ");
    for (const button of this.#actions.querySelectorAll("button")) {
      button.setAttribute("aria-label", `${button.textContent} ${symbols}`);
    }
  }

  /** Asks before it deletes, in place. */
  #ask() {
    const yes = h("button", { type: "button", class: "button small danger" }, "Delete job");
    const no = h("button", { type: "button", class: "button small" }, "Keep");
    yes.addEventListener("click", () => act(yes, () => this.#delete()));
    no.addEventListener("click", () => this.#showActions());
    this.#actions.replaceChildren(h("span", { class: "question" }, "Its prices stay."), yes, no);
    no.focus();
  }

  async #delete() {
    await deleteJob(this.job.job_id);
    notify("done", "The job is deleted. Its prices stay.");
    this.actions.changed();
  }

  async #pauseOrResume() {
    await actOn(this.job.job_id, this.job.status === "paused" ? "resume" : "pause");
    this.actions.changed();
  }

  async #runNow() {
    await actOn(this.job.job_id, "run");
    notify("done", "The run was asked for. It shows below within seconds.");
    this.#open(true);
    this.actions.changed();
  }

  /** @param {boolean} open */
  #open(open) {
    this.#detailsRow.hidden = !open;
    this.#toggle.setAttribute("aria-expanded", String(open));
    if (open && !this.#runs) {
      this.#runs = new Runs(this.job.job_id, () => !this.#detailsRow.hidden);
      this.#details.append(this.#runs.element);
    }
    if (open) this.#runs?.refresh();
  }
}

/**
 * @param {LastRun | null} run
 * @returns {(Node | string)[]}
 */
function lastRun(run) {
  if (!run) return [h("span", { class: "quiet" }, "no run yet")];
  const counts = [
    `${run.published} new`,
    run.unchanged !== "0" && `${run.unchanged} unchanged`,
    run.failed !== "0" && `${run.failed} failed`,
  ].filter(Boolean);
  const isFine = FINE.has(run.status);
  return [
    h("span", { class: `status ${isFine ? "good" : run.status === "partial" ? "warn" : "bad"}` }, icon(isFine ? "check" : "alert"), run.status),
    h("span", { class: "counts" }, ` ${counts.join(", ")}, `, h("time", { datetime: run.tick_time })),
    ...(run.error ? [h("p", { class: "reason" }, run.error)] : []),
  ];
}
