// A browser for one visit, and what every visit needs. The Rust side reads the lines that are JSON
// objects: a cue, for which it does something and answers with a line, or what was said at the end.

import { createRequire } from "node:module";
import { mkdirSync } from "node:fs";
import readline from "node:readline";

const require = createRequire(new URL("../../target/page/node_modules/", import.meta.url));
const { chromium } = require("playwright-core");

/** Longest wait for anything on the screen, in milliseconds. */
export const PATIENCE = 20_000;

export const [, , address, pictures] = process.argv;
mkdirSync(pictures, { recursive: true });

const answers = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Tells the test that this visit waits for it, and waits. */
export async function cue(name) {
  console.log(JSON.stringify({ cue: name }));
  await answers.next();
}

/** The path of axe-core's script. */
export const axe = require.resolve("axe-core");

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--enable-precise-memory-info",
];

/**
 * Visits the page. An error in the page, a violation of its policy among them, fails the visit.
 * @param {(page: import("playwright-core").Page, context: import("playwright-core").BrowserContext) => Promise<unknown>} visit
 * @param {import("playwright-core").BrowserContextOptions} [options]
 * @param {string} [url]
 */
export async function visit(visit, options = {}, url = address) {
  const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: FLAGS });
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  const faults = [];
  page.on("pageerror", (error) => faults.push(error.stack ?? String(error)));
  page.on("console", (message) => {
    // Answers other than 200 are logged by the browser; the visits look at what the page makes of them.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) faults.push(message.text());
  });

  let said = null;
  try {
    await page.goto(url);
    said = await visit(page, context);
    if (faults.length > 0) throw new Error(`the page reported: ${faults.join("\n")}`);
  } catch (error) {
    console.error(error);
    await page.screenshot({ path: `${pictures}/failure.png` }).catch(() => {});
    process.exitCode = 1;
  }
  await browser.close();
  answers.return?.();
  process.stdin.destroy();
  if (!process.exitCode) console.log(JSON.stringify({ said: said ?? null }));
}

/** Fails unless the condition holds. */
export function check(condition, message) {
  if (!condition) throw new Error(message);
}

/** Waits until the element's text contains `text`. */
export async function reads(page, selector, text) {
  await page.locator(selector).filter({ hasText: text }).first().waitFor();
}

/** What is drawn in the chart's pane, without the legend above it. */
export function drawn(page) {
  return page.evaluate(() => document.querySelector("#chart canvas").toDataURL());
}
