// Where the boxes of the whole net stand: one row of volumes, high as their maps, wide as they have units.

import type { Drawing } from "./boxes";
import { sizes, stages, type Run } from "./stages";
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
const WIDEST_PLACE = 124;
const CHARACTER = 5.9; // px, of the small text

export function layStrip(drawing: Drawing, available: number, size: readonly number[]): Strip {
  const { boxes, edges, wiring } = drawing;
  const weights = [0.9, ...boxes.map((box) => (box.block || box.title.startsWith("conv") || box.title === "linear" ? 1 : 0.72))];
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const least = boxes.length > 30 ? 14 : 46;
  const unit = Math.max(least, Math.min(WIDEST_PLACE, available / total));

  const shapes = boxes.map(({ last }) => wiring.nodes[last]?.shape ?? [1]);
  const most = Math.max(...shapes.map(([count = 1]) => count), 2);
  const largest = Math.max(...size, 2);
  const skips = edges.filter(([from, to]) => from !== IMAGE && to - from > 1);
  const rise = skips.length ? 58 : 0;
  const axis = rise + HIGHEST / 2 + 22;

  let left = 0;
  const volumes = [[3, ...size], ...shapes].map(([count = 1, rows = 1, columns = rows], at): Volume => {
    const room = (weights[at] ?? 1) * unit;
    const height = LOWEST + (HIGHEST - LOWEST) * logarithmic(rows, largest);
    const lean = Math.min(0.2 * (LOWEST + (HIGHEST - LOWEST) * logarithmic(columns, largest)), 0.24 * room, 18);
    const widest = Math.max(room - lean - Math.max(3, 0.16 * room), 2);
    const width = Math.min(3 + (widest - 3) * logarithmic(count, most), widest);
    const volume = { left, room, x: left + (room - width - lean) / 2, y: axis + lean / 2 - height / 2, width, height, lean };
    left += room;
    return volume;
  });
  const [image, ...rest] = volumes as [Volume, ...Volume[]];
  const middle = ({ x, width, lean }: Volume) => x + (width + lean) / 2;
  const of = (at: number): Volume => (at === IMAGE ? image : rest[at]) as Volume;

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
    arcs: skips.map(([from, to]) => arc(of(from), of(to), (to - from) / boxes.length, rise)),
    titles: boxes.map((box, at) => ({ x: middle(of(at)), text: fitting(box.block ? [numbered(box.title)] : shorter(box.title), of(at).room) })),
    units: shapes.map(([count = 0], at) => ({ x: middle(of(at)), text: unit < 30 ? "" : fitting([String(count)], of(at).room) })),
    stages: spans(stages(drawing), (name) => [name, lastNumber(name)]),
    sizes: spans(sizes(drawing), (name) => [name, name.split(" × ")[0] ?? ""]),
  };
}

const logarithmic = (value: number, largest: number): number => Math.log(Math.max(value, 1)) / Math.log(largest);

function arc(from: Volume, to: Volume, share: number, rise: number): string {
  const [start, end] = [from, to].map(({ x, width, lean, y }) => [x + (width + lean) / 2, y - lean - 1] as const) as [readonly [number, number], readonly [number, number]];
  const top = Math.min(start[1], end[1]) - Math.min(rise, 12 + rise * Math.sqrt(share) * 1.6) / 0.75;
  const round = ([x, y]: readonly [number, number]) => `${x.toFixed(1)} ${y.toFixed(1)}`;
  return `M${round(start)}C${round([start[0], top])} ${round([end[0], top])} ${round(end)}`;
}

const fitting = (texts: string[], room: number): string => texts.find((text) => text.length * CHARACTER <= room + 2) ?? "";

// "inception3a" → "3a", "denselayer12" → "12"
const numbered = (title: string): string => title.replace(/^.*?(?=\d)/, "") || title;
const lastNumber = (name: string): string => /\d+$/.exec(name)?.[0] ?? "";

// "average pool", "avg pool", "pool"
const shorter = (title: string): string[] =>
  [title, title.replace(/ \d+×\d+$/, ""), title.replace("average", "avg"), title.replace(/^(average|max) (pool).*/, "$2"), title.replace("linear", "fc"), title.slice(0, 4)];
