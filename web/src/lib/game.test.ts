import { describe, expect, it } from "vitest";
import { random, round } from "./game";

describe("the blind test", () => {
  it("has one unit and two different directions in every round", () => {
    for (let seed = 1; seed <= 200; seed++) {
      const { rows, unit } = round(seed, [4, 5, 6], 16);
      expect(rows).toHaveLength(3);
      expect(rows.filter((row) => row === -1)).toHaveLength(1);
      expect(new Set(rows).size).toBe(3);
      expect(Math.max(...rows)).toBeLessThan(16);
      expect([4, 5, 6]).toContain(unit);
    }
  });
  it("is the same for the same number", () => expect(round(7, [1, 2, 3], 16)).toEqual(round(7, [1, 2, 3], 16)));
  it("puts the unit into every row equally often", () => {
    const counts = [0, 0, 0];
    for (let seed = 1; seed <= 3000; seed++) counts[round(seed, [0], 16).rows.indexOf(-1)]! += 1;
    for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(120);
  });
  it("draws evenly", () => {
    const next = random(3);
    const mean = Array.from({ length: 10_000 }, next).reduce((sum, value) => sum + value, 0) / 10_000;
    expect(mean).toBeCloseTo(0.5, 1);
  });
});
