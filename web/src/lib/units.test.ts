import { describe, expect, it } from "vitest";
import { arranged, DEAD, patchesOf, RARE, stateWords, STILL } from "./units";
import type { Strips, Units } from "./types";

const none: Strips = { k: 0, rows: new Int32Array(0), values: new Float32Array(0), places: new Int16Array(0), boxes: new Int16Array(0) };
const units: Units = {
  units: new Int32Array([0, 1, 2, 10]),
  maximum: new Float32Array([1, 5, 0, 5]),
  mean: new Float32Array(4),
  activeImages: new Float32Array([0.5, 0.001, 0, 1]),
  activePlaces: new Float32Array([0.3, NaN, 0, 0.1]),
  state: new Uint8Array([0, RARE, DEAD | STILL, 0]),
  strongest: {
    k: 2, rows: new Int32Array([3, -1, 7, 9, -1, -1, 0, 1]), values: new Float32Array([1, 0, 5, 4, 0, 0, 5, 2]),
    places: new Int16Array(16).map((_, at) => at), boxes: new Int16Array(32).map((_, at) => at),
  },
  middle: none, directions: none, classes: new Int32Array(0), classMeans: new Float32Array(0), classCounts: new Int32Array(0),
};
const names = ["tabby, tabby cat", "Egyptian cat", "moped", "", "", "", "", "", "", "", "tripod"];
const name = (unit: number) => names[unit] ?? "";

describe("the units of a layer", () => {
  it("are sorted, the lower number first where they are alike", () => {
    expect(arranged(units, "number", "all", "", name)).toEqual([0, 1, 2, 3]);
    expect(arranged(units, "maximum", "all", "", name)).toEqual([1, 3, 0, 2]);
    expect(arranged(units, "active", "all", "", name)).toEqual([3, 0, 1, 2]);
    expect(arranged(units, "sparse", "all", "", name)).toEqual([2, 3, 0, 1]); // no number comes last
    expect(arranged(units, "name", "all", "", name)).toEqual([1, 2, 0, 3]);
  });
  it("are filtered", () => {
    expect(arranged(units, "number", "live", "", name)).toEqual([0, 1, 3]);
    expect(arranged(units, "number", "dead", "", name)).toEqual([2]);
    expect(arranged(units, "number", "rare", "", name)).toEqual([1]);
    expect(arranged(units, "number", "still", "", name)).toEqual([2]);
  });
  it("are found by number or by a part of the name", () => {
    expect(arranged(units, "number", "all", " 10 ", name)).toEqual([3]);
    expect(arranged(units, "number", "all", "CAT", name)).toEqual([0, 1]);
    expect(arranged(units, "number", "all", "3", name)).toEqual([]);
  });
  it("have patches, fewer where there were fewer images", () => {
    expect(patchesOf(units.strongest, 0)).toEqual([{ row: 3, value: 1, place: [0, 1], box: { top: 0, left: 1, bottom: 2, right: 3 } }]);
    expect(patchesOf(units.strongest, 3).map(({ row }) => row)).toEqual([0, 1]);
    expect(patchesOf(units.strongest, 2)).toEqual([]);
    expect(patchesOf(none, 0)).toEqual([]);
  });
  it("have a state in words", () => {
    expect(stateWords(DEAD | STILL)).toBe("dead, no gradient");
    expect(stateWords(0)).toBe("");
  });
});
