import { describe, expect, it } from "vitest";
import { LONGEST, read, written } from "./picked";

describe("images that were chosen, in the address", () => {
  it("are read as they were written", () => {
    for (const rows of [[], [0], [0, 1, 2, 31, 32, 33, 64, 65], [49_999], [4, 5, 6, 9, 10, 11, 12, 40], Array.from({ length: 50_000 }, (_, at) => at), [1023, 1024, 1056, 40_000], Array.from({ length: 3000 }, (_, at) => 7 * at)]) {
      const text = written(rows);
      expect(read(text, 50_000)).toEqual(rows);
      expect(text).toMatch(/^[\w.-]*$/);
      expect(new URLSearchParams({ text }).toString()).toBe(`text=${text}`);
    }
  });
  it("take about a letter each", () => expect(written(Array.from({ length: 1000 }, (_, at) => 20 * at)).length).toBe(1000));
  it("take a few letters where they follow each other, as the images of one folder do", () => {
    expect(written(Array.from({ length: 20_000 }, (_, at) => 300 + at))).toMatch(/^..\..{3}$/);
    expect([read("0.2", 9), read("1.3.1", 9), read("1.3", 4)]).toEqual([[0, 1, 2], [1, 2, 3, 4, 5], [1, 2, 3]]);
  });
  it("fit into an address by the ten thousand", () => {
    const scattered = Array.from({ length: 40_000 }, (_, at) => 25 * at + ((at * 7919) % 25));
    expect(written(scattered).length).toBeLessThan(LONGEST);
    expect(read(written(scattered), 1_000_000)).toEqual(scattered);
  });
  it("are none where the text is no list, and no more than there are", () => {
    expect([read("a b", 9), read(undefined, 9), read("%", 9)]).toEqual([[], [], []]);
    expect(read(written([0, 5, 9]), 9)).toEqual([0, 5]);
    expect([read("-".repeat(5000), 9), read(`${"W".repeat(5000)}0`, 9), read(`0.${"-".repeat(400)}1`, 9)]).toEqual([[], [], [0, 1, 2, 3, 4, 5, 6, 7, 8]]);
  });
});
