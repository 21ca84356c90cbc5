// Keeps the market up to date: reads all series once, then follows `GET /prices/changes`, which
// answers as soon as something has changed. New series are looked for now and then.

import { Problem, get } from "../base/api.js";
import { isSame } from "./market.js";

/** @import { Connection } from "./connection.js" */
/** @import { Market, Point } from "./market.js" */

/** Seconds that the API waits for a change. */
const WAIT = 20;
/** Symbols that one request follows: the API's limit. */
const SYMBOLS_OF_A_GROUP = 100;
/** Requests that wait at a time. A browser has six connections to a server; the others stay free. */
const MOST_GROUPS = 3;
/** Most changes in one answer. */
const MOST_CHANGES = 1_000;
/** How often all series are read again, in milliseconds: for new ones, and those not followed. */
const REFRESH = 10_000;
/** The same where the API has no changes. */
const REFRESH_WITHOUT_CHANGES = 1_000;
/** Series in one answer. */
const PAGE = 5_000;
/** How long an answer may be late before the connection counts as lost, in milliseconds. */
const PATIENCE = 10_000;

/**
 * @param {number} milliseconds
 * @param {AbortSignal} [signal] ends the wait
 */
const sleep = (milliseconds, signal) =>
  new Promise((resolve) => {
    setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", resolve, { once: true });
  });

export class Feed {
  /** @type {string[]} */
  #symbols = [];
  /** @type {AbortController[]} one for each group's wait */
  #waits = [];
  #hasChanges = true;
  #refreshNow = new AbortController();

  /**
   * @param {Market} market
   * @param {Connection} connection
   */
  constructor(market, connection) {
    this.market = market;
    this.connection = connection;
  }

  /**
   * Reads all series, and goes on to follow them.
   * @param {() => void} loaded is called once they are there
   */
  async start(loaded) {
    let isFirst = true;
    for (;;) {
      try {
        await this.#readAll();
        this.connection.succeeded();
        if (isFirst) loaded();
        isFirst = false;
        this.#follow();
      } catch (error) {
        await this.connection.failed(error);
        continue;
      }
      this.#refreshNow = new AbortController();
      await sleep(this.#hasChanges ? REFRESH : REFRESH_WITHOUT_CHANGES, this.#refreshNow.signal);
    }
  }

  /** Looks for new series at once. */
  refresh() {
    this.#refreshNow.abort();
  }

  async #readAll() {
    /** @type {string | null} */
    let cursor = null;
    do {
      const page = await get("symbols", { limit: PAGE, cursor }, AbortSignal.timeout(PATIENCE));
      for (const item of page.items) this.#take(item, item.first_timestamp);
      cursor = page.next_cursor;
    } while (cursor !== null);
  }

  /**
   * @param {Point & { symbol: string, provider: string }} item
   * @param {string | null} [first]
   */
  #take(item, first = null) {
    const { symbol, provider } = item;
    const known = this.market.series.get(`${symbol} ${provider}`);
    if (known && isSame(known.newest, item)) return;
    this.market.take(symbol, provider, item, first);
  }

  /** Has each group of symbols followed, new symbols among them. */
  #follow() {
    if (!this.#hasChanges) return;
    const symbols = [...new Set([...this.market.series.values()].map((series) => series.symbol))];
    if (symbols.length === this.#symbols.length) return;

    const before = this.#groups();
    this.#symbols = symbols;
    const after = this.#groups();
    for (let group = 0; group < after; group += 1) {
      // A group that has grown asks again with its new symbols; its position stays valid.
      if (group < before) this.#waits[group]?.abort();
      else void this.#followGroup(group);
    }
  }

  #groups() {
    return Math.min(Math.ceil(this.#symbols.length / SYMBOLS_OF_A_GROUP), MOST_GROUPS);
  }

  /** @param {number} group */
  async #followGroup(group) {
    let after = "now";
    while (this.#hasChanges) {
      const wait = new AbortController();
      this.#waits[group] = wait;
      try {
        const from = group * SYMBOLS_OF_A_GROUP;
        const symbols = this.#symbols.slice(from, from + SYMBOLS_OF_A_GROUP).join(",");
        const seconds = after === "now" ? 0 : WAIT;
        const signal = AbortSignal.any([wait.signal, AbortSignal.timeout(seconds * 1_000 + PATIENCE)]);
        const changes = await get("prices/changes", { symbols, after, wait: seconds, limit: MOST_CHANGES }, signal);

        for (const item of changes.items) this.market.take(item.symbol, item.provider, item);
        // What changed between the first reading and this position.
        if (after === "now") this.refresh();
        after = changes.next_cursor;
        this.connection.succeeded();
      } catch (error) {
        if (wait.signal.aborted) continue;
        if (error instanceof Problem && error.isMissingRoute) {
          this.#hasChanges = false;
          this.refresh();
        } else if (error instanceof Problem && error.status === 410) {
          // The position is gone: what is shown may lack changes, and is read anew.
          after = "now";
          dispatchEvent(new CustomEvent("changes-lost"));
        } else {
          await this.connection.failed(error);
        }
      }
    }
  }
}
