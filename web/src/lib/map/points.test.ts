import { describe, expect, it } from "vitest";
import { between, encloses, extentOf, Points, turned } from "./points";

// A small generator, so that a failure can be repeated.
function numbers(count: number, seed = 1): Float32Array {
  let state = seed;
  return Float32Array.from({ length: count }, () => {
    state = (state * 16807) % 2147483647;
    return state / 2147483647;
  });
}

describe("the points of a map", () => {
  const xy = numbers(4000);
  const points = new Points(xy);
  const all = Array.from({ length: 2000 }, (_, row) => row);

  it("are found where they are", () => {
    const extent = { left: 0.2, right: 0.45, top: 0.1, bottom: 0.8 };
    const plain = all.filter((row) => {
      const [x, y] = points.at(row);
      return x >= extent.left && x <= extent.right && y >= extent.top && y <= extent.bottom;
    });
    expect(points.within(extent)).toEqual(plain);
    expect(points.within(extent, plain.length)).toEqual(plain);
    expect(points.within(extent, plain.length - 1)).toBeUndefined();
    expect(points.within({ left: 5, right: 6, top: 5, bottom: 6 })).toEqual([]);
    expect(points.within({ left: -9, right: 9, top: -9, bottom: 9 })).toEqual(all);
  });

  it("are nearest to a place", () => {
    const places = numbers(100, 7);
    for (let at = 0; at < 100; at += 2) {
      const place = [places[at] as number, places[at + 1] as number] as const;
      const away = all.map((row) => Math.hypot(points.at(row)[0] - place[0], points.at(row)[1] - place[1]));
      const least = Math.min(...away);
      expect(points.nearest(place, 0.5)).toBe(away.indexOf(least));
      expect(points.nearest(place, least / 2)).toBe(-1);
    }
  });

  it("are inside a line, also one that is not convex", () => {
    const line = [[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.5, 0.3], [0.1, 0.9]] as const;
    const found = points.inside(line);
    expect(found).toEqual(all.filter((row) => encloses(line, points.at(row))));
    expect(found.length).toBeGreaterThan(400);
    expect(encloses(line, [0.5, 0.2])).toBe(true);
    expect(encloses(line, [0.5, 0.6])).toBe(false);
    expect(points.inside(line.slice(0, 2))).toEqual([]);
  });

  it("may all be one, or none", () => {
    const one = new Points(new Float32Array([3, 4, 3, 4, 3, 4]));
    expect(one.within({ left: 3, right: 3, top: 4, bottom: 4 })).toEqual([0, 1, 2]);
    expect(one.nearest([3, 4], 1)).toBe(0);
    const none = new Points(new Float32Array());
    expect([none.nearest([0, 0], 1), none.within(none.extent)]).toEqual([-1, []]);
  });

  it("have an extent, and are turned for the screen", () => {
    expect(extentOf(new Float32Array([1, 2, -3, 4]))).toEqual({ left: -3, right: 1, top: 2, bottom: 4 });
    expect([...turned(new Float32Array([1, 2, -3, 4]))]).toEqual([1, -2, -3, -4]);
  });

  it("go from one place to the next", () => {
    const [from, to] = [new Float32Array([0, 4, 1, 1]), new Float32Array([8, 0, 1, -1])];
    expect([0, 0.25, 1].map((share) => [...between(from, to, share)])).toEqual([[...from], [2, 3, 1, 0.5], [...to]]);
  });
});
