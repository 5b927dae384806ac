import { describe, expect, it } from "vitest";
import { carried, fitted, held, keyed, panned, shownExtent, toPlane, toScreen, zoomed, type Size, type View } from "./plane";

const size: Size = [400, 200];
const extent = { left: -10, right: 10, top: 0, bottom: 5 };

describe("a view of a plane", () => {
  it("shows all of it, in the middle", () => {
    const view = fitted(extent, size, 20);
    expect(view).toEqual({ x: 0, y: 2.5, scale: 18 });
    expect(toScreen(view, size, [0, 2.5])).toEqual([200, 100]);
    expect(Number.isFinite(fitted({ left: 1, right: 1, top: 1, bottom: 1 }, size).scale)).toBe(true);
    expect(fitted(extent, [0, 0], 20).scale).toBeGreaterThan(0);
  });
  it("goes to the screen and back", () => {
    const view: View = { x: 3, y: -1, scale: 7 };
    for (const place of [[0, 0], [400, 200], [13, 77]] as const) {
      const [left, top] = toScreen(view, size, toPlane(view, size, place));
      expect([left, top].map((one) => Math.round(one * 1e6) / 1e6)).toEqual([...place]);
    }
    expect(shownExtent({ x: 0, y: 0, scale: 10 }, size)).toEqual({ left: -20, right: 20, top: -10, bottom: 10 });
  });
  it("zooms about the place that is pointed at, between its limits", () => {
    const view: View = { x: 3, y: -1, scale: 7 };
    const before = toPlane(view, size, [50, 60]);
    const after = zoomed(view, size, [50, 60], 2, [1, 100]);
    expect(after.scale).toBe(14);
    toPlane(after, size, [50, 60]).forEach((one, at) => expect(one).toBeCloseTo(before[at] as number));
    expect(zoomed(view, size, [0, 0], 1e9, [1, 100]).scale).toBe(100);
    expect(zoomed(view, size, [0, 0], 1e-9, [1, 100]).scale).toBe(1);
  });
  it("is dragged, and never lost", () => {
    expect(panned({ x: 0, y: 0, scale: 10 }, [20, -10])).toEqual({ x: -2, y: 1, scale: 10 });
    expect(held({ x: 99, y: -99, scale: 1 }, extent)).toEqual({ x: 10, y: 0, scale: 1 });
  });
  it("follows keys", () => {
    const view: View = { x: 0, y: 0, scale: 10 };
    const whole = fitted(extent, size);
    expect(keyed(view, size, "ArrowRight", whole, [1, 100])?.x).toBe(6);
    expect(keyed(view, size, "ArrowUp", whole, [1, 100])?.y).toBe(-6);
    expect(keyed(view, size, "+", whole, [1, 100])?.scale).toBeCloseTo(14);
    expect(keyed(view, size, "0", whole, [1, 100])).toBe(whole);
    expect(keyed(view, size, "x", whole, [1, 100])).toBeNull();
  });
  it("shows the same part of what has grown", () => {
    const [from, to] = [{ left: 0, right: 2, top: 0, bottom: 1 }, { left: -20, right: 20, top: 10, bottom: 30 }];
    const size = [400, 300] as const;
    const view = { x: 0.5, y: 0.75, scale: 900 };
    const found = carried(view, from, to, size, 20);
    expect(found).toEqual({ x: -10, y: 25, scale: 45 });
    expect(toScreen(found, size, [-20, 30])).toEqual(toScreen(view, size, [0, 1]));
    expect(carried(view, from, from, size, 20)).toEqual(view);
  });
});
