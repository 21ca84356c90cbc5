// The chart by keyboard: arrows move the crosshair from point to point, and what is under it is
// spoken.

/**
 * @typedef {object} Actions
 * @property {(by: number) => void} move the crosshair by so many points
 * @property {(end: "first" | "last") => void} jump
 * @property {(factor: number) => void} zoom
 * @property {(share: number) => void} pan
 * @property {() => void} toNow
 */

/**
 * @param {HTMLElement} element
 * @param {Actions} actions
 */
export function listenToKeys(element, actions) {
  /** @type {Record<string, (event: KeyboardEvent) => void>} */
  const keys = {
    ArrowLeft: (event) => actions.move(event.shiftKey ? -10 : -1),
    ArrowRight: (event) => actions.move(event.shiftKey ? 10 : 1),
    Home: () => actions.jump("first"),
    End: () => actions.jump("last"),
    PageUp: () => actions.pan(-0.8),
    PageDown: () => actions.pan(0.8),
    "+": () => actions.zoom(0.7),
    "=": () => actions.zoom(0.7),
    "-": () => actions.zoom(1.4),
    n: () => actions.toNow(),
  };

  element.addEventListener("keydown", (event) => {
    const action = keys[event.key];
    if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    action(event);
  });
}
