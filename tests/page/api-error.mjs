// Faults of a form appear at its fields, and problems in the words of the API.

import { check, reads, visit } from "./browser.mjs";

await visit(async (page) => {
  await page.getByRole("button", { name: "New job" }).first().click();
  await page.getByLabel("Symbols").fill("AAPL");
  await page.getByLabel("Every").fill("100000");
  await page.getByRole("button", { name: "Start polling" }).click();
  await reads(page, "#job-interval-fault", "must be a whole number from 1 to 86400");
  check((await page.getByLabel("Every").getAttribute("aria-invalid")) === "true", "the field is not marked");
  check(await page.evaluate(() => document.activeElement?.id === "job-interval"), "the field has no focus");

  await page.getByLabel("Every").fill("10");
  await page.getByLabel("Provider", { exact: true }).fill("nobody");
  await page.getByRole("button", { name: "Start polling" }).click();
  await reads(page, "#job-form", "nobody");
  await page.getByRole("button", { name: "Cancel" }).first().click();

  await page.getByLabel("Symbol to add").fill("NOPE");
  await page.keyboard.press("Enter");
  await reads(page, "#offer", "replay does not know the symbol NOPE");
});
