// An API that wants a key: the page asks for it, says what is wrong with one, and goes on with a
// right one. It is gone with the tab.

import { check, reads, visit } from "./browser.mjs";

const key = process.argv[4];

await visit(async (page, context) => {
  const dialog = page.locator("#key-dialog");
  await dialog.waitFor();
  await reads(page, "#key-error", "this needs an API key");
  await reads(page, "#connection-label", "Key needed");

  await page.getByLabel("Key", { exact: true }).fill(`${key.slice(0, -3)}abc`);
  await page.getByRole("button", { name: "Use this key" }).click();
  await reads(page, "#key-error", "not valid");

  await page.getByLabel("Key", { exact: true }).fill(key);
  await page.getByRole("button", { name: "Use this key" }).click();
  await dialog.waitFor({ state: "hidden" });
  await reads(page, "#connection-label", "Live");
  await reads(page, "#watchlist-rows", "ACME");
  check(!(await page.locator("#banner").isVisible()), "the banner stays");

  const stored = await page.evaluate(() => [JSON.stringify(localStorage), document.cookie].join());
  check(!stored.includes(key), "the key outlives the tab");
  const other = await context.newPage();
  await other.goto(page.url());
  await other.locator("#key-dialog").waitFor();

  // A key that may only read.
  await page.getByRole("button", { name: "New job" }).first().click();
  await page.getByLabel("Symbols", { exact: true }).fill("AAPL");
  await page.getByRole("button", { name: "Start polling" }).click();
  await reads(page, "#job-error", "scope");
});
