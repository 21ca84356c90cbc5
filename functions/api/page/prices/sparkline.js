// A line of the last prices, as wide as its cell. Positions on the screen are floating point; no
// number that is read comes from here.

/** @import { Point } from "./market.js" */

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 96;
const HEIGHT = 22;
const MARGIN = 2;

export class Sparkline {
  element = document.createElementNS(SVG, "svg");
  #line = document.createElementNS(SVG, "polyline");
  #end = document.createElementNS(SVG, "circle");
  #drawn = "";

  constructor() {
    this.element.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    this.element.setAttribute("preserveAspectRatio", "none");
    this.element.setAttribute("class", "sparkline");
    this.element.setAttribute("aria-hidden", "true");
    this.#end.setAttribute("r", "1.6");
    this.element.append(this.#line, this.#end);
  }

  /** @param {Point[]} points oldest first */
  draw(points) {
    const prices = points.map((point) => Number(point.price));
    const low = Math.min(...prices);
    const height = Math.max(...prices) - low || 1;
    const step = (WIDTH - 2 * MARGIN) / Math.max(prices.length - 1, 1);
    const places = prices.map((price, index) => {
      const x = MARGIN + index * step;
      const y = HEIGHT - MARGIN - ((price - low) / height) * (HEIGHT - 2 * MARGIN);
      return `${x.toFixed(1)},${y.toFixed(1)}`;
    });

    const drawn = places.length > 1 ? places.join(" ") : "";
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    this.#line.setAttribute("points", drawn);
    const [x = "-9", y = "-9"] = drawn === "" ? [] : (places.at(-1) ?? "").split(",");
    this.#end.setAttribute("cx", x);
    this.#end.setAttribute("cy", y);
  }
}
