import { describe, expect, it } from "vitest";
import { boostAt, boostOf, limitsOfUnit, measure, ordered, peakOf, sliderAt, summary, valueAt } from "./maps";

// three maps of 2 × 2: one with a peak, one that is 0 everywhere, one that is even
const maps = measure(Float32Array.of(0, 1, 3, 0, 0, 0, 0, 0, 2, 2, 2, 2), [3, 2, 2]);

describe("measure", () => {
  it("finds ends, peaks, zeros and silent units", () => {
    expect([maps.low, maps.high, maps.signed]).toEqual([0, 3, false]);
    expect([...maps.highs]).toEqual([3, 0, 2]);
    expect(peakOf(maps, 0)).toEqual([1, 0]);
    expect(maps.zeros).toBeCloseTo(6 / 12);
    expect([maps.silent, ...maps.empty]).toEqual([1, 0, 1, 0]);
  });

  it("reads single values", () => {
    expect(valueAt(maps, 0, [1, 0])).toBe(3);
    expect(valueAt(maps, 2, [1, 1])).toBe(2);
  });

  it("is signed where anything is below 0, and a unit below 0 is silent though not empty", () => {
    const signed = measure(Float32Array.of(-1, -2, 4, 0), [2, 1, 2]);
    expect([signed.signed, signed.low, signed.high, signed.silent, signed.empty[0]]).toEqual([true, -2, 4, 1, 0]);
  });

  it("leaves out what is not finite", () => {
    const odd = measure(Float32Array.of(NaN, Infinity, 1, NaN, NaN, NaN), [3, 1, 2]);
    expect([odd.high, odd.low]).toEqual([1, 0]);
    expect(Number.isNaN(odd.highs[2])).toBe(true);
    expect([...ordered(3, "strength", odd)]).toEqual([1, 0, 2]);
  });

  it("takes vectors", () => {
    const vector = measure(Float32Array.of(1, -1, 2), [3]);
    expect([vector.rows, vector.columns, vector.units]).toEqual([1, 1, 3]);
  });
});

describe("limits of a unit", () => {
  it("are shared, or its own, divided by the boost", () => {
    expect(limitsOfUnit(maps, 2, "shared", 1)).toEqual({ low: 0, high: 3 });
    expect(limitsOfUnit(maps, 2, "map", 2)).toEqual({ low: 0, high: 1 });
    expect(limitsOfUnit(maps, 1, "map", 1)).toEqual({ low: 0, high: 1 });
  });
});

describe("order", () => {
  it("is by number or by strength, equal ones by number", () => {
    expect([...ordered(3, "number", maps)]).toEqual([0, 1, 2]);
    expect([...ordered(3, "strength", maps)]).toEqual([0, 2, 1]);
    const even = measure(Float32Array.of(1, 1, 1), [3]);
    expect([...ordered(3, "strength", even)]).toEqual([0, 1, 2]);
  });
});

describe("summary", () => {
  const name = (unit: number) => `unit ${unit}`;

  it("says maximum, zeros and silent units", () => {
    expect(summary(maps, true, name)).toBe(
      "Greatest value 3.00, of unit 0; 50.0\u00a0% of the values are exactly 0; 1 of 3 units is silent on this image (a line through the map).",
    );
  });

  it("speaks otherwise of layers without a rectifier", () => {
    const signed = measure(Float32Array.of(-1, -2, 4, 0), [2, 1, 2]);
    expect(summary(signed, false, name)).toBe(
      "Greatest value 4.00, of unit 1; least −2.00; 25.0\u00a0% of the values are exactly 0; 1 of 2 units is nowhere above 0.",
    );
  });

  it("claims nothing of what is no number", () => {
    expect(summary(measure(Float32Array.of(NaN), [1]), true, name)).toBe("No value is a number.");
  });
});

describe("boost", () => {
  it("is logarithmic on its slider and comes back", () => {
    expect([boostAt(0), boostAt(50), boostAt(100)]).toEqual([1, 10, 100]);
    for (const boost of [1, 1.6, 2.5, 10, 63, 100]) expect(boostAt(sliderAt(boost))).toBe(boost);
  });

  it("is 1 where the address says nothing sensible", () => {
    expect([boostOf(undefined), boostOf("x"), boostOf("-3"), boostOf("0.1"), boostOf("1e9")]).toEqual([1, 1, 1, 1, 100]);
  });
});
