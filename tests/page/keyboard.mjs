// The same as by mouse, without one.

import { check, reads, visit } from "./browser.mjs";

const focused = (page) => page.evaluate(() => document.activeElement?.id || document.activeElement?.textContent?.trim());

await visit(async (page) => {
  await page.locator(".welcome").waitFor();
  for (const symbol of ["AAPL", "MSFT"]) {
    await page.locator("body").press("Escape");
    await page.evaluate(() => document.activeElement?.blur?.());
    await page.keyboard.press("a");
    check((await focused(page)) === "add-symbol", "`a` leads to the field for a symbol");
    await page.keyboard.type(symbol);
    await page.keyboard.press("Enter");
    await page.locator("#offer-poll").waitFor();
    await page.waitForFunction(() => document.activeElement?.id === "offer-poll");
    await page.keyboard.press("Enter");
    await reads(page, "#job-rows", symbol);
  }
  await page.locator("#points-rows tr").nth(1).waitFor();

  // Rows by arrows, a symbol by Enter.
  await page.locator("#watchlist-rows button[tabindex='0']").focus();
  await page.keyboard.press("Home");
  check((await focused(page)) === "AAPL", `Home leads to the first row, not ${await focused(page)}`);
  await page.keyboard.press("ArrowDown");
  check((await focused(page)) === "MSFT", "the arrow leads to the next row");
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("Enter");
  await reads(page, "#chart-symbol", "AAPL");
  await page.waitForFunction(() => document.getElementById("live-price").textContent.startsWith("AAPL"));

  // The chart's points by arrows: each is spoken.
  await page.locator("#points-rows tr").nth(1).waitFor();
  await page.locator("#chart").focus();
  await page.keyboard.press("Home");
  const first = await page.textContent("#live-point");
  await page.keyboard.press("ArrowRight");
  const second = await page.textContent("#live-point");
  check(/Price .+ USD/.test(first) && first !== second, `spoken: ${first}, then ${second}`);

  // Tabs by arrows.
  await page.locator("#tab-jobs").focus();
  await page.keyboard.press("ArrowRight");
  await reads(page, "#provider-rows", "replay");
  check((await page.getAttribute("#tab-providers", "aria-selected")) === "true", "the tab is not chosen");
});
