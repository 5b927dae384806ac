// What a place of a map sees: a box in px of the net's input.

import type { Arrays } from "../arrays";
import { counted } from "../format";
import type { Selection } from "../address";
import type { LayerRecord } from "../types";
import type { Place } from "./maps";

export interface Box {
  top: number;
  left: number;
  bottom: number; // half-open
  right: number;
}

// rows (H, 2) and columns (W, 2): first and stop of each row and column. Nothing where a place sees nothing.
export function boxAt(fields: Arrays, [row, column]: Place, [height, width]: readonly [number, number]): Box | null {
  const [rows, columns] = [fields["rows"]?.values, fields["columns"]?.values];
  const inside = (value: number | undefined, most: number) => Math.min(Math.max(value ?? 0, 0), most);
  const box = {
    top: inside(rows?.[2 * row], height),
    left: inside(columns?.[2 * column], width),
    bottom: inside(rows?.[2 * row + 1], height),
    right: inside(columns?.[2 * column + 1], width),
  };
  return box.bottom > box.top && box.right > box.left ? box : null;
}

// What the address asks for and the layer does not have; "" where it has all of it.
export function lackWords({ name, shape: [units = 0, rows = 1, columns = 1] }: LayerRecord, { unit, place }: Pick<Selection, "unit" | "place">): string {
  if (unit !== null && unit >= units) return `${name} has ${counted(units, "unit")}, so ${unit} is none`;
  if (!place || (place[0] < rows && place[1] < columns)) return "";
  return rows * columns === 1 ? `${name} has no places, so ${place.join(",")} is none` : `maps of ${name} have ${rows} × ${columns} places, so ${place.join(",")} is none`;
}

export function sightWords(box: Box | null, [height, width]: readonly [number, number]): string {
  if (!box) return "sees nothing of the image";
  if (box.bottom - box.top >= height && box.right - box.left >= width) return "sees the whole image";
  return `sees ${box.bottom - box.top} × ${box.right - box.left} px`;
}
