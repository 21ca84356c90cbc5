// A panel that is read again and again while it is in sight.

import { Problem, Unreachable } from "./api.js";

/**
 * Calls `read` now, and then every so often, one call at a time: only while `isWanted`, the page is
 * in sight, and the last call was not in vain.
 * @param {() => Promise<void>} read
 * @param {(error: unknown) => void} failed
 * @param {number} every milliseconds
 * @param {() => boolean} isWanted
 * @returns {() => void} reads at once
 */
export function polled(read, failed, every, isWanted) {
  let isReading = false;
  let wantsMore = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;

  async function once() {
    clearTimeout(timer);
    if (isReading) {
      wantsMore = true;
      return;
    }
    isReading = true;
    let wait = every;
    try {
      if (isWanted() && !document.hidden) await read();
    } catch (error) {
      failed(error);
      if (error instanceof Problem && error.isMissingRoute) return;
      if (error instanceof Unreachable) wait = Math.min(wait, 2_000);
    } finally {
      isReading = false;
    }
    timer = setTimeout(() => void once(), wantsMore ? 0 : wait);
    wantsMore = false;
  }

  document.addEventListener("visibilitychange", () => void once());
  addEventListener("key-changed", () => void once());
  void once();
  return () => void once();
}
