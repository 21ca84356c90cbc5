// What went wrong, where it went wrong, in the API's own words.

import { Problem, Unreachable } from "./api.js";
import { h, icon, the } from "./dom.js";

/** How long a confirmation stays, in milliseconds. Errors stay until they are closed. */
const CONFIRMATION_TIME = 4_000;
/** Most notices at a time. */
const MOST_NOTICES = 4;

/**
 * The error in words: the API's for its problems.
 * @param {unknown} error
 * @returns {string}
 */
export function words(error) {
  if (error instanceof Problem || error instanceof Unreachable) return error.message;
  return `This page made a mistake: ${error instanceof Error ? error.message : String(error)}`;
}

/**
 * A block that shows an error in place of what it prevented, with a way to try again.
 * @param {unknown} error
 * @param {(() => void) | null} [again]
 * @returns {HTMLElement}
 */
export function errorBlock(error, again) {
  const title = error instanceof Problem ? error.title : "Not connected";
  return h(
    "div",
    { class: "state error" },
    icon("alert"),
    h("p", { class: "state-title" }, title || "It did not work"),
    h("p", {}, words(error)),
    again && h("button", { type: "button", class: "button", onclick: again }, "Try again"),
  );
}

/**
 * Shows a notice at the edge of the screen.
 * @param {"done" | "error"} kind
 * @param {string} text
 */
export function notify(kind, text) {
  const list = the("notices");
  const close = h("button", { type: "button", class: "icon-button", "aria-label": "Close" }, icon("close"));
  const notice = h(
    "li",
    { class: `notice ${kind}`, role: kind === "error" ? "alert" : "status" },
    icon(kind === "error" ? "alert" : "check"),
    h("span", {}, text),
    close,
  );
  close.addEventListener("click", () => notice.remove());

  list.append(notice);
  while (list.childElementCount > MOST_NOTICES) list.firstElementChild?.remove();
  if (kind === "done") setTimeout(() => notice.remove(), CONFIRMATION_TIME);
}

/**
 * Runs what a button does: the button is busy meanwhile, and an error becomes a notice.
 * @param {HTMLButtonElement} button
 * @param {() => Promise<void>} action
 */
export async function act(button, action) {
  if (button.getAttribute("aria-busy") === "true") return;
  button.setAttribute("aria-busy", "true");
  try {
    await action();
  } catch (error) {
    notify("error", words(error));
  } finally {
    button.removeAttribute("aria-busy");
  }
}
