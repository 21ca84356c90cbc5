// What is under the crosshair, or newest: the exact values, as the API wrote them.

import { h } from "../base/dom.js";
import { moment } from "../base/times.js";
import { averageAt } from "./average.js";

/** @import { Shown } from "./shown.js" */

/** @typedef {{ name: string, value: string, kind: string }} Value */

/**
 * The values of an item.
 * @param {Shown} shown
 * @param {number} index
 * @param {number} window
 * @returns {{ time: string, values: Value[] } | null}
 */
export function valuesAt(shown, index, window) {
  if (shown.isCandles) {
    const candle = shown.candles[index];
    if (!candle) return null;
    const values = [
      { name: "Open", value: candle.open, kind: "" },
      { name: "High", value: candle.high, kind: "" },
      { name: "Low", value: candle.low, kind: "" },
      { name: "Close", value: candle.close, kind: "price" },
      { name: "Points", value: candle.points, kind: "" },
    ];
    if (!candle.complete) values.push({ name: "", value: "still running", kind: "" });
    return { time: candle.timestamp, values };
  }

  const point = shown.points[index];
  if (!point) return null;
  const values = [{ name: "Price", value: `${point.price} ${point.currency ?? ""}`.trim(), kind: "price" }];
  const average = window > 0 ? averageAt(shown.points, index, window) : null;
  if (average !== null) {
    const partial = window === 5 && point.points !== "5" ? ` of ${point.points}` : "";
    values.push({ name: `Average ${window}`, value: average + partial, kind: "average" });
  }
  return { time: point.timestamp, values };
}

/**
 * Draws the legend.
 * @param {HTMLElement} element
 * @param {ReturnType<typeof valuesAt>} item
 */
export function drawLegend(element, item) {
  if (!item) {
    element.replaceChildren();
    return;
  }
  element.replaceChildren(
    h("span", { class: "legend-time" }, `${moment(item.time)} UTC`),
    ...item.values.map(({ name, value, kind }) =>
      h("span", { class: `legend-value ${kind}` }, name && h("span", { class: "legend-name" }, name), h("b", {}, value)),
    ),
  );
}

/**
 * The same as a sentence, for screen readers.
 * @param {ReturnType<typeof valuesAt>} item
 * @returns {string}
 */
export function spoken(item) {
  return item ? `${moment(item.time)}: ${item.values.map(({ name, value }) => `${name} ${value}`).join(", ")}` : "";
}
