import { describe, expect, it } from "vitest";
import { blocksOf, cellAt, cellFrame, gridOf, heightOf, labelAt, moved, shownRows, step, tileFrame, widthOf } from "./grid";
import type { Place } from "./maps";

const numbers = (count: number) => Int32Array.from({ length: count }, (_, unit) => unit);

describe("grid", () => {
  it("fits the room for any number of maps", () => {
    for (const room of [330, 720, 824]) {
      for (const [count, side] of [[1, 7], [3, 112], [64, 55], [96, 112], [256, 14], [1280, 7], [2048, 7], [1000, 1], [37, 1], [1, 1]] as const) {
        const grid = gridOf(count, side, side, room);
        expect(widthOf(grid)).toBeLessThanOrEqual(room);
        expect(grid.across * grid.down).toBeGreaterThanOrEqual(count);
        expect(grid.across * (grid.down - 1)).toBeLessThan(count);
      }
    }
  });

  it("keeps the shape of the maps", () => {
    const grid = gridOf(20, 10, 20, 800);
    expect(grid.height / grid.width).toBeCloseTo(0.5, 1);
  });

  it("folds a vector without rest where it can", () => {
    expect(gridOf(1000, 1, 1, 824).across * gridOf(1000, 1, 1, 824).down).toBe(1000);
    expect(gridOf(1280, 1, 1, 330).across).toBeLessThanOrEqual(33);
  });
});

describe("blocks", () => {
  it("hold every row once", () => {
    const grid = gridOf(1280, 7, 7, 824);
    const blocks = blocksOf(grid);
    expect(blocks.reduce((sum, { rows }) => sum + rows, 0)).toBe(grid.down);
    expect(blocks.map(({ first }) => first)).toEqual(blocks.map((_, at) => at * grid.blockRows));
    expect(blocks.reduce((sum, { rows }) => sum + heightOf(grid, rows), 0)).toBe(heightOf(grid));
  });

  it("are the first of many rows, unless all are wanted or the chosen one lies beyond", () => {
    const grid = gridOf(1280, 7, 7, 824);
    const few = shownRows(grid, false, 0);
    expect(few).toBeLessThan(grid.down);
    expect(shownRows(grid, true, 0)).toBe(grid.down);
    expect(shownRows(grid, false, 1200)).toBe(grid.down);
    expect(blocksOf(grid, few).reduce((sum, { rows }) => sum + rows, 0)).toBe(few);
  });

  it("are all where little would be hidden", () => {
    const grid = gridOf(96, 14, 14, 824);
    expect(shownRows(grid, false, 0)).toBe(grid.down);
  });
});

describe("places", () => {
  const grid = gridOf(40, 4, 4, 824);
  const units = numbers(40).reverse();
  const size: Place = [4, 4];

  it("come back from the middle of their frames", () => {
    for (const [position, place] of [[0, [0, 0]], [5, [3, 1]], [39, [2, 3]]] as [number, Place][]) {
      const frame = cellFrame(grid, position, size, place);
      const found = cellAt(grid, units, size, frame.left + frame.width / 2, frame.top + frame.height / 2);
      expect(found).toEqual({ unit: 39 - position, place });
    }
  });

  it("are nothing between the tiles and outside", () => {
    expect(cellAt(grid, units, size, grid.width + 1, 5)).toBeNull();
    expect(cellAt(grid, units, size, 5, grid.height + 2)).toBeNull();
    expect(cellAt(grid, units, size, -1, 5)).toBeNull();
    expect(cellAt(grid, units, size, 5, heightOf(grid) + 5)).toBeNull();
  });

  it("have their number below", () => {
    const { left, top, height } = tileFrame(grid, 3);
    expect(labelAt(grid, units, left + 4, top + height + 5)).toBe(36);
    expect(labelAt(grid, units, left + 4, top + 5)).toBeNull();
    expect(step(grid)[0]).toBe(grid.height + grid.label + grid.gap);
  });

  it("move inside a map, over its edge into the next, and stop at the end", () => {
    expect(moved(grid, units, size, { unit: 39, place: [1, 1] }, "ArrowRight")).toEqual({ unit: 39, place: [1, 2] });
    expect(moved(grid, units, size, { unit: 39, place: [1, 3] }, "ArrowRight")).toEqual({ unit: 38, place: [1, 0] });
    expect(moved(grid, units, size, { unit: 39, place: [3, 2] }, "ArrowDown")).toEqual({ unit: 39 - grid.across, place: [0, 2] });
    expect(moved(grid, units, size, { unit: 39, place: [0, 0] }, "ArrowUp")).toEqual({ unit: 39, place: [0, 0] });
    expect(moved(grid, units, size, { unit: 39, place: [0, 0] }, "ArrowLeft")).toEqual({ unit: 39, place: [0, 0] });
  });
});
