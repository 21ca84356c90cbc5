// The dialog for the API key, and what asks for it.

import { say, the } from "../base/dom.js";
import { key, setKey } from "../base/key.js";
import { notify } from "../base/notice.js";

export function listenForKeys() {
  const dialog = the("key-dialog", HTMLDialogElement);
  const input = the("key-input", HTMLInputElement);
  const error = the("key-error");

  const open = (/** @type {string} */ reason) => {
    input.value = key() ?? "";
    say(error, reason);
    error.hidden = reason === "";
    the("key-forget").hidden = key() === null;
    if (!dialog.open) dialog.showModal();
    input.focus();
  };

  the("key-button").addEventListener("click", () => open(""));
  the("banner-key").addEventListener("click", () => open(""));
  addEventListener("key-needed", (event) => {
    // Asked once; after that the banner offers it.
    if (dialog.dataset.asked) return;
    dialog.dataset.asked = "yes";
    open(/** @type {CustomEvent} */ (event).detail.message);
  });

  the("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    delete dialog.dataset.asked;
    setKey(input.value.trim() || null);
    dialog.close();
    mark();
  });
  the("key-forget").addEventListener("click", () => {
    setKey(null);
    dialog.close();
    mark();
    notify("done", "The key is forgotten.");
  });
  the("key-close").addEventListener("click", () => dialog.close());
  mark();
}

function mark() {
  the("key-button").dataset.has = key() === null ? "no" : "yes";
  the("key-button").title = key() === null ? "No API key is set" : "An API key is set for this session";
}
