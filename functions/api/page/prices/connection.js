// Whether the page has what it shows from the pipeline, or something stands between them. Everybody
// who asks regularly reports here; what is shown follows the last report.

import { Problem } from "../base/api.js";
import { words } from "../base/notice.js";
import { say, the } from "../base/dom.js";

/** Waits before the next try, in milliseconds: the last one again and again. */
const WAITS = [500, 1_000, 2_000, 4_000, 5_000];

/** @typedef {"connecting" | "live" | "lost" | "key"} State */

const LABELS = { connecting: "Connecting", live: "Live", lost: "Not connected", key: "Key needed" };

export class Connection {
  /** @type {State} */
  state = "connecting";
  #failures = 0;

  /** Something arrived. */
  succeeded() {
    this.#failures = 0;
    this.#show("live", "");
  }

  /**
   * A request failed. Waits as long as its caller should, at most until the browser is online again
   * or another key was given.
   * @param {unknown} error
   * @returns {Promise<void>}
   */
  async failed(error) {
    const needsKey = error instanceof Problem && error.needsKey;
    this.#show(needsKey ? "key" : "lost", words(error));

    const asked = error instanceof Problem ? error.retryAfter * 1_000 : 0;
    const wait = Math.max(WAITS[Math.min(this.#failures, WAITS.length - 1)] ?? 0, asked);
    this.#failures += 1;
    await new Promise((resolve) => {
      if (!needsKey) setTimeout(resolve, wait);
      addEventListener("online", resolve, { once: true });
      addEventListener("key-changed", resolve, { once: true });
    });
  }

  /**
   * @param {State} state
   * @param {string} reason
   */
  #show(state, reason) {
    say(the("banner-text"), reason);
    if (state === this.state) return;

    this.state = state;
    document.documentElement.dataset.connection = state;
    say(the("connection-label"), LABELS[state]);
    the("banner").hidden = state !== "lost" && state !== "key";
    say(the("banner-title"), LABELS[state]);
    the("banner-key").hidden = state !== "key";
    dispatchEvent(new CustomEvent("connection", { detail: state }));
  }
}
