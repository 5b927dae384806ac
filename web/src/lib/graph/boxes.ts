// The boxes of the drawing: blocks, and layers that belong together (convolution, norm, rectifier) as one.

import { items, type Item } from "./blocks";
import { role, title } from "./kinds";
import { IMAGE, type Wiring } from "./wiring";

export interface Box {
  name: string; // of the block, or of its last layer
  block: boolean;
  title: string; // "conv 3×3"; the last part of a block's name
  holder: string[]; // the opened module that it stands in
  layers: number[];
  main: number; // the layer that it is known by
  last: number; // the layer that others read
}

export interface Drawing {
  wiring: Wiring;
  boxes: Box[]; // from left to right
  boxOf: number[]; // by layer
  edges: [number, number][]; // between boxes; IMAGE is the input
}

export function draw(wiring: Wiring): Drawing {
  let found = items(wiring);
  for (;;) {
    const boxes = merge(wiring, found);
    const order = sorted(wiring, boxes);
    // Blocks that read each other's insides (a module that is used twice) are taken apart.
    const apart = new Set(order.rest.filter((box) => box.block).map((box) => box.name));
    if (apart.size === 0) return { wiring, boxes: order.boxes, ...linked(wiring, order.boxes) };
    found = found.flatMap((item) => (apart.has(item.module.path.join(".")) ? item.module.layers.map((layer) => single(wiring, layer)) : [item]));
    found.sort((one, other) => (one.module.layers[0] ?? 0) - (other.module.layers[0] ?? 0));
  }
}

const single = ({ paths }: Wiring, layer: number): Item => {
  const path = paths[layer] ?? [];
  return { module: { path, children: [], layers: [layer], layer }, holder: path.slice(0, -1) };
};

// All layers of a block as boxes of their own, those that belong together again as one.
export const insides = (wiring: Wiring, layers: number[]): Box[] => merge(wiring, layers.map((layer) => single(wiring, layer)));

function merge(wiring: Wiring, found: Item[]): Box[] {
  const boxes: Box[] = [];
  const boxOf = new Map<number, Box>();
  for (const { module, holder } of found) {
    const layer = module.layer;
    const sources = layer >= 0 ? (wiring.reads[layer] ?? []) : [];
    const before = sources.length === 1 ? boxOf.get(sources[0] as number) : undefined;
    if (before && joins(wiring, before, layer)) {
      if (role(wiring.nodes[layer]?.kind ?? "") === "weights" || leads(wiring, before)) {
        before.main = layer;
        before.holder = holder;
      }
      before.layers.push(layer);
      before.last = layer;
      boxOf.set(layer, before);
      continue;
    }
    const [main, last] = layer >= 0 ? [layer, layer] : [module.layers.at(-1) ?? 0, module.layers.at(-1) ?? 0];
    const box: Box = { name: module.path.join("."), block: layer < 0, title: "", holder, layers: [...module.layers], main, last };
    boxes.push(box);
    module.layers.forEach((one) => boxOf.set(one, box));
  }
  for (const box of boxes) {
    if (!box.block) box.name = wiring.nodes[box.last]?.name ?? "";
    box.title = box.block ? (box.name.split(".").at(-1) ?? "") : title(wiring, box.main);
  }
  return boxes;
}

const roleOf = ({ nodes }: Wiring, layer: number) => role(nodes[layer]?.kind ?? "");

// A box that waits for its convolution: norm, rectifier and convolution in this order, or a pad before it.
const leads = (wiring: Wiring, box: Box): boolean =>
  !box.block && box.layers.every((layer) => ["norm", "activation", "shape"].includes(roleOf(wiring, layer)) || wiring.nodes[layer]?.kind === "cat");

function joins(wiring: Wiring, box: Box, layer: number): boolean {
  const read = wiring.reads[layer]?.[0];
  if (box.block || read !== box.last || (wiring.readers[box.last]?.length ?? 0) > 1) return false;
  const mine = roleOf(wiring, layer);
  if (changesNothing(wiring, layer) || mine === "activation") return true;
  if (mine === "norm") return leads(wiring, box) || (roleOf(wiring, box.main) === "weights" && !box.layers.some((one) => roleOf(wiring, one) === "activation" && one > box.main));
  if (mine === "weights") return leads(wiring, box);
  if (mine === "pool") return box.layers.every((one) => roleOf(wiring, one) === "shape");
  return mine === "shape" && wiring.nodes[layer]?.kind !== "pad";
}

// An adaptive pool to the size that the map already has.
function changesNothing({ nodes, reads }: Wiring, layer: number): boolean {
  const [node, source] = [nodes[layer], nodes[reads[layer]?.[0] ?? IMAGE]];
  return !!node?.kind.startsWith("adaptive") && node.shape.join() === source?.shape.join();
}

function linked(wiring: Wiring, boxes: Box[]): Pick<Drawing, "boxOf" | "edges"> {
  const boxOf: number[] = [];
  boxes.forEach((box, at) => box.layers.forEach((layer) => (boxOf[layer] = at)));
  const edges = new Map<string, [number, number]>();
  wiring.reads.forEach((sources, layer) => {
    for (const source of sources) {
      const [from, to] = [source === IMAGE ? IMAGE : (boxOf[source] ?? IMAGE), boxOf[layer] ?? IMAGE];
      if (from !== to) edges.set(`${from} ${to}`, [from, to]);
    }
  });
  return { boxOf, edges: [...edges.values()] };
}

// In an order in which every edge goes to the right; `rest` are those for which there is none.
function sorted(wiring: Wiring, boxes: Box[]): { boxes: Box[]; rest: Box[] } {
  const { edges } = linked(wiring, boxes);
  const before = boxes.map((_, at) => new Set(edges.filter(([from, to]) => to === at && from !== IMAGE).map(([from]) => from)));
  const order: number[] = [];
  const left = new Set(boxes.keys());
  while (left.size) {
    const next = [...left].find((at) => [...(before[at] ?? [])].every((one) => !left.has(one)));
    if (next === undefined) break;
    left.delete(next);
    order.push(next);
  }
  return { boxes: order.map((at) => boxes[at] as Box), rest: [...left].map((at) => boxes[at] as Box) };
}
