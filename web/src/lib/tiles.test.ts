import { describe, expect, it } from "vitest";
import { holdsAll, surroundings } from "./tiles";

describe("the part of a picture around a box", () => {
  it("is a square with context, moved inside", () => {
    expect(surroundings({ top: 100, left: 100, bottom: 160, right: 160 }, 224, 224)).toEqual({ top: 90, left: 90, rows: 81, columns: 81 });
    expect(surroundings({ top: 0, left: 200, bottom: 60, right: 224 }, 224, 224)).toEqual({ top: 0, left: 143, rows: 81, columns: 81 });
  });
  it("is at least 48 px", () => expect(surroundings({ top: 10, left: 10, bottom: 13, right: 13 }, 224, 224)).toMatchObject({ rows: 48, columns: 48 }));
  it("is never more than the picture", () => expect(surroundings({ top: 0, left: 0, bottom: 32, right: 40 }, 32, 40)).toEqual({ top: 0, left: 0, rows: 32, columns: 40 }));
  it("knows a box that holds everything", () => {
    expect(holdsAll({ top: 0, left: 0, bottom: 32, right: 40 }, 32, 40)).toBe(true);
    expect(holdsAll({ top: 0, left: 1, bottom: 32, right: 40 }, 32, 40)).toBe(false);
  });
});
