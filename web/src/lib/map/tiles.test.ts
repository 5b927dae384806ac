import { describe, expect, it } from "vitest";
import { across, cellAt, coarser, extentOfGrid, frameOf, levelOf, tall, tilesOf, type GridPage } from "./tiles";

const grid: GridPage = { layer: "", way: "", rows: 300, columns: 280, images: 1, of: 1, cell: [205, 256], levels: [1, 2, 4, 8, 16, 32, 64, 128, 256], tile: 256, cost: null, preservation: null };

describe("the tiles of a grid", () => {
  it("hold fewer cells as these grow", () => {
    expect(grid.levels.map((_, level) => across(grid, level))).toEqual([256, 128, 64, 32, 16, 8, 4, 2, 1]);
    expect(across({ ...grid, levels: [512] }, 0)).toBe(1);
  });
  it("are as fine as the screen", () => {
    const at = (scale: number, sharp = 1) => levelOf(grid, { x: 0, y: 0, scale }, sharp);
    expect([at(0.5), at(1), at(2.1), at(3), at(40), at(40, 2), at(9999)]).toEqual([0, 0, 1, 2, 6, 7, 8]);
  });
  it("are those in sight, the middle ones first, and none beyond the grid", () => {
    const view = { x: 140, y: 100, scale: 16 };
    const tiles = tilesOf(grid, 4, view, [640, 480]);
    expect(tiles[0]).toEqual({ level: 4, column: 8, row: 7 });
    for (const tile of tiles) {
      const { left, right, top, bottom } = frameOf(grid, tile);
      expect(right >= 120 && left <= 160 && bottom >= 85 && top <= 115).toBe(true);
    }
    const all = tilesOf(grid, 0, { x: 140, y: 100, scale: 0.1 }, [640, 480]);
    expect(all.map(({ column, row }) => `${column} ${row}`).sort()).toEqual(["0 0", "0 1", "1 0", "1 1"]);
  });
  it("end where the grid does", () => {
    expect(frameOf(grid, { level: 0, column: 1, row: 1 })).toEqual({ left: 256, right: 280, top: 256 * tall(grid), bottom: 300 * tall(grid) });
    expect(extentOfGrid(grid)).toEqual({ left: 0, top: 0, right: 280, bottom: 300 * tall(grid) });
  });
  it("lie within coarser ones", () => {
    const tile = { level: 6, column: 69, row: 3 };
    const found = coarser(grid, tile);
    expect(found.map(({ level }) => level)).toEqual([5, 4, 3, 2, 1, 0]);
    for (const other of found) {
      const [inner, outer] = [frameOf(grid, tile), frameOf(grid, other)];
      expect(outer.left <= inner.left && outer.right >= inner.right && outer.top <= inner.top && outer.bottom >= inner.bottom).toBe(true);
    }
  });
  it("are of cells", () => {
    expect(cellAt(grid, 3.5, 2 * tall(grid) + 0.01)).toEqual([2, 3]);
    expect([cellAt(grid, -0.1, 0), cellAt(grid, 280, 0), cellAt(grid, 0, 300 * tall(grid))]).toEqual([null, null, null]);
  });
});
