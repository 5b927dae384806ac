// The maps of a layer for one image: their numbers, their order, and what one says of them.

import { activation, counted, percent } from "../format";
import { limitsOf, type Limits } from "./colours";

export type Order = "number" | "strength";
export type Scale = "shared" | "map";
export type Place = [row: number, column: number];

export interface Maps {
  values: Float32Array; // (C, H, W)
  units: number;
  rows: number;
  columns: number;
  signed: boolean; // whether anything is below 0
  low: number; // of all finite values
  high: number;
  lows: Float32Array; // of each map
  highs: Float32Array;
  peaks: Int32Array; // where the greatest value of each map is, row × columns + column
  empty: Uint8Array; // 1 where a map is 0 everywhere
  zeros: number; // share of the values that are exactly 0
  silent: number; // units that are nowhere above 0
}

export function measure(values: Float32Array, shape: readonly number[]): Maps {
  const [units = 0, rows = 1, columns = 1] = shape;
  const size = rows * columns;
  const [lows, highs] = [new Float32Array(units), new Float32Array(units)];
  const [peaks, empty] = [new Int32Array(units), new Uint8Array(units)];
  let [zeros, silent] = [0, 0];
  for (let unit = 0; unit < units; unit += 1) {
    let [low, high, peak, still] = [Infinity, -Infinity, 0, 0];
    for (let at = 0; at < size; at += 1) {
      const value = values[unit * size + at] as number;
      if (value === 0) still += 1;
      if (!Number.isFinite(value)) continue;
      if (value < low) low = value;
      if (value > high) [high, peak] = [value, at];
    }
    [lows[unit], highs[unit]] = low <= high ? [low, high] : [NaN, NaN];
    [peaks[unit], empty[unit]] = [peak, still === size ? 1 : 0];
    zeros += still;
    if (!(high > 0)) silent += 1;
  }
  const [low, high] = [least(lows), greatest(highs)];
  return { values, units, rows, columns, signed: low < 0, low, high, lows, highs, peaks, empty, zeros: zeros / (values.length || 1), silent };
}

const least = (numbers: Float32Array): number => numbers.reduce((found, one) => (one < found ? one : found), 0);
const greatest = (numbers: Float32Array): number => numbers.reduce((found, one) => (one > found ? one : found), -Infinity);

export function limitsOfUnit(maps: Maps, unit: number, scale: Scale, boost: number): Limits {
  const [low, high] = scale === "map" ? [maps.lows[unit] ?? 0, maps.highs[unit] ?? 0] : [maps.low, maps.high];
  return limitsOf(Number.isFinite(low) ? low : 0, Number.isFinite(high) ? high : 0, maps.signed, boost);
}

export const valueAt = (maps: Maps, unit: number, [row, column]: Place): number =>
  maps.values[(unit * maps.rows + row) * maps.columns + column] ?? NaN;

export const peakOf = (maps: Maps, unit: number): Place => {
  const at = maps.peaks[unit] ?? 0;
  return [Math.floor(at / maps.columns), at % maps.columns];
};

// The units as they are drawn; of equal ones the lower number comes first.
export function ordered(count: number, order: Order, maps?: Maps): Int32Array {
  const units = Int32Array.from({ length: count }, (_, unit) => unit);
  if (order === "number" || !maps) return units;
  const strength = (unit: number) => (Number.isNaN(maps.highs[unit]) ? -Infinity : (maps.highs[unit] as number));
  return units.sort((one, other) => strength(other) - strength(one) || one - other);
}

// In one line: the greatest value, the share of zeros, the silent units.
export function summary(maps: Maps, rectified: boolean, name: (unit: number) => string): string {
  if (!(maps.high > -Infinity)) return "No value is a number.";
  const strongest = maps.highs.indexOf(maps.high);
  const drawn = maps.empty.reduce((sum, one) => sum + one, 0);
  const many = drawn === maps.silent ? "" : `${drawn} of them `;
  const line = drawn && maps.rows * maps.columns > 1 ? ` (${many}${many ? "0 everywhere: " : ""}a line through the map)` : "";
  const state = rectified ? "silent on this image" : "nowhere above 0";
  return [
    `Greatest value ${activation(maps.high)}, of ${name(strongest)}`,
    maps.signed ? `least ${activation(maps.low)}` : "",
    maps.zeros ? `${percent(maps.zeros)} of the values are exactly 0` : "no value is exactly 0",
    maps.silent ? `${maps.silent} of ${counted(maps.units, "unit")} ${maps.silent === 1 ? "is" : "are"} ${state}${line}` : rectified ? "no unit is silent" : "",
  ].filter(Boolean).join("; ") + ".";
}

// The boost on a logarithmic slider: 0 is 1, 100 is 100.
export const BOOSTS = { least: 1, most: 100 } as const;
export const boostAt = (slider: number): number => Number((10 ** (slider / 50)).toPrecision(2));
export const sliderAt = (boost: number): number => Math.round(50 * Math.log10(boost));
export function boostOf(text: string | undefined): number {
  const boost = Number(text);
  return Number.isFinite(boost) && boost > 0 ? Math.min(Math.max(boost, BOOSTS.least), BOOSTS.most) : 1;
}
