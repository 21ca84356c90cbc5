// Prices that are published while the page is open.

import { cue, visit } from "./browser.mjs";

const PRICES = ["99999999999.999999999999999", "0.1", "0.30000000000000000001"];

await visit(async (page) => {
  await page.getByRole("button", { name: "ACME" }).waitFor();
  await page.waitForFunction(() => document.documentElement.dataset.connection === "live");

  const times = [];
  for (const price of PRICES) {
    await cue(price);
    const start = Date.now();
    await page.locator("#watchlist-rows .price .digits").filter({ hasText: new RegExp(`^${price.replace(".", "\\.")}$`) }).waitFor();
    await page.locator("#points-rows td").filter({ hasText: new RegExp(`^${price.replace(".", "\\.")}$`) }).first().waitFor();
    times.push(Date.now() - start);
  }
  return times;
});
