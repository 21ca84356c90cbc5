// An event that can never be a price: why, where it is, and once more to its topic.

import { check, reads, visit } from "./browser.mjs";

await visit(async (page) => {
  await reads(page, "#rejected-count", "1");
  await page.getByRole("tab", { name: "Rejected" }).click();
  const row = page.locator("#rejected-rows tr").first();
  await reads(page, "#rejected-rows", "price-events/");
  check((await row.locator("code").textContent()).includes("ACME"), "its value is not shown");
  const reason = (await row.locator(".bad-text").textContent()).trim();

  await page.getByRole("button", { name: /^Send again/ }).first().click();
  await reads(page, "#notices", "sent to its topic again");
  await reads(page, "#rejected-rows", "Sent again once");
  return { reason };
});
