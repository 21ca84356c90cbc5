// Candles of the chosen series, and the same values as a table.

import { check, drawn, reads, visit } from "./browser.mjs";

await visit(async (page) => {
  await page.locator("#points-rows tr").nth(3).waitFor();
  const line = await drawn(page);

  await page.getByLabel("Candles").check({ force: true });
  await reads(page, "#points-count", "2 candles");
  const rows = await page.locator("#points-rows tr").evaluateAll((rows) => rows.map((row) => [...row.children].map((cell) => cell.textContent).join()));
  check(rows[1] === "20 Mar 2024 10:30:00,0.1,30,0.1,20.000000000000000001,3", rows.join("; "));
  check(rows[0] === "20 Mar 2024 10:31:00,40,40,40,40,1", rows.join("; "));
  check(await page.getByLabel("1m").isChecked(), "candles have no interval");
  check(line !== (await drawn(page)), "no candles are drawn");

  await page.getByLabel("Points", { exact: true }).check({ force: true });
  await reads(page, "#points-count", "4 points");
});
