// The tiles of a picture grid: which are in sight at which level, and what stands in for one that is not here yet.
// The plane's unit is the width of a cell.

import { shownExtent, type Extent, type Size, type View } from "./plane";

export interface GridPage {
  layer: string;
  way: string;
  rows: number;
  columns: number;
  images: number; // that have a cell
  of: number;
  cell: [height: number, width: number]; // px at the largest level
  levels: number[]; // px of a cell's longer side
  tile: number; // px of a tile
  cost: number | null;
  preservation: number | null;
}

export interface Tile {
  level: number;
  column: number;
  row: number;
}

export const tall = ({ cell }: GridPage): number => cell[0] / cell[1]; // height of a cell, its width being 1

export const extentOfGrid = (grid: GridPage): Extent => ({ left: 0, top: 0, right: grid.columns, bottom: grid.rows * tall(grid) });

// Cells on a side of a tile.
export const across = (grid: GridPage, level: number): number => Math.max(1, Math.floor(grid.tile / (grid.levels[level] ?? 1)));

// The level whose cells are as large as on the screen, or a little larger. sharp: device px a CSS px.
export function levelOf(grid: GridPage, { scale }: View, sharp = 1): number {
  const wanted = scale * sharp * Math.max(1, tall(grid));
  const found = grid.levels.findIndex((side) => side >= wanted * 0.9);
  return found < 0 ? grid.levels.length - 1 : found;
}

// Those in sight, the middle ones first.
export function tilesOf(grid: GridPage, level: number, view: View, size: Size): Tile[] {
  const side = across(grid, level);
  const { left, top, right, bottom } = shownExtent(view, size);
  const down = tall(grid);
  const span = (from: number, to: number, count: number) => [Math.max(Math.floor(from / side), 0), Math.min(Math.floor(to / side), Math.ceil(count / side) - 1)] as const;
  const [first, last] = span(left, right, grid.columns);
  const [above, below] = span(top / down, bottom / down, grid.rows);
  const tiles: Tile[] = [];
  for (let row = above; row <= below; row += 1) for (let column = first; column <= last; column += 1) tiles.push({ level, column, row });
  const away = ({ column, row }: Tile) => Math.hypot((column + 0.5) * side - view.x, (row + 0.5) * side * down - view.y);
  return tiles.sort((one, other) => away(one) - away(other));
}

// Where a tile lies on the plane; the last ones end where the grid does.
export function frameOf(grid: GridPage, { level, column, row }: Tile): Extent {
  const side = across(grid, level);
  const down = tall(grid);
  return {
    left: column * side, right: Math.min((column + 1) * side, grid.columns),
    top: row * side * down, bottom: Math.min((row + 1) * side, grid.rows) * down,
  };
}

// The tiles of earlier levels that show the same, the nearest level first.
export function coarser(grid: GridPage, { level, column, row }: Tile): Tile[] {
  const side = across(grid, level);
  return Array.from({ length: level }, (_, at) => {
    const above = level - 1 - at;
    return { level: above, column: Math.floor((column * side) / across(grid, above)), row: Math.floor((row * side) / across(grid, above)) };
  });
}

// The cell at a place of the plane; null beyond the grid.
export function cellAt(grid: GridPage, x: number, y: number): [row: number, column: number] | null {
  const [row, column] = [Math.floor(y / tall(grid)), Math.floor(x)];
  return row >= 0 && column >= 0 && row < grid.rows && column < grid.columns ? [row, column] : null;
}
