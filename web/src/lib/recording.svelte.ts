// What the present view is made of: it is asked for once more, drawn whole, and counted.

import { tick } from "svelte";
import { Problem } from "./problem";

const PATIENCE = 30_000; // ms

class Recording {
  round = $state(0); // whoever asks for something reads it, and so asks again when it changes
  whole = $state(false); // everything is drawn, not only what is in sight
  pending = 0; // answers and pictures that are waited for
  readonly #paths = new Set<string>();

  note(path: string): void {
    void this.round;
    if (this.whole) this.#paths.add(path);
  }

  async wait<T>(work: Promise<T>): Promise<T> {
    this.pending += 1;
    try {
      return await work;
    } finally {
      this.pending -= 1;
    }
  }

  // Shows the whole view, waits until nothing is pending, and does something with it and with the paths it is made of.
  async of<T>(use: (paths: string[]) => Promise<T>): Promise<T> {
    this.#paths.clear();
    this.whole = true;
    this.round += 1;
    try {
      await this.#settled();
      return await use([...this.#paths]);
    } finally {
      this.whole = false;
    }
  }

  async #settled(): Promise<void> {
    const end = performance.now() + PATIENCE;
    for (let quiet = 0; quiet < 4; quiet = this.pending ? 0 : quiet + 1) {
      if (performance.now() > end) throw new Problem("This view was not ready in time.", "Wait until everything is drawn, and save it again.");
      await tick();
      await new Promise((done) => setTimeout(done, 50));
    }
  }
}

export const recording = new Recording();
