// The way to the pipeline breaks, and is mended: everything that came meanwhile is there.

import net from "node:net";
import { address, check, cue, reads, visit } from "./browser.mjs";

/** Forwards connections to the stack, as long as it is open. */
class Way {
  sockets = new Set();
  port = 0;

  async open() {
    const { hostname, port } = new URL(address);
    this.server = net.createServer((near) => {
      const far = net.connect(Number(port), hostname);
      for (const [socket, other] of [[near, far], [far, near]]) {
        this.sockets.add(socket);
        socket.on("error", () => other.destroy());
        socket.on("close", () => {
          this.sockets.delete(socket);
          other.destroy();
        });
        socket.pipe(other);
      }
    });
    await new Promise((resolve) => this.server.listen(this.port, "127.0.0.1", resolve));
    this.port = this.server.address().port;
  }

  close() {
    this.server.close();
    for (const socket of this.sockets) socket.destroy();
  }
}

const way = new Way();
await way.open();

await visit(
  async (page) => {
    await reads(page, "#connection-label", "Live");
    await reads(page, "#watchlist-rows .price .digits", "1");

    way.close();
    await reads(page, "#connection-label", "Not connected");
    check(await page.locator("#banner").isVisible(), "no banner says so");
    check(await page.locator("#watchlist-rows tr").first().isVisible(), "the last prices are gone");
    await cue("disconnected");

    await way.open();
    await reads(page, "#connection-label", "Live");
    await reads(page, "#watchlist-rows .price .digits", "2.5");
    await page.locator("#points-rows tr").nth(1).waitFor();
    check(!(await page.locator("#banner").isVisible()), "the banner stays");
  },
  {},
  `http://127.0.0.1:${way.port}`,
);
way.close();
