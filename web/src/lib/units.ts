// The units of a layer: their patches, and how they are sorted and filtered.

import { paths } from "./api";
import type { Arrays } from "./arrays";
import type { Index } from "./layers";
import { source } from "./source";
import type { Patch } from "./tiles";
import type { Strips, Units } from "./types";

export const [DEAD, RARE, STILL] = [1, 2, 4];

export async function readUnits(layer: string): Promise<Units> {
  const found = await source.arrays(paths.units(layer));
  const array = <T>(name: string) => (found[name]?.values ?? new Float32Array(0)) as T;
  return {
    units: array("units"),
    maximum: array("maximum"),
    mean: array("mean"),
    activeImages: array("activeImages"),
    activePlaces: array("activePlaces"),
    state: array("state"),
    strongest: strips(found, "strongest"),
    middle: strips(found, "middle"),
    directions: strips(found, "directions"),
    classes: array("excited/classes"),
    classMeans: array("excited/means"),
    classCounts: array("excited/counts"),
  };
}

function strips(found: Arrays, fold: string): Strips {
  const part = <T>(name: string) => (found[`${fold}/${name}`]?.values ?? new Int32Array(0)) as T;
  return { k: found[`${fold}/rows`]?.shape[1] ?? 0, rows: part("rows"), values: part("values"), places: part("places"), boxes: part("boxes") };
}

// The patches of one unit (by its place in the arrays) or direction, best first.
export function patchesOf({ k, rows, values, places, boxes }: Strips, at: number): Patch[] {
  const found: Patch[] = [];
  for (let i = at * k; i < (at + 1) * k && i < rows.length; i++) {
    const [top = 0, left = 0, bottom = 0, right = 0] = boxes.subarray(4 * i, 4 * i + 4);
    const row = rows[i] ?? -1;
    if (row >= 0) found.push({ row, value: values[i] ?? 0, place: [places[2 * i] ?? 0, places[2 * i + 1] ?? 0], box: { top, left, bottom, right } });
  }
  return found;
}

export const directionsOf = ({ directions }: Units): number => (directions.k ? directions.rows.length / directions.k : 0);

export const CONTROLS = 2; // random directions that are shown beside units

export interface Excited {
  name: string;
  unit: number; // the class
  mean: number;
  images: number;
}

// The predicted classes whose images excite a unit most, on average.
export function excitedBy(units: Units, at: number, index: Index): Excited[] {
  const kept = units.units.length ? units.classes.length / units.units.length : 0;
  const found: Excited[] = [];
  for (let i = at * kept; i < (at + 1) * kept; i++) {
    const unit = units.classes[i] ?? -1;
    const mean = units.classMeans[i] ?? 0;
    if (unit >= 0 && mean > 0) found.push({ name: index.className(unit), unit, mean, images: units.classCounts[i] ?? 0 });
  }
  return found;
}

export const SORTS = { number: "number", maximum: "maximum", active: "how often active", sparse: "sparsest maps first", name: "name" } as const;
export const FILTERS = { all: "all", live: "active", rare: "rarely active", dead: "dead", still: "no gradient" } as const;
export type Sort = keyof typeof SORTS;
export type Filter = keyof typeof FILTERS;

// Places in the arrays of the units to show, in their order.
export function arranged(units: Units, sort: Sort, filter: Filter, search: string, name: (unit: number) => string): number[] {
  const words = search.trim().toLowerCase();
  const wanted = Array.from(units.units.keys()).filter((at) => {
    const state = units.state[at] ?? 0;
    const fits = { all: true, live: !(state & DEAD), rare: (state & RARE) > 0, dead: (state & DEAD) > 0, still: (state & STILL) > 0 }[filter];
    return fits && (!words || matches(units.units[at] ?? 0, words, name));
  });
  const falling = (values: Float32Array) => (one: number, other: number) => order(values[other], values[one]) || one - other;
  const rising = (values: Float32Array) => (one: number, other: number) => order(values[one], values[other]) || one - other;
  if (sort === "maximum") wanted.sort(falling(units.maximum));
  if (sort === "active") wanted.sort(falling(units.activeImages));
  if (sort === "sparse") wanted.sort(rising(units.activePlaces));
  if (sort === "name") {
    const names = new Map(wanted.map((at) => [at, name(units.units[at] ?? 0)]));
    wanted.sort((one, other) => (names.get(one) ?? "").localeCompare(names.get(other) ?? "", "en", { numeric: true }));
  }
  return wanted;
}

const order = (one = NaN, other = NaN): number => (Number.isNaN(one) ? 1 : 0) - (Number.isNaN(other) ? 1 : 0) || one - other || 0;

// A number means the unit of that number; words are looked for in the name.
const matches = (unit: number, words: string, name: (unit: number) => string): boolean =>
  /^\d+$/.test(words) ? unit === Number(words) : name(unit).toLowerCase().includes(words);

export function stateWords(state: number): string {
  return [state & DEAD && "dead", state & RARE && "rarely active", state & STILL && "no gradient"].filter(Boolean).join(", ");
}
