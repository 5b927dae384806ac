// Whether there is a live network behind the page, and why not; it opens while one already looks.

import { paths } from "./api";
import { source, UNREACHABLE } from "./source";
import type { Live } from "./types";

class LiveNet {
  now = $state.raw<Live>({ state: "opening", reason: "", hint: "", device: "" });

  #watching = false;
  on = $derived(this.now.state === "on");

  // Until it is known whether there is one; again whenever the server was not to be reached.
  async watch(): Promise<void> {
    if (this.#watching) return;
    this.#watching = true;
    for (let wait = 300; ; wait = Math.min(wait * 1.3, 3000)) {
      let answered = true;
      try {
        this.now = await source.json<Live>(paths.live);
      } catch {
        answered = false;
        this.now = { state: "off", reason: "The server does not answer.", hint: "Is `convscope serve` still running?", device: "" };
      }
      if (answered && this.now.state !== "opening") break;
      await new Promise((done) => setTimeout(done, wait));
    }
    this.#watching = false;
  }

  listen(): void {
    addEventListener(UNREACHABLE, () => void this.watch());
    void this.watch();
  }
}

export const live = new LiveNet();
