// A fresh stack: one click adds a symbol, another has it polled, and the chart moves.

import { check, drawn, visit } from "./browser.mjs";

await visit(async (page) => {
  let clicks = 0;
  const click = async (name) => {
    await page.getByRole("button", { name, exact: true }).click();
    clicks += 1;
  };

  await click("Add AAPL");
  await page.getByRole("button", { name: "Poll every 10 s" }).waitFor();
  await click("Poll every 10 s");

  await page.locator("#points-rows tr").nth(1).waitFor();
  const before = await drawn(page);
  const price = await page.textContent("#chart-price");
  await page.waitForFunction((price) => document.getElementById("chart-price").textContent !== price, price);
  await page.waitForTimeout(200);
  check(before !== (await drawn(page)), "the chart was not drawn again");
  check(await page.locator("#chart-replay").isVisible(), "a recorded price has no badge");
  check(await page.locator("#watchlist .badge.recorded").first().isVisible(), "a row has no badge");
  return { clicks };
});
