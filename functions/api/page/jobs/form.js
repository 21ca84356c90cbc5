// The dialog that creates and changes jobs. Faults appear at the fields that they are about.

import { Problem, get } from "../base/api.js";
import { h, say, the } from "../base/dom.js";
import { act, notify, words } from "../base/notice.js";
import { changeJob, createJob } from "./requests.js";

/** @import { Job, Wanted } from "./requests.js" */

/** Places in a problem, and the fields that they mean. */
const FIELDS = { symbols: "job-symbols", interval: "job-interval", provider: "job-provider", market_hours: "job-hours" };

export class JobForm {
  #dialog = the("job-dialog", HTMLDialogElement);
  #form = the("job-form", HTMLFormElement);
  #symbols = the("job-symbols", HTMLTextAreaElement);
  #interval = the("job-interval", HTMLInputElement);
  #unit = the("job-unit", HTMLSelectElement);
  #provider = the("job-provider", HTMLInputElement);
  #hours = the("job-hours", HTMLInputElement);
  #submit = the("job-submit", HTMLButtonElement);
  /** @type {Job | null} the job that is changed; null for a new one */
  #job = null;

  /** @param {() => void} done */
  constructor(done) {
    this.done = done;
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      void act(this.#submit, () => this.#send());
    });
    for (const button of this.#dialog.querySelectorAll("[data-close]")) {
      button.addEventListener("click", () => this.#dialog.close());
    }
  }

  /** Opens for a new job of the chosen symbol. */
  create() {
    const symbol = the("chart-panel").dataset.filled ? the("chart-symbol").textContent : "";
    this.#open(null, symbol ?? "", 10, "", false);
  }

  /** @param {Job} job */
  change(job) {
    const { symbols, interval, provider, market_hours } = job.config;
    this.#open(job, symbols.join(", "), Number(interval), provider, market_hours);
  }

  /**
   * @param {Job | null} job
   * @param {string} symbols
   * @param {number} interval seconds
   * @param {string} provider
   * @param {boolean} hours
   */
  #open(job, symbols, interval, provider, hours) {
    this.#job = job;
    this.#clear();
    say(the("job-title"), job ? "Change job" : "New job");
    say(this.#submit, job ? "Save" : "Start polling");

    const unit = interval % 3_600 === 0 ? 3_600 : interval % 60 === 0 ? 60 : 1;
    this.#symbols.value = symbols;
    this.#interval.value = String(interval / unit);
    this.#unit.value = String(unit);
    this.#provider.value = provider;
    this.#hours.checked = hours;
    this.#dialog.showModal();
    void this.#suggestProviders();
  }

  /** What may be typed into the field, with the default as its hint. */
  async #suggestProviders() {
    try {
      const { items } = await get("providers");
      const usable = items.filter((/** @type {any} */ item) => !item.needs);
      the("provider-names").replaceChildren(...usable.map((/** @type {any} */ item) => h("option", { value: item.provider })));
      const standard = items.filter((/** @type {any} */ item) => item.default_place !== null);
      standard.sort((/** @type {any} */ a, /** @type {any} */ b) => Number(a.default_place) - Number(b.default_place));
      this.#provider.placeholder = `default: ${standard.map((/** @type {any} */ item) => item.provider).join(",")}`;
    } catch {
      // The field works without suggestions.
    }
  }

  /** @returns {Wanted} */
  #wanted() {
    const symbols = this.#symbols.value.split(/[\s,;]+/).filter((symbol) => symbol !== "");
    const provider = this.#provider.value.replaceAll(/\s/g, "");
    return {
      symbols,
      interval: Number(this.#interval.value) * Number(this.#unit.value),
      provider: provider === "" ? null : provider,
      market_hours: this.#hours.checked,
    };
  }

  async #send() {
    this.#clear();
    const wanted = this.#wanted();
    try {
      if (this.#job) await changeJob(this.#job.job_id, wanted);
      else await createJob(wanted);
    } catch (error) {
      this.#show(error);
      return;
    }
    this.#dialog.close();
    notify("done", this.#job ? "The job is changed." : "The job is polled from the next second on.");
    this.done();
  }

  /** @param {unknown} error */
  #show(error) {
    const faults = error instanceof Problem ? error.errors : [];
    const rest = [];
    for (const { location, message } of faults) {
      const name = /^body\.(\w+)/.exec(location)?.[1] ?? "";
      const field = /** @type {Record<string, string>} */ (FIELDS)[name];
      const place = /\[(\d+)\]/.exec(location)?.[1];
      const which = place === undefined ? "" : `${this.#wanted().symbols[Number(place)] ?? `symbol ${Number(place) + 1}`} `;
      if (field) this.#fault(field, `${which}${message}`);
      else rest.push(`${location} ${message}`);
    }
    const summary = the("job-error");
    summary.hidden = false;
    say(summary, faults.length > 0 && rest.length === 0 ? "Some fields need another value." : [words(error), ...rest].join(" "));
    const invalid = this.#form.querySelector("[aria-invalid]");
    if (invalid instanceof HTMLElement) invalid.focus();
  }

  /**
   * @param {string} field
   * @param {string} message
   */
  #fault(field, message) {
    the(field).setAttribute("aria-invalid", "true");
    const place = the(`${field}-fault`);
    say(place, place.textContent ? `${place.textContent}; ${message}` : message);
  }

  #clear() {
    the("job-error").hidden = true;
    for (const field of Object.values(FIELDS)) {
      the(field).removeAttribute("aria-invalid");
      say(the(`${field}-fault`), "");
    }
  }
}
