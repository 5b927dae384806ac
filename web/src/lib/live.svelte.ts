// Whether there is a live network behind the page, and why not; it opens while one already looks.

import { paths } from "./api";
import { source } from "./source";
import type { Live } from "./types";

class LiveNet {
  now = $state.raw<Live>({ state: "opening", reason: "", hint: "", device: "" });

  on = $derived(this.now.state === "on");

  async watch(): Promise<void> {
    for (let wait = 300; ; wait = Math.min(wait * 1.3, 3000)) {
      try {
        this.now = await source.json<Live>(paths.live);
      } catch {
        this.now = { state: "off", reason: "The server does not answer.", hint: "Is `convscope serve` still running?", device: "" };
      }
      if (this.now.state !== "opening") return;
      await new Promise((done) => setTimeout(done, wait));
    }
  }
}

export const live = new LiveNet();
