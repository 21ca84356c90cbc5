// The time to the first price, frames while two hundred symbols move, and memory.

import { address, check, visit } from "./browser.mjs";

/** How long frames and memory are watched, in milliseconds. */
const WATCHED = Number(process.env.PAGE_WATCHED_SECONDS ?? 30) * 1_000;

await visit(
  async (page) => {
    await page.locator("#watchlist-rows tr").nth(200).waitFor({ state: "attached" });
    await page.goto(address);
    await page.waitForFunction(() => performance.getEntriesByName("first-price").length > 0);
    const firstPrice = await page.evaluate(() => performance.getEntriesByName("first-price")[0].startTime);

    await page.getByLabel("Filter by symbol or provider").fill("LONG");
    await page.getByRole("button", { name: "LONG" }).click();
    await page.getByLabel("Filter by symbol or provider").fill("");
    await page.getByRole("button", { name: "All", exact: true }).click();
    for (let page_ = 0; page_ < 12; page_ += 1) {
      await page.getByRole("button", { name: "All", exact: true }).click();
      await page.waitForTimeout(250);
    }
    const points = await page.textContent("#points-count");

    const memory = [];
    const cdp = await page.context().newCDPSession(page);
    const used = async () => {
      await cdp.send("HeapProfiler.collectGarbage");
      return (await page.evaluate(() => performance.memory.usedJSHeapSize)) / 1_000_000;
    };
    await page.evaluate(() => {
      globalThis.frames_ = [];
      let last = performance.now();
      const frame = (now) => {
        globalThis.frames_.push(now - last);
        last = now;
        requestAnimationFrame(frame);
      };
      requestAnimationFrame(frame);
    });

    // The chart is moved meanwhile, as somebody would.
    const box = await page.locator("#chart").boundingBox();
    const end = Date.now() + WATCHED;
    memory.push(await used());
    while (Date.now() < end) {
      await page.mouse.move(box.x + 100 + Math.random() * 300, box.y + 100);
      await page.mouse.wheel(0, Math.random() > 0.5 ? 60 : -60);
      await page.waitForTimeout(500);
    }
    const frames = await page.evaluate(() => globalThis.frames_.sort((a, b) => a - b));
    memory.push(await used());

    const at = (share) => Math.round(frames[Math.floor((frames.length - 1) * share)] * 10) / 10;
    const rows = await page.locator("#watchlist-rows tr").count();
    check(frames.length > 10, "no frames were drawn");
    return {
      rows,
      points,
      "first price, ms": Math.round(firstPrice),
      "frames, ms": { count: frames.length, p50: at(0.5), p99: at(0.99), longest: at(1), "over 50": frames.filter((ms) => ms > 50).length },
      "memory, MB": memory.map((mb) => Math.round(mb * 10) / 10),
      "watched, s": WATCHED / 1_000,
    };
  },
  { reducedMotion: "no-preference" },
);
