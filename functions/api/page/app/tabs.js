// The tabs below the chart: arrow keys move between them, as the pattern for tabs asks.

/**
 * @param {HTMLElement} list the element with the role `tablist`
 * @returns {{ isOpen: (panel: string) => boolean, onChange: (changed: () => void) => void }}
 */
export function tabs(list) {
  const all = /** @type {HTMLElement[]} */ ([...list.querySelectorAll("[role=tab]")]);
  /** @type {(() => void)[]} */
  const listeners = [];

  const panelOf = (/** @type {HTMLElement} */ tab) => document.getElementById(tab.getAttribute("aria-controls") ?? "");
  const open = (/** @type {HTMLElement} */ chosen) => {
    for (const tab of all) {
      const isChosen = tab === chosen;
      tab.setAttribute("aria-selected", String(isChosen));
      tab.tabIndex = isChosen ? 0 : -1;
      const panel = panelOf(tab);
      if (panel) panel.hidden = !isChosen;
    }
    for (const listener of listeners) listener();
  };

  for (const tab of all) tab.addEventListener("click", () => open(tab));
  list.addEventListener("keydown", (event) => {
    const place = all.indexOf(/** @type {HTMLElement} */ (event.target));
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (place < 0 || step === undefined) return;
    event.preventDefault();
    const next = /** @type {HTMLElement} */ (all[(place + step + all.length) % all.length]);
    next.focus();
    open(next);
  });

  return {
    isOpen: (panel) => document.getElementById(panel)?.hidden === false,
    onChange: (changed) => void listeners.push(changed),
  };
}
