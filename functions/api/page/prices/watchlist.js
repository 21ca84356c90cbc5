// The list of all series: drawn once a frame at most, however many of them move.

import { h, say, the } from "../base/dom.js";
import { MOVING, selected } from "./order.js";
import { Row } from "./row.js";

/** @import { Market, Series } from "./market.js" */
/** @import { Column } from "./order.js" */
/** @import { Recent } from "./recent.js" */

/** Most rows in the document. */
const MOST_ROWS = 500;
/** Rows out of sight that are drawn each second. */
const ROWS_BEHIND = 40;
/** How long a new price is lit, in milliseconds. */
const FLASH = 500;
/** How often ages are written, and rows put in order, in milliseconds. */
const SECOND = 1_000;

export class Watchlist {
  #body = the("watchlist-rows");
  #filter = the("filter", HTMLInputElement);
  /** @type {Map<string, Row>} */
  #rows = new Map();
  /** @type {Set<Series>} */
  #dirty = new Set();
  /** @type {Set<Row>} rows out of sight that show an older price */
  #behind = new Set();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #calming;
  #isDrawing = false;
  #isOrderOld = true;
  /** @type {Column} */
  #column = "symbol";
  #descending = false;
  /** @type {string | null} */
  #chosen = null;
  #visible;

  /**
   * @param {Market} market
   * @param {Recent} recent
   * @param {(series: Series) => void} choose
   */
  constructor(market, recent, choose) {
    this.market = market;
    this.recent = recent;
    this.choose = choose;

    this.#visible = new IntersectionObserver((entries) => this.#seen(entries), { rootMargin: "60px" });
    this.#filter.addEventListener("input", () => this.#reorder());
    this.#body.addEventListener("keydown", (event) => this.#move(event));
    for (const button of document.querySelectorAll("#watchlist thead button")) {
      button.addEventListener("click", () => this.#sort(/** @type {HTMLElement} */ (button)));
    }

    market.listen((series) => this.#touch(series));
    setInterval(() => this.#tick(), SECOND);
    addEventListener("connection", () => {
      for (const row of this.#rows.values()) if (row.element.dataset.visible) recent.want(row.series);
    });
  }

  /** @param {Series} series */
  mark(series) {
    if (this.#chosen) this.#row(this.#chosen, (row) => (row.chosen = false));
    this.#chosen = series.key;
    this.#row(series.key, (row) => {
      row.chosen = true;
      this.#tabTo(row);
    });
  }

  /** The first series of the list. */
  get first() {
    const key = /** @type {HTMLElement | null} */ (this.#body.firstElementChild)?.dataset.key;
    return key === undefined ? undefined : this.market.series.get(key);
  }

  /** Draws at once what waits for the next frame. */
  draw() {
    this.#isDrawing = false;
    if (this.#isOrderOld) this.#order();

    const now = Date.now();
    for (const series of this.#dirty) {
      this.#row(series.key, (row) => {
        if (!row.element.dataset.visible) {
          this.#behind.add(row);
          return;
        }
        row.draw(now);
        this.recent.want(series);
      });
    }
    this.#dirty.clear();
    this.#calming ??= setTimeout(() => this.#calm(), FLASH);
  }

  /** Ends the light of all prices at once. An animation of each would cost every frame. */
  #calm() {
    this.#calming = undefined;
    for (const row of this.#rows.values()) row.calm();
  }

  /** @param {Series} series */
  #touch(series) {
    this.#dirty.add(series);
    if (!this.#rows.has(series.key)) this.#isOrderOld = true;
    if (this.#isDrawing) return;
    this.#isDrawing = true;
    requestAnimationFrame(() => this.draw());
  }

  #tick() {
    const now = Date.now();
    for (const row of this.#rows.values()) {
      if (row.element.dataset.visible) row.drawAge(now);
    }
    // A few at a time: they are out of sight, but a screen reader may read them.
    for (const row of [...this.#behind].slice(0, ROWS_BEHIND)) this.#catchUp(row, now);
    if (MOVING.has(this.#column)) this.#order();
  }

  /**
   * @param {Row} row
   * @param {number} now milliseconds since 1970
   */
  #catchUp(row, now) {
    this.#behind.delete(row);
    row.draw(now);
  }

  #reorder() {
    this.#isOrderOld = true;
    this.#order();
  }

  /** Puts the rows in order. Those that stay in place are not touched. */
  #order() {
    this.#isOrderOld = false;
    const all = selected(this.market.series.values(), this.#filter.value, this.#column, this.#descending);
    const shown = all.slice(0, MOST_ROWS);

    const kept = new Set(shown.map((series) => series.key));
    for (const [key, row] of this.#rows) {
      if (!kept.has(key)) this.#remove(key, row);
    }

    let place = this.#body.firstElementChild;
    for (const series of shown) {
      const { element } = this.#rowOf(series);
      if (element === place) place = place.nextElementSibling;
      else this.#body.insertBefore(element, place);
    }
    this.#summarize(all.length, shown.length);
  }

  /**
   * @param {number} found
   * @param {number} shown
   */
  #summarize(found, shown) {
    const total = this.market.series.size;
    the("watchlist-none").hidden = found > 0 || total === 0;
    say(the("watchlist-count"), shown < found ? `${shown} of ${found}: filter to see others` : `${found} of ${total}`);
  }

  /** @param {Series} series */
  #rowOf(series) {
    let row = this.#rows.get(series.key);
    if (!row) {
      row = new Row(series, (series) => this.choose(series));
      if (series.key === this.#chosen) row.chosen = true;
      if (this.#rows.size === 0) row.button.tabIndex = 0;
      this.#rows.set(series.key, row);
      this.#visible.observe(row.element);
    }
    return row;
  }

  /**
   * @param {string} key
   * @param {Row} row
   */
  #remove(key, row) {
    this.#visible.unobserve(row.element);
    row.element.remove();
    this.#behind.delete(row);
    this.#rows.delete(key);
  }

  /**
   * @param {string} key
   * @param {(row: Row) => void} action
   */
  #row(key, action) {
    const row = this.#rows.get(key);
    if (row) action(row);
  }

  /** @param {IntersectionObserverEntry[]} entries */
  #seen(entries) {
    for (const { target, isIntersecting } of entries) {
      const element = /** @type {HTMLElement} */ (target);
      if (isIntersecting) element.dataset.visible = "yes";
      else delete element.dataset.visible;
      const row = this.#rows.get(element.dataset.key ?? "");
      if (!isIntersecting || !row) continue;
      this.#catchUp(row, Date.now());
      this.recent.want(row.series);
    }
  }

  /** @param {HTMLElement} button */
  #sort(button) {
    const column = /** @type {Column} */ (button.dataset.column);
    this.#descending = this.#column === column ? !this.#descending : MOVING.has(column) && column !== "age";
    this.#column = column;

    for (const header of document.querySelectorAll("#watchlist thead th")) header.removeAttribute("aria-sort");
    button.closest("th")?.setAttribute("aria-sort", this.#descending ? "descending" : "ascending");
    this.#reorder();
  }

  /** @param {KeyboardEvent} event */
  #move(event) {
    const current = /** @type {HTMLElement} */ (event.target).closest("tr");
    const target =
      event.key === "ArrowDown" ? current?.nextElementSibling
      : event.key === "ArrowUp" ? current?.previousElementSibling
      : event.key === "Home" ? this.#body.firstElementChild
      : event.key === "End" ? this.#body.lastElementChild
      : null;
    if (!target) return;

    event.preventDefault();
    this.#row(/** @type {HTMLElement} */ (target).dataset.key ?? "", (row) => {
      this.#tabTo(row);
      row.button.focus();
    });
  }

  /**
   * One row at a time is in the order of Tab; arrow keys move between rows.
   * @param {Row} row
   */
  #tabTo(row) {
    for (const other of this.#rows.values()) other.button.tabIndex = -1;
    row.button.tabIndex = 0;
  }
}

/**
 * Rows that stand for those to come.
 * @param {number} count
 */
export function showSkeleton(count) {
  const rows = Array.from({ length: count }, () =>
    h("tr", { class: "skeleton", "aria-hidden": "true" }, h("td", { colspan: 8 }, h("span", {}))),
  );
  the("watchlist-rows").replaceChildren(...rows);
}
