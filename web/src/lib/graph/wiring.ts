// The layers by number: which ones each reads, and where its module stands in the tree of names.

import type { LayerRecord } from "../types";

export type Node = Pick<LayerRecord, "name" | "aliases" | "kind" | "shape" | "inputs"> & Partial<Pick<LayerRecord, "receptive">>;

export const IMAGE = -1;

export interface Module {
  path: string[];
  children: Module[];
  layers: number[]; // all beneath it, in the order of computation
  layer: number; // the one that a leaf stands for; -1 for a module with children
}

export interface Wiring {
  nodes: readonly Node[];
  reads: number[][]; // by layer; IMAGE is the input
  readers: number[][]; // by layer
  paths: string[][]; // by layer: its innermost name in segments
  tree: Module;
}

export function wire(nodes: readonly Node[]): Wiring {
  const number = new Map<string, number>();
  nodes.forEach((node, at) => [node.name, ...node.aliases].forEach((name) => number.set(name, at)));
  const reads = nodes.map((node) => readBy(node, number));
  const readers: number[][] = nodes.map(() => []);
  reads.forEach((sources, at) => sources.forEach((source) => readers[source]?.push(at)));
  const paths = nodes.map(innermost);
  return { nodes, reads, readers, paths, tree: treeOf(paths) };
}

// A view that reads the image only asks for the number of images.
const MEETING = new Set(["cat", "add", "sub", "mul"]);

function readBy(node: Node, number: ReadonlyMap<string, number>): number[] {
  const found = node.inputs.flatMap((name) => (name === "input" ? [IMAGE] : (number.get(name) ?? [])));
  const layers = found.filter((source) => source !== IMAGE);
  return [...new Set(layers.length && !MEETING.has(node.kind) ? layers : found)];
}

// "layer1.0/add#1" → layer1, 0, /add#1
export const segments = (name: string): string[] => {
  const [owner = "", operator] = name.split("/", 2);
  return [...(owner ? owner.split(".") : []), ...(operator === undefined ? [] : [`/${operator}`])];
};

const innermost = ({ name, aliases }: Node): string[] =>
  [name, ...aliases].map(segments).reduce((deepest, path) => (path.length > deepest.length ? path : deepest));

function treeOf(paths: string[][]): Module {
  const tree: Module = { path: [], children: [], layers: [], layer: -1 };
  const modules = new Map<string, Module>([["", tree]]);
  const inner = new Set(paths.flatMap((path) => path.map((_, depth) => path.slice(0, depth).join(".")).slice(1)));
  paths.forEach((path, layer) => {
    // A module that has layers of its own inside and also gives its last operator its name.
    if (inner.has(path.join("."))) path.push("/");
    let above = tree;
    tree.layers.push(layer);
    path.forEach((_, depth) => {
      const steps = path.slice(0, depth + 1);
      const key = depth + 1 === path.length ? `${steps.join(".")} ${layer}` : steps.join(".");
      let module = modules.get(key);
      if (!module) {
        module = { path: steps, children: [], layers: [], layer: depth + 1 === path.length ? layer : -1 };
        modules.set(key, module);
        above.children.push(module);
      }
      module.layers.push(layer);
      above = module;
    });
  });
  return tree;
}
