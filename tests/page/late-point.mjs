// A price that arrives late: it takes its place, and the averages after it follow.

import { check, cue, drawn, visit } from "./browser.mjs";

const averages = (page) => page.locator("#points-rows tr td:nth-child(3)").allTextContents();

/** What is drawn when all points are in sight. */
async function everything(page) {
  await page.getByRole("button", { name: "All", exact: true }).click();
  await page.waitForTimeout(500);
  return drawn(page);
}

await visit(async (page) => {
  await page.locator("#points-rows tr").nth(3).waitFor();
  check(String(await averages(page)) === "25,20,15,10", `before: ${await averages(page)}`);
  const before = await drawn(page);

  await cue("late point");
  await page.locator("#points-rows tr").nth(4).waitFor();
  await page.waitForFunction(() => document.querySelector("#points-rows tr td:nth-child(3)").textContent === "40");

  const now = await averages(page);
  check(now[0] === "40" && now[1] === "40" && now[4] === "10", `after: ${now}`);
  check((await page.locator("#legend .average b").textContent()) === "40", "the legend has the old average");
  await page.waitForTimeout(200);
  check(before !== (await drawn(page)), "the average was not drawn again");

  // What is drawn is what a new visitor sees.
  const all = await everything(page);
  await page.reload();
  await page.locator("#points-rows tr").nth(4).waitFor();
  check(all === (await everything(page)), "the chart differs from one that is drawn anew");
});
