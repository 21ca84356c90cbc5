// Providers: which are asked, what is left of their budgets, and what others need first.

import { check, reads, visit } from "./browser.mjs";

await visit(async (page) => {
  await page.getByRole("tab", { name: "Providers" }).click();
  await reads(page, "#provider-rows tr:first-child", "replay");
  await reads(page, "#provider-rows tr:first-child", "default");
  await reads(page, "#provider-rows tr:first-child", "closed, requests pass");
  await reads(page, "#provider-rows", "needs FINNHUB_API_KEY");
  check((await page.locator("#provider-rows meter").count()) > 0, "no budget is shown");
});
