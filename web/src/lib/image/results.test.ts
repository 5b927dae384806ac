import { describe, expect, it } from "vitest";
import type { Job, Panel } from "../types";
import { idsOf, pictureOf, rowsOf, sharedScales, withId, withoutIds } from "./results";

const panel = (low: number, high: number, more: Partial<Panel> = {}): Panel => ({
  kind: "heat map", title: "", caption: "", width: 1, height: 1, picture: "a.png", numbers: "a.json", scale: { quantity: "probability", low, high, signed: false }, ...more,
});
const job = (...panels: Panel[]): Job => ({
  id: "a", technique: "occlusion", title: "", asked: {}, state: "done", done: 0, total: 0, unit: "", seconds: 0, said: "", problem: "", hint: "", panels,
});

describe("a shared scale", () => {
  it("goes from the least low to the greatest high", () => {
    expect(sharedScales([job(panel(0, 0.5)), job(panel(0.2, 0.9))])).toEqual([[{ low: 0, high: 0.9 }, { low: 0, high: 0.9 }]]);
  });

  it("is none for one result, another quantity, kind or sign, or no scale", () => {
    const signed = panel(0, 1, { scale: { quantity: "probability", low: -1, high: 1, signed: true } });
    expect(sharedScales([job(panel(0, 1))])).toEqual([[null]]);
    expect(sharedScales([])).toEqual([]);
    expect(sharedScales([job(panel(0, 1)), job(signed)])).toEqual([[null, null]]);
    expect(sharedScales([job(panel(0, 1)), job(panel(0, 1, { kind: "tiles" }))])).toEqual([[null, null]]);
    expect(sharedScales([job(panel(0, 1)), job(panel(0, 1, { scale: null }))])).toEqual([[null, null]]);
  });

  it("leaves out results that have no such panel yet", () => {
    expect(sharedScales([job(panel(0, 1), panel(0, 2)), job(panel(0, 3)), job(panel(0, 1), panel(0, 5))])).toEqual([
      [{ low: 0, high: 3 }, { low: 0, high: 3 }, { low: 0, high: 3 }],
      [{ low: 0, high: 5 }, null, { low: 0, high: 5 }],
    ]);
  });

  it("is not lost by one result that has none", () => {
    const own = panel(0, 1, { scale: null });
    expect(sharedScales([job(own), job(panel(0, 1)), job(panel(0, 4))])).toEqual([[null, { low: 0, high: 4 }, { low: 0, high: 4 }]]);
  });
});

describe("rows of results", () => {
  it("are as long as the room allows, and hold all", () => {
    expect(rowsOf([1, 2, 3, 4], 1216)).toEqual([[1, 2, 3], [4]]);
    expect(rowsOf([1, 2], 358)).toEqual([[1], [2]]);
    expect(rowsOf([1], 0)).toEqual([[1]]);
    expect(rowsOf([], 900)).toEqual([]);
  });
});

it("pictures say paper and scale", () => {
  expect(pictureOf(panel(0, 1), false, null)).toBe("a.png");
  expect(pictureOf(panel(0, 1), true, { low: 0, high: 0.5 })).toBe("a.png?dark=1&low=0&high=0.5");
  expect(pictureOf(panel(0, 1, { picture: "a.png?preview=3" }), true, null)).toBe("a.png?preview=3&dark=1");
});

it("ids stand newest first, each once", () => {
  expect(idsOf(undefined)).toEqual([]);
  expect(idsOf("b,a,b,,<x>")).toEqual(["b", "a"]);
  expect(withId(["b", "a"], "a")).toBe("a,b");
  expect(withoutIds(["c", "b", "a"], ["b"])).toBe("c,a");
});
