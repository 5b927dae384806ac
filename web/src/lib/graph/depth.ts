// The course of a number over the depth of the net: points at the followed layers, above their boxes.

import type { Health, Numbers } from "../types";
import type { Drawing } from "./boxes";
import type { Volume } from "./strip";

export interface Place {
  name: string; // of the followed layer
  at: number; // among the followed ones
  layer: number; // among all
  box: number;
  x: number;
}

export interface Course {
  key: "zeros" | "hoyer" | "radius" | "dead";
  title: string;
  says: string; // what it measures, and its scale
  values: Numbers;
  low: string; // the ends of the scale in words
  high: string;
  top: number; // value at the upper end
  marks: number[]; // values with a line of their own
  stems: boolean; // counts stand for themselves, no line between them
}

export function places(followed: readonly string[], numberOf: (name: string) => number, { boxOf }: Drawing, volumes: Volume[]): Place[] {
  const found = followed.map((name, at) => ({ name, at, layer: numberOf(name), x: 0 })).filter(({ layer }) => layer >= 0).map((one) => ({ ...one, box: boxOf[one.layer] ?? 0 }));
  const inBox = new Map<number, typeof found>();
  for (const one of found) inBox.set(one.box, [...(inBox.get(one.box) ?? []), one]);
  for (const [box, several] of inBox) {
    const volume = volumes[box];
    several.forEach((one, place) => (one.x = volume ? volume.left + (volume.room * (place + 0.5)) / several.length : 0));
  }
  return found;
}

export function courses(health: Health): Course[] {
  const most = Math.max(1, ...health.dead.map((count) => count ?? 0));
  return [
    { key: "zeros", title: "Zeros", says: "share of activations that are exactly 0; 0 to 100 %", values: health.zeros, low: "0", high: "100 %", top: 1, marks: [], stems: false },
    { key: "hoyer", title: "Sparsity", says: "Hoyer’s measure; 0 all alike, 1 a single one", values: health.hoyer, low: "0", high: "1", top: 1, marks: [], stems: false },
    { key: "radius", title: "Radius", says: "of the activations, share of the map’s half diagonal; 0 a point, 0.58 (dashed) spread evenly", values: health.radius, low: "0", high: "0.7", top: 0.7, marks: [0.58], stems: false },
    { key: "dead", title: "Dead units", says: `never above 0 on any image; 0 to ${most.toLocaleString("en")}`, values: health.dead, low: "0", high: most.toLocaleString("en"), top: most, marks: [], stems: true },
  ];
}

// Whether one of the two can be computed from the other: only then a line between their points means a course.
export function follows({ wiring }: Drawing, earlier: number, later: number): boolean {
  const seen = new Set<number>();
  const open = [later];
  for (let layer = open.pop(); layer !== undefined; layer = open.pop()) {
    if (layer === earlier) return true;
    if (layer < earlier || seen.has(layer)) continue;
    seen.add(layer);
    open.push(...(wiring.reads[layer] ?? []));
  }
  return false;
}

// The line: through every point where one follows the other, through the mean where branches stand side by side.
export function line(drawing: Drawing, points: readonly Place[], values: Numbers, middle: (box: number) => number): [number, number][] {
  const byBox = new Map<number, Place[]>();
  for (const point of points) if (values[point.at] != null) byBox.set(point.box, [...(byBox.get(point.box) ?? []), point]);
  return [...byBox].sort(([one], [other]) => one - other).flatMap(([box, several]): [number, number][] => {
    const value = (point: Place) => values[point.at] as number;
    const chain = several.every((point, at) => at === 0 || follows(drawing, (several[at - 1] as Place).layer, point.layer));
    if (chain) return several.map((point) => [point.x, value(point)]);
    return [[middle(box), several.reduce((sum, point) => sum + value(point), 0) / several.length]];
  });
}
