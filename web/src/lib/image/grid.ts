// Where the maps of a layer stand: tiles in rows, grouped in blocks that are drawn when they come into sight.

import type { Place } from "./maps";

export interface Grid {
  across: number; // tiles in a row
  down: number; // rows of tiles
  width: number; // of a tile, CSS px
  height: number;
  gap: number; // between columns, and below the label
  label: number; // height of the line under a tile
  blockRows: number; // rows of tiles in one block
}

export interface Cell {
  unit: number;
  place: Place;
}

export interface Frame {
  left: number;
  top: number;
  width: number;
  height: number;
}

// Up to so many maps: the side that they ask for, CSS px.
const SIDES: [count: number, side: number][] = [[4, 190], [16, 124], [40, 92], [112, 76], [256, 62], [640, 52], [Infinity, 44]];
const VECTOR_ROWS = [10, 16, 20, 25, 32, 40, 50, 64];
const FEW = 760; // CSS px: so tall are the first rows of many
const BLOCK = 480; // CSS px: the height of a block, about

export function gridOf(count: number, rows: number, columns: number, room: number): Grid {
  if (rows * columns === 1) return vectorGrid(count, room);
  const asked = SIDES.find(([most]) => count <= most)?.[1] ?? 44;
  const gap = asked > 100 ? 10 : asked > 60 ? 7 : 5;
  const across = Math.max(1, Math.min(count, Math.round((room + gap) / (asked + gap))));
  const most = count <= across ? asked * 1.2 : Infinity;
  const width = Math.max(8, Math.floor(Math.min((room - (across - 1) * gap) / across, most)));
  const height = Math.max(2, Math.round((width * rows) / columns));
  const label = 17;
  return { across, down: Math.ceil(count / across), width, height, gap, label, blockRows: Math.max(1, Math.round(BLOCK / (height + label + gap))) };
}

// One cell a unit, in reading order; about twice as wide as tall, without rest where there is such a width.
function vectorGrid(count: number, room: number): Grid {
  const gap = 1;
  const most = Math.max(1, Math.min(count, Math.floor((room + gap) / (9 + gap))));
  const ideal = Math.min(Math.sqrt(2 * count), most);
  const fitting = VECTOR_ROWS.filter((size) => size <= most);
  const nearest = (sizes: number[]) => sizes.toSorted((one, other) => Math.abs(one - ideal) - Math.abs(other - ideal))[0];
  const across = nearest(fitting.filter((size) => count % size === 0 && size >= ideal / 1.6)) ?? nearest(fitting) ?? most;
  const side = Math.floor(Math.min(20, (room - (across - 1) * gap) / across));
  return { across, down: Math.ceil(count / across), width: side, height: side, gap, label: 0, blockRows: Math.ceil(count / across) };
}

export const step = (grid: Grid): [down: number, across: number] => [grid.height + grid.label + grid.gap, grid.width + grid.gap];

export const heightOf = (grid: Grid, rows = grid.down): number => rows * step(grid)[0];

export const widthOf = (grid: Grid): number => grid.across * step(grid)[1] - grid.gap;

// How many rows of tiles are shown: the first ones of many, as far as the chosen one, or all.
export function shownRows(grid: Grid, all: boolean, chosen: number): number {
  const first = Math.max(3, Math.ceil(FEW / step(grid)[0]));
  if (all || grid.down <= first * 1.5 || chosen >= first * grid.across) return grid.down;
  return first;
}

// Some rows of tiles, block by block.
export function blocksOf(grid: Grid, shown = grid.down): { first: number; rows: number }[] {
  return Array.from({ length: Math.ceil(shown / grid.blockRows) }, (_, block) => {
    const first = block * grid.blockRows;
    return { first, rows: Math.min(grid.blockRows, shown - first) };
  });
}

// What stands at a point; nothing between the tiles.
export function cellAt(grid: Grid, units: Int32Array, size: Place, left: number, top: number): Cell | null {
  const [down, across] = step(grid);
  const [row, column] = [Math.floor(top / down), Math.floor(left / across)];
  const unit = column >= 0 && column < grid.across && row >= 0 ? units[row * grid.across + column] : undefined;
  const [x, y] = [left - column * across, top - row * down];
  if (unit === undefined || x >= grid.width || y >= grid.height) return null;
  return { unit, place: [Math.min(Math.floor((y / grid.height) * size[0]), size[0] - 1), Math.min(Math.floor((x / grid.width) * size[1]), size[1] - 1)] };
}

// The unit whose number stands at a point, under its tile.
export function labelAt(grid: Grid, units: Int32Array, left: number, top: number): number | null {
  const [down, across] = step(grid);
  const [row, column] = [Math.floor(top / down), Math.floor(left / across)];
  const below = top - row * down - grid.height;
  if (column < 0 || column >= grid.across || row < 0 || below < 0 || below > grid.label) return null;
  return units[row * grid.across + column] ?? null;
}

// Where the tile at a position of the order stands.
export function tileFrame(grid: Grid, position: number): Frame {
  const [down, across] = step(grid);
  return { left: (position % grid.across) * across, top: Math.floor(position / grid.across) * down, width: grid.width, height: grid.height };
}

export function cellFrame(grid: Grid, position: number, size: Place, [row, column]: Place): Frame {
  const tile = tileFrame(grid, position);
  const [height, width] = [tile.height / size[0], tile.width / size[1]];
  return { left: tile.left + column * width, top: tile.top + row * height, width, height };
}

// The cell that an arrow leads to: inside a map, and over its edge into the next one.
export function moved(grid: Grid, units: Int32Array, size: Place, { unit, place }: Cell, key: string): Cell {
  const [down, right] = ({ ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] } as Record<string, Place>)[key] ?? [0, 0];
  const [row, column] = [place[0] + down, place[1] + right];
  const beyond: Place = [row < 0 ? -1 : row >= size[0] ? 1 : 0, column < 0 ? -1 : column >= size[1] ? 1 : 0];
  if (!beyond[0] && !beyond[1]) return { unit, place: [row, column] };
  const position = units.indexOf(unit) + beyond[0] * grid.across + beyond[1];
  const next = units[position];
  if (next === undefined) return { unit, place };
  return { unit: next, place: [(row + size[0]) % size[0], (column + size[1]) % size[1]] };
}
