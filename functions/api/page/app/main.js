// Wires the page.

import { the } from "../base/dom.js";
import { ChartPanel } from "../chart/panel.js";
import { Jobs } from "../jobs/list.js";
import { Providers } from "../operation/providers.js";
import { RejectedEvents } from "../operation/rejected.js";
import { Adding } from "../prices/adding.js";
import { Connection } from "../prices/connection.js";
import { Feed } from "../prices/feed.js";
import { Market } from "../prices/market.js";
import { Recent } from "../prices/recent.js";
import { Watchlist } from "../prices/watchlist.js";
import { listenForKeys } from "./keys.js";
import { listenForTheme } from "./look.js";
import { tabs } from "./tabs.js";

/** @import { Series } from "../prices/market.js" */

/** Narrower windows show the chart below the list. */
const NARROW = matchMedia("(max-width: 899px)");

listenForTheme();
listenForKeys();

const market = new Market();
const connection = new Connection();
const feed = new Feed(market, connection);
const chart = new ChartPanel(market);
const watchlist = new Watchlist(market, new Recent(market), (series) => choose(series, true));
const adding = new Adding(market, feed, (series) => choose(series, false));

/**
 * @param {Series} series
 * @param {boolean} byHand
 */
function choose(series, byHand) {
  document.documentElement.dataset.filled = "yes";
  watchlist.draw();
  watchlist.mark(series);
  chart.choose(series);
  try {
    sessionStorage.setItem("chosen", series.key);
  } catch {
    // The first one is chosen the next time.
  }
  if (byHand && NARROW.matches) the("chart-panel").scrollIntoView({ block: "start" });
}

market.listen(() => {
  // The first price of a fresh stack, whoever had it read.
  if (document.documentElement.dataset.filled !== "yes" && document.documentElement.dataset.loaded === "yes") start();
});

function start() {
  watchlist.draw();
  document.documentElement.dataset.loaded = "yes";
  performance.mark("first-price");
  if (market.series.size === 0 || chart.series) return;

  document.documentElement.dataset.filled = "yes";
  const last = sessionStorage.getItem("chosen");
  const series = (last === null ? undefined : market.series.get(last)) ?? watchlist.first;
  if (series) choose(series, false);
}

void feed.start(start);

const panels = tabs(the("panels"));
const jobs = new Jobs(() => true);
const providers = new Providers(() => panels.isOpen("panel-providers"));
const rejected = new RejectedEvents(() => true);
panels.onChange(() => {
  jobs.refresh();
  providers.refresh();
  rejected.refresh();
});

addEventListener("keydown", (event) => {
  const typing = event.target instanceof Element && event.target.closest("input, textarea, select, dialog");
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/") {
    event.preventDefault();
    the("filter").focus();
  } else if (event.key === "a") {
    event.preventDefault();
    the("add-symbol").focus();
  }
});
void adding;
