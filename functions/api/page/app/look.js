// Light, dark, or as the system says.

import { say, the } from "../base/dom.js";

/** @typedef {"auto" | "light" | "dark"} Theme */

/** @type {Theme[]} */
const THEMES = ["auto", "light", "dark"];

export function listenForTheme() {
  const button = the("theme-button");
  const root = document.documentElement;
  const current = () => /** @type {Theme} */ (root.dataset.theme ?? "auto");
  const show = () => {
    say(the("theme-label"), { auto: "Auto", light: "Light", dark: "Dark" }[current()]);
    button.setAttribute("aria-label", `Theme: ${current()}`);
  };

  button.addEventListener("click", () => {
    const next = /** @type {Theme} */ (THEMES[(THEMES.indexOf(current()) + 1) % THEMES.length]);
    if (next === "auto") delete root.dataset.theme;
    else root.dataset.theme = next;
    try {
      localStorage.setItem("theme", next);
    } catch {
      // It holds until the page is closed.
    }
    show();
    dispatchEvent(new CustomEvent("theme-changed"));
  });
  show();
}
