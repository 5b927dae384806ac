import { describe, expect, it } from "vitest";
import type { Job } from "../types";
import { ended, progressWords, share } from "./progress";

const job = (more: Partial<Job>): Job => ({
  id: "a", technique: "occlusion", title: "", asked: {}, state: "running", done: 0, total: 0, unit: "", seconds: 0, said: "", problem: "", hint: "", panels: [], ...more,
});

describe("progress", () => {
  it("says count, rate and time left", () => {
    expect(progressWords(job({ done: 50, total: 200, unit: "positions", seconds: 10 }))).toBe("50 of 200 positions · 5.0 a second · 0:30 left");
    expect(progressWords(job({ done: 3, total: 12, unit: "steps", seconds: 6 }))).toBe("3 of 12 steps · 2.0 s each · 0:18 left");
  });

  it("claims no rate before the first", () => {
    expect(progressWords(job({ total: 200, unit: "positions" }))).toBe("0 of 200 positions");
    expect(progressWords(job({ seconds: 4 }))).toBe("running for 0:04");
  });

  it("says how it ended", () => {
    expect(progressWords(job({ state: "waiting" }))).toBe("waits for its turn");
    expect(progressWords(job({ state: "done", seconds: 3.21 }))).toBe("done in 3.2 s");
    expect(progressWords(job({ state: "done", seconds: 0 }))).toBe("");
    expect(progressWords(job({ state: "stopped", done: 5, total: 20, unit: "steps" }))).toBe("stopped after 5 of 20 steps");
    expect(progressWords(job({ state: "stopped" }))).toBe("stopped");
    expect(["done", "failed", "stopped"].every((state) => ended(job({ state: state as Job["state"] })))).toBe(true);
  });

  it("has a share where the total is known", () => {
    expect(share(job({}))).toBeNull();
    expect(share(job({ done: 3, total: 4 }))).toBe(0.75);
  });
});
