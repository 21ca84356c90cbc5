// axe-core in each state and theme, widths from 360 to 2,560 pixels, and the pictures.

import { readFileSync } from "node:fs";
import { address, axe, check, pictures, reads, visit } from "./browser.mjs";

const WIDTHS = [360, 414, 768, 900, 1024, 1280, 1440, 1920, 2560];
const GRAVE = new Set(["serious", "critical"]);

/** Looks for what is wrong with the page as it is now. */
async function examine(page, state) {
  await page.evaluate(readFileSync(axe, "utf8"));
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  const grave = violations.filter(({ impact }) => GRAVE.has(impact));
  const found = grave.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).slice(0, 4).join("\n")}`);
  check(grave.length === 0, `${state}: ${found.join("\n")}`);
  return violations.length;
}

await visit(
  async (page, context) => {
    await reads(page, "#connection-label", "Live");
    await page.locator("#points-rows tr").nth(20).waitFor();
    await reads(page, "#job-rows .job-last", "partial");
    await page.waitForTimeout(1_500);
    await page.screenshot({ path: `${pictures}/desktop-light.png` });
    const lesser = { light: await examine(page, "light") };

    await page.emulateMedia({ colorScheme: "dark" });
    await page.waitForTimeout(300);
    await page.screenshot({ path: `${pictures}/desktop-dark.png` });
    lesser.dark = await examine(page, "dark");

    for (const tab of ["Providers", "Rejected"]) {
      await page.getByRole("tab", { name: tab }).click();
      await page.waitForTimeout(500);
      lesser[tab] = await examine(page, tab);
    }
    await page.getByRole("tab", { name: "Jobs" }).click();
    await page.getByRole("button", { name: /^Runs/ }).first().click();
    await page.locator(".runs li").first().waitFor();
    lesser.runs = await examine(page, "runs");
    await page.getByRole("button", { name: "New job" }).first().click();
    lesser.dialog = await examine(page, "the dialog of a job");
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "API key" }).click();
    lesser.key = await examine(page, "the dialog of the key");
    await page.keyboard.press("Escape");

    for (const width of WIDTHS) {
      await page.setViewportSize({ width, height: width < 700 ? 780 : Math.round(width * 0.62) });
      await page.waitForTimeout(150);
      const wider = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      check(wider <= 0, `at ${width} pixels the page is ${wider} too wide`);
      await page.screenshot({ path: `${pictures}/width-${width}.png` });
    }

    const phone = await context.newPage();
    await phone.setViewportSize({ width: 390, height: 844 });
    await phone.goto(address);
    await phone.locator("#watchlist-rows tr").nth(3).waitFor();
    await phone.waitForTimeout(1_500);
    await phone.screenshot({ path: `${pictures}/phone.png` });
    await phone.locator("#watchlist-rows button.symbol").nth(1).click();
    await phone.locator("#points-rows tr").nth(3).waitFor();
    check(await phone.locator("#chart canvas").first().isVisible(), "no chart on the phone");
    await phone.waitForTimeout(500);
    await phone.screenshot({ path: `${pictures}/phone-chart.png` });
    lesser.phone = await examine(phone, "phone");

    await phone.emulateMedia({ reducedMotion: "reduce" });
    const moving = await phone.evaluate(() => document.getAnimations().filter((animation) => animation.playState === "running").length);
    check(moving === 0, `${moving} animations in spite of reduced motion`);
    return lesser;
  },
  { colorScheme: "light" },
);
