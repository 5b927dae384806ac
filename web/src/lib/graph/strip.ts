// Where the boxes of the whole net stand: one row of volumes, high as their maps, wide as they have units.

import type { Drawing } from "./boxes";
import { shapeOf, sizes, stages, type Run } from "./stages";
import { IMAGE } from "./wiring";

export interface Volume {
  left: number; // of its place in the row
  room: number;
  x: number; // front face
  y: number;
  width: number;
  height: number;
  lean: number; // how far the back of it is shifted, right and up
}

export interface Label {
  x: number;
  text: string;
}

export interface Strip {
  width: number;
  height: number;
  axis: number; // y of the middle of all boxes
  foot: number; // y under the highest box
  image: Volume;
  volumes: Volume[]; // by box
  lines: [number, number][]; // x of the steps from a box to the next
  arcs: string[]; // paths of what skips boxes
  titles: Label[]; // by box
  units: Label[];
  stages: (Label & { left: number; right: number })[];
  sizes: (Label & { left: number; right: number })[];
}

const HIGHEST = 112;
const LOWEST = 9;
const RISE = 46; // of the longest arc
const WIDEST_PLACE = 124;
const IMAGE_PLACE = 56;
const CHARACTER = 5.9; // px, of the small text

export function layStrip(drawing: Drawing, available: number, size: readonly number[]): Strip {
  const { boxes, edges, wiring } = drawing;
  const weights = boxes.map((box) => (box.block || /^(conv|linear)/.test(box.title) ? 1 : 0.72));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const least = boxes.length > 30 ? 14 : 46;
  const unit = Math.max(least, Math.min(WIDEST_PLACE, (available - IMAGE_PLACE) / total));

  const shapes = boxes.map((box) => shapeOf(wiring, box));
  const most = Math.max(...shapes.map(([count = 1]) => count), 2);
  const largest = Math.max(...size, 2);
  const skips = edges.filter(([from, to]) => from !== IMAGE && to - from > 1);

  let left = 0;
  const volumes = [[3, ...size], ...shapes].map(([count = 1, rows = 1, columns = rows], at): Volume => {
    const room = at ? (weights[at - 1] ?? 1) * unit : IMAGE_PLACE;
    const height = LOWEST + (HIGHEST - LOWEST) * logarithmic(rows, largest);
    const lean = Math.min(0.2 * (LOWEST + (HIGHEST - LOWEST) * logarithmic(columns, largest)), 0.24 * room, 18);
    const widest = Math.max(room - lean - Math.max(3, 0.16 * room), 2);
    const width = Math.min(3 + (widest - 3) * logarithmic(count, most), widest);
    const volume = { left, room, x: left + (room - width - lean) / 2, y: lean / 2 - height / 2, width, height, lean };
    left += room;
    return volume;
  });
  const [image, ...rest] = volumes as [Volume, ...Volume[]];
  const middle = ({ x, width, lean }: Volume) => x + (width + lean) / 2;
  const of = (at: number): Volume => (at === IMAGE ? image : rest[at]) as Volume;

  const arcs = skips.map(([from, to]) => arc(of(from), of(to), (to - from) / boxes.length));
  const axis = Math.max(HIGHEST / 2 + 20, ...arcs.map(({ top }) => 4 - top));
  for (const volume of volumes) volume.y += axis;
  const foot = axis + HIGHEST / 2 + 12;
  const spans = (found: Run[], short: (text: string) => string[]) =>
    found.map(({ first, last, name }) => {
      const [from, to] = [of(first), of(last)];
      const [start, end] = [from.left + Math.min(4, 0.1 * from.room), to.left + to.room - Math.min(4, 0.1 * to.room)];
      return { x: (start + end) / 2, left: start, right: end, text: fitting(short(name), end - start) };
    });
  return {
    width: left,
    height: foot + (unit < 30 ? 62 : 76),
    axis,
    foot,
    image,
    volumes: rest,
    lines: edges.filter(([from, to]) => to - from === 1).map(([from, to]) => [middle(of(from)), middle(of(to))]),
    arcs: arcs.map(({ path }) => path(axis)),
    titles: boxes.map((box, at) => ({ x: middle(of(at)), text: fitting(box.block ? [numbered(box.title)] : shorter(box.title), of(at).room) })),
    units: shapes.map(([count = 0], at) => ({ x: middle(of(at)), text: unit < 30 ? "" : fitting([String(count)], of(at).room) })),
    stages: spans(stages(drawing), (name) => [name]),
    sizes: spans(sizes(drawing), (name) => [name, name.split(" × ")[0] ?? ""]),
  };
}

const logarithmic = (value: number, largest: number): number => Math.log(Math.max(value, 1)) / Math.log(largest);

function arc(from: Volume, to: Volume, share: number): { top: number; path: (axis: number) => string } {
  const [start, end] = [from, to].map(({ x, width, lean, y }) => [x + (width + lean) / 2, y - lean - 1]) as [[number, number], [number, number]];
  const rise = 8 + (RISE - 8) * Math.min(1, 1.7 * Math.sqrt(share));
  const base = Math.min(start[1], end[1]);
  const handle = base - rise / 0.75; // a cubic reaches three quarters of the way to its handles
  const text = (x: number, y: number) => `${x.toFixed(1)} ${y.toFixed(1)}`;
  const path = (axis: number) =>
    `M${text(start[0], start[1] + axis)}C${text(start[0], handle + axis)} ${text(end[0], handle + axis)} ${text(end[0], end[1] + axis)}`;
  return { top: base - rise, path };
}

const fitting = (texts: string[], room: number): string => texts.find((text) => text.length * CHARACTER <= room + 2) ?? "";

// "inception3a" → "3a", "denselayer12" → "12"
const numbered = (title: string): string => title.replace(/^.*?(?=\d)/, "") || title;

// "average pool", "avg pool", "pool"
const shorter = (title: string): string[] =>
  [title, title.replace(/ \d+×\d+$/, ""), title.replace("average", "avg"), title.replace(/^(average|max) (pool).*/, "$2"), title.replace("linear", "fc"), title.slice(0, 4)];
