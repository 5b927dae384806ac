// A map while it forms itself: what its job shows now and then, and the way from one to the next.

import { showing } from "./layout.svelte";
import { between, Points, turned } from "./points";

const EVERY = 700; // ms between two looks
const MOVED = 4000; // points up to which the way is drawn; more of them take longer than a frame

export class Forming {
  points = $state.raw<Points>();
  #frame = 0;

  // Looks again and again while the job runs, and once where it has ended; what is given ends it.
  follow(id: string, running: boolean): () => void {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let wanted = true;
    const look = async () => {
      const found = await showing(id).catch(() => undefined);
      if (!wanted) return;
      if (found) this.#go(turned(found));
      if (running) timer = setTimeout(look, EVERY);
    };
    timer = setTimeout(look, running ? EVERY : 0);
    return () => {
      wanted = false;
      clearTimeout(timer);
    };
  }

  clear(): void {
    cancelAnimationFrame(this.#frame);
    this.points = undefined;
  }

  #go(to: Float32Array): void {
    cancelAnimationFrame(this.#frame);
    const from = this.points?.xy;
    const still = from?.length !== to.length || to.length > 2 * MOVED || matchMedia("(prefers-reduced-motion: reduce)").matches;
    const begun = performance.now();
    const step = () => {
      const share = still ? 1 : Math.min((performance.now() - begun) / EVERY, 1);
      this.points = new Points(share < 1 && from ? between(from, to, share) : to);
      if (share < 1) this.#frame = requestAnimationFrame(step);
    };
    step();
  }
}
