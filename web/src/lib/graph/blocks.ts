// Which modules are opened (stages, sequences) and which are drawn as one block, since they branch inside.

import { role } from "./kinds";
import type { Module, Wiring } from "./wiring";

// A leaf of the drawing: one layer, or a block of several; `module` is the opened one that holds it.
export interface Item {
  module: Module;
  holder: string[];
}

type Course = "chain" | "chain with skips" | "branches";

export function items(wiring: Wiring): Item[] {
  const whole = wiring.tree.layers.length;
  const blocks = new Set<Module>();
  const opened: Module[] = [];

  const weighted = (module: Module) => module.layers.filter((layer) => role(wiring.nodes[layer]?.kind ?? "") === "weights").length;
  const dominates = (module: Module) => module.layers.length > Math.max(24, whole / 2);

  function visit(module: Module, top: boolean): void {
    if (module.layer >= 0 || blocks.has(module)) return;
    const course = courseOf(wiring, module);
    const parts = module.children.filter((child) => weighted(child) > 1);
    const row = course === "chain with skips" && parts.length > 1 && 2 * parts.length >= module.children.filter((child) => weighted(child)).length;
    if (!top && course !== "chain" && !row && !dominates(module)) {
      blocks.add(module);
      return;
    }
    opened.push(module);
    if (row && !top) parts.filter((part) => !dominates(part)).forEach((part) => blocks.add(part));
    module.children.forEach((child) => visit(child, top && module.children.length === 1));
  }
  visit(wiring.tree, true);

  // What stands beside a block is one too, so that a stage whose first block has no shortcut is not drawn in another way.
  const rank = ({ path }: Module) => `${path[0]} ${path.length}`;
  const ranks = new Set([...blocks].map(rank));
  for (const module of opened) if (module.path.length && ranks.has(rank(module)) && weighted(module) > 1 && !dominates(module)) blocks.add(module);

  const leaves = (module: Module, holder: string[]): Item[] =>
    module.layer >= 0 || blocks.has(module) ? [{ module, holder }] : module.children.flatMap((child) => leaves(child, module.path));
  return leaves(wiring.tree, []).sort((one, other) => (one.module.layers[0] ?? 0) - (other.module.layers[0] ?? 0));
}

// How the data goes through a module's parts.
function courseOf({ reads }: Wiring, module: Module): Course {
  const part = new Map<number, number>();
  module.children.forEach((child, at) => child.layers.forEach((layer) => part.set(layer, at)));
  const steps = new Set<number>();
  let skips = false;
  for (const layer of module.layers) {
    const to = part.get(layer) ?? 0;
    for (const source of reads[layer] ?? []) {
      const from = part.get(source) ?? -1;
      if (from > to) return "branches";
      if (to - from === 1) steps.add(to);
      else if (from !== to) skips = true;
    }
  }
  const inOrder = module.children.every((_, at) => at === 0 || steps.has(at));
  return !inOrder ? "branches" : skips ? "chain with skips" : "chain";
}
