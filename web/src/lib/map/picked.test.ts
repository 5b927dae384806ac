import { describe, expect, it } from "vitest";
import { read, written } from "./picked";

describe("images that were chosen, in the address", () => {
  it("are read as they were written", () => {
    for (const rows of [[], [0], [0, 1, 2, 31, 32, 33, 64, 65], [49_999], [1023, 1024, 1056, 40_000], Array.from({ length: 3000 }, (_, at) => 7 * at)]) {
      const text = written(rows);
      expect(read(text, 50_000)).toEqual(rows);
      expect(text).toMatch(/^[\w-]*$/);
    }
  });
  it("take about a letter each", () => expect(written(Array.from({ length: 1000 }, (_, at) => 20 * at)).length).toBe(1000));
  it("are none where the text is no list, and no more than there are", () => {
    expect([read("a b", 9), read(undefined, 9), read("%", 9)]).toEqual([[], [], []]);
    expect(read(written([0, 5, 9]), 9)).toEqual([0, 5]);
    expect(read("-".repeat(5000), 9)).toEqual([]);
  });
});
