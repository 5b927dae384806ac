// Where the layers of an opened block stand: from left to right, parallel branches in lanes of their own.

import { insides, type Box } from "./boxes";
import { role, windowOf, word } from "./kinds";
import { IMAGE, type Wiring } from "./wiring";

export interface Cell {
  layer: number;
  x: number;
  y: number;
  width: number;
  name: string;
  detail: string; // of a convolution: window and units
}

export interface Group {
  x: number;
  y: number;
  width: number;
  module: string; // the part of the block that all its layers lie in; "" where the group before it says so already
  cells: Cell[];
}

export interface Inside {
  width: number;
  height: number;
  groups: Group[];
  edges: { path: string; into: number; from: number }[]; // layers that it leads from and to
}

export const CELL = 40; // height
const GAP = 30;
const LANE = 66;
const EMPTY_LANE = 26;
const NAME = 17; // room above a group for its module
const CHARACTER = 6.7;

interface Placed {
  box: Box;
  cells: Cell[];
  width: number;
  before: number[]; // groups, IMAGE for what comes from outside
  x: number;
  lane: number;
}

export function layInside(wiring: Wiring, block: string, layers: number[]): Inside {
  const boxes = insides(wiring, layers);
  const groupOf = new Map<number, number>();
  boxes.forEach((box, at) => box.layers.forEach((layer) => groupOf.set(layer, at)));
  const placed: Placed[] = boxes.map((box, at) => {
    const cells = box.layers.map((layer) => cell(wiring, layer));
    const sources = new Set(box.layers.flatMap((layer) => (wiring.reads[layer] ?? []).map((source) => groupOf.get(source) ?? IMAGE)));
    sources.delete(at);
    return { box, cells, width: cells.reduce((sum, { width }) => sum + width, 0), before: [...sources], x: GAP, lane: 0 };
  });
  for (const group of placed) {
    group.x = Math.max(...group.before.map((at) => { const one = placed[at]; return one ? one.x + one.width + GAP : GAP; }), GAP);
  }
  const ways = decompose(placed);
  const heights = spread(placed, ways);
  const out = placed.at(-1) as Placed;
  const width = Math.max(...placed.map((group) => group.x + group.width)) + GAP;

  const modules = placed.map(({ box }) => moduleOf(wiring, block, box.layers));
  const groups = placed.map(({ cells, x, lane, width: wide, before }, at): Group => {
    const said = before.some((source) => modules[source] === modules[at] && placed[source]?.lane === lane);
    const y = heights.middle(lane) - CELL / 2;
    let left = x;
    for (const one of cells) {
      [one.x, one.y] = [left, y];
      left += one.width;
    }
    return { x, y, width: wide, module: said ? "" : ending(modules[at] ?? "", wide + GAP - 6), cells };
  });
  const right = (at: number) => (at === IMAGE ? 0 : (placed[at]?.x ?? 0) + (placed[at]?.width ?? 0));
  const level = (at: number) => heights.middle(placed[at]?.lane ?? 0);
  const edges = ways.flatMap(({ steps, lane }) =>
    steps.slice(1).map((to, at) => {
      const from = steps[at] as number;
      const target = placed[to] as Placed;
      const path = route(right(from), level(from), heights.middle(lane), target.x, level(to));
      return { path, from: placed[from]?.box.last ?? IMAGE, into: target.box.layers[0] ?? IMAGE };
    }),
  );
  edges.push({ path: `M${right(placed.length - 1)} ${heights.middle(out.lane)}H${width}`, from: out.box.last, into: IMAGE });
  return { width, height: heights.total, groups, edges };
}

function cell(wiring: Wiring, layer: number): Cell {
  const { kind = "", shape = [] } = wiring.nodes[layer] ?? {};
  const name = localName((wiring.paths[layer] ?? []).at(-1) ?? "", kind);
  const window = windowOf(wiring, layer)?.join("×") ?? "";
  const detail = role(kind) === "pool" ? window : role(kind) === "weights" ? [window, shape[0]].filter(Boolean).join(" · ") : kind === "cat" ? `${shape[0]}` : "";
  return { layer, x: 0, y: 0, width: Math.max(38, Math.max(name.length, detail.length) * CHARACTER + 16), name, detail };
}

// What a layer is called inside its block: by its module, or by its operator where that has no name of its own.
function localName(last: string, kind: string): string {
  if (!last.startsWith("/") && !/^\d+$/.test(last)) return last;
  const again = /#(\d+)$/.exec(last)?.[1] ?? "1";
  return again === "1" || last.startsWith("/getitem") ? word(kind) : `${word(kind)}#${again}`;
}

// The part of the block's tree that the layers of a group share, "" for the block itself.
function moduleOf({ paths }: Wiring, block: string, layers: number[]): string {
  const depth = block.split(".").length;
  const owners = layers.map((layer) => (paths[layer] ?? []).slice(depth, -1).join("."));
  return owners.every((owner) => owner === owners[0]) ? (owners[0] ?? "") : "";
}

const ending = (name: string, room: number): string =>
  name.length * 6 <= room ? name : `…${name.slice(-Math.max(3, Math.floor(room / 6) - 1))}`;

interface Way {
  steps: number[]; // groups
  own: number[]; // those that lie on no way before it
  lane: number;
}

// The longest way through the block, then for what is left the longest detour (or dead end), and so on.
function decompose(placed: Placed[]): Way[] {
  const left = new Set(placed.flatMap(({ before }, to) => before.map((from) => `${from} ${to}`)));
  const read = new Set(placed.flatMap(({ before }) => before));
  const onWay = new Set<number>([IMAGE]);
  const ways: Way[] = [];
  while (left.size) {
    const length = new Map<number, number>();
    const cameFrom = new Map<number, number>();
    let best = -1;
    placed.forEach(({ before, width }, to) => {
      for (const from of before) {
        if (!left.has(`${from} ${to}`)) continue;
        const longer = (onWay.has(from) ? 0 : (length.get(from) ?? -Infinity)) + width;
        if (longer <= (length.get(to) ?? -Infinity)) continue;
        length.set(to, longer);
        cameFrom.set(to, from);
      }
      const ends = ways.length ? onWay.has(to) || !read.has(to) : to === placed.length - 1;
      if (ends && cameFrom.has(to) && (best < 0 || (length.get(to) ?? 0) > (length.get(best) ?? 0))) best = to;
    });
    if (best < 0) break;
    const steps = [best];
    do steps.unshift(cameFrom.get(steps[0] as number) as number);
    while (!onWay.has(steps[0] as number));
    steps.slice(1).forEach((to, at) => left.delete(`${steps[at]} ${to}`));
    ways.push({ steps, own: steps.filter((step) => !onWay.has(step)), lane: 0 });
    steps.forEach((step) => onWay.add(step));
  }
  return ways;
}

// Gives every way a lane in which its room is free, the short ones nearest to the longest way:
// above it what is computed earlier, below it what is computed later, and shortcuts.
function spread(placed: Placed[], [main, ...others]: Way[]): { middle: (lane: number) => number; total: number } {
  const taken = new Map<number, [number, number][]>();
  const end = (at: number) => (at === IMAGE ? 0 : (placed[at]?.x ?? 0) + (placed[at]?.width ?? 0));
  const room = ({ steps, own }: Way): [number, number] => {
    const last = steps.at(-1) as number;
    return [end(steps[0] as number), own.includes(last) ? end(last) + GAP / 2 : (placed[last]?.x ?? 0)];
  };
  const put = (way: Way, step: number): void => {
    const [start, stop] = room(way);
    way.lane = step;
    while ((taken.get(way.lane) ?? []).some(([from, to]) => from < stop && start < to)) way.lane += step;
    taken.set(way.lane, [...(taken.get(way.lane) ?? []), [start, stop]]);
    for (const step of way.own) (placed[step] as Placed).lane = way.lane;
  };
  const first = (way?: Way) => way?.own[0] ?? Infinity;
  const width = (way: Way) => room(way)[1] - room(way)[0];
  const above = others.filter((way) => first(way) < first(main));
  const below = others.filter((way) => !above.includes(way));
  above.sort((one, other) => width(one) - width(other) || first(other) - first(one)).forEach((way) => put(way, -1));
  below.sort((one, other) => width(one) - width(other) || first(one) - first(other)).forEach((way) => put(way, 1));

  const full = new Set([0, ...placed.map(({ lane }) => lane)]);
  const middles = new Map<number, number>();
  let top = 0;
  for (const lane of [...new Set([...full, ...taken.keys()])].sort((one, other) => one - other)) {
    middles.set(lane, top + (full.has(lane) ? NAME + CELL / 2 : EMPTY_LANE / 2));
    top += full.has(lane) ? LANE : EMPTY_LANE;
  }
  return { middle: (lane) => middles.get(lane) ?? 0, total: top };
}

// Out of one group, up or down to the lane, along it and into the next group.
function route(x: number, y: number, lane: number, toX: number, toY: number): string {
  const steps: string[] = [`M${x} ${y}`];
  if (lane !== y) steps.push(bend(x + GAP / 2, y, lane));
  if (toY !== lane) steps.push(bend(toX - GAP / 2, lane, toY));
  return `${steps.join("")}H${toX}`;
}

const CORNER = 6;
const bend = (x: number, from: number, to: number): string => {
  const down = Math.sign(to - from);
  return `H${x - CORNER}Q${x} ${from} ${x} ${from + down * CORNER}V${to - down * CORNER}Q${x} ${to} ${x + CORNER} ${to}`;
};
