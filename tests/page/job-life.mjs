// The life of a job, by what the screen offers.

import { check, reads, visit } from "./browser.mjs";

await visit(async (page) => {
  const jobs = page.locator("#job-rows tr[data-job]");
  const button = (name) => page.locator("#job-rows").getByRole("button", { name });

  await page.getByRole("button", { name: "New job" }).first().click();
  await page.getByLabel("Symbols").fill("AAPL, NOPE");
  await page.getByLabel("Every").fill("1");
  await page.getByRole("button", { name: "Start polling" }).click();
  await jobs.first().waitFor();
  await reads(page, "#job-rows", "AAPL, NOPE");

  // It moves.
  await reads(page, "#watchlist-rows", "AAPL");
  await page.locator("#points-rows tr").nth(2).waitFor();

  // Why does a symbol fail?
  await reads(page, "#job-rows .job-last", "partial");
  await button("Runs").click();
  const failed = page.locator(".outcomes .failed").first();
  await failed.waitFor();
  const reason = (await failed.locator(".reason").textContent()).replace(/^: /, "");
  check((await failed.textContent()).includes("NOPE"), "the failed symbol is not named");

  await button("Run now").click();
  await reads(page, ".runs", "asked for");

  await button("Change").click();
  await page.getByLabel("Symbols").fill("AAPL");
  await page.getByLabel("Every").fill("5");
  await page.getByLabel("Unit").selectOption("60");
  await page.getByRole("button", { name: "Save" }).click();
  await reads(page, "#job-rows", "5 min");

  await button("Pause").click();
  await reads(page, "#job-rows .job-state", "paused");
  await button("Resume").click();
  await reads(page, "#job-rows .job-state", "active");

  await button("Delete").click();
  await page.getByRole("button", { name: "Delete job" }).click();
  await jobs.first().waitFor({ state: "detached" });
  await reads(page, "#jobs-state", "Nothing is polled yet");
  return { reason };
});
