// A fresh stack: one click adds a symbol, another has it polled, and the chart moves.

import { check, visit } from "./browser.mjs";

await visit(async (page) => {
  let clicks = 0;
  const click = async (name) => {
    await page.getByRole("button", { name, exact: true }).click();
    clicks += 1;
  };

  await click("Add AAPL");
  await page.getByRole("button", { name: "Poll every 10 s" }).waitFor();
  await click("Poll every 10 s");

  const canvas = page.locator("#chart");
  await page.locator("#points-rows tr").nth(1).waitFor();
  const before = await canvas.screenshot();
  const price = await page.textContent("#chart-price");
  await page.waitForFunction((price) => document.getElementById("chart-price").textContent !== price, price);
  await page.waitForTimeout(200);
  check(!before.equals(await canvas.screenshot()), "the chart was not drawn again");
  check(await page.locator("#chart-replay").isVisible(), "a recorded price has no badge");
  check(await page.locator("#watchlist .badge.recorded").first().isVisible(), "a row has no badge");
  return { clicks };
});
