// Runs of boxes that belong together: the stages with their names, and the sizes of the maps.

import type { Box, Drawing } from "./boxes";
import { role } from "./kinds";
import type { Wiring } from "./wiring";

export interface Run {
  first: number; // box
  last: number;
  name: string;
}

export function stages({ boxes, wiring }: Drawing): Run[] {
  const held = new Map<string, number>();
  for (const { holder } of boxes) for (const key of prefixes(holder)) held.set(key, (held.get(key) ?? 0) + 1);
  const blocks = [...boxes.keys()].filter((at) => boxes[at]?.block);
  const [firstBlock, lastBlock] = [blocks[0] ?? Infinity, blocks.at(-1) ?? -1];

  const keyOf = (box: Box, at: number): string => {
    const own = box.block ? box.holder.join(".") : (prefixes(box.holder).find((key) => (held.get(key) ?? 0) > 1) ?? "");
    if (own) return own;
    if (at < firstBlock) return blocks.length ? " stem" : " ";
    if (at > lastBlock) return " head";
    return ` ${shapeOf(wiring, box).slice(1).join()}`;
  };
  const found = runs(boxes.map(keyOf)).map((run) => ({ ...run, name: nameOf(run.name, boxes.slice(run.first, run.last + 1)) }));
  return found.map((run, at) => (run.name === "head" && at < found.length - 1 ? { ...run, name: "" } : run));
}

// "56 × 56", "" for vectors
export const sizes = ({ boxes, wiring }: Drawing): Run[] =>
  runs(boxes.map((box) => shapeOf(wiring, box).slice(1)).map((sides) => (Math.max(0, ...sides) > 1 ? sides.join(" × ") : "")));

// That of what a box computes, before a view flattens it.
export function shapeOf({ nodes }: Wiring, { layers, last }: Box): readonly number[] {
  const layer = layers.findLast((one) => role(nodes[one]?.kind ?? "") !== "shape") ?? last;
  return nodes[layer]?.shape ?? [1];
}

function runs(keys: string[]): Run[] {
  const found: Run[] = [];
  keys.forEach((name, at) => {
    const run = found.at(-1);
    if (run?.name === name) run.last = at;
    else found.push({ first: at, last: at, name });
  });
  return found;
}

// The longest first, the whole net ("") not among them.
const prefixes = (path: string[]): string[] => path.map((_, depth) => path.slice(0, depth + 1).join(".")).reverse();

function nameOf(key: string, boxes: Box[]): string {
  if (!key.startsWith(" ")) return lastWord(key);
  if (key === " stem" || key === " head") return key.trim();
  const names = boxes.filter((box) => box.block).map((box) => box.name);
  const [first = "", last = ""] = [names[0], names.at(-1)];
  if (first === last) return first;
  let same = 0;
  while (first[same] === last[same]) same++;
  while (same > 0 && /\d/.test(first[same - 1] ?? "") && /\d/.test(first[same] ?? "")) same--;
  return `${first}–${last.slice(same)}`;
}

// "features.denseblock1" → "denseblock1", "blocks.3" → "blocks.3"
const lastWord = (path: string): string => /[^.]*[^.\d][^.]*(\.\d+)*$/.exec(path)?.[0] ?? path;
