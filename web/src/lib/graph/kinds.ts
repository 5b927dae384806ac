// What the operators are to a drawing: which carry weights, which only follow, and what people call them.

import { IMAGE, type Wiring } from "./wiring";

export type Role = "weights" | "pool" | "meeting" | "norm" | "activation" | "shape" | "other";

const ROLES: [RegExp, Role][] = [
  [/^(conv|linear|addmm|mm|matmul|bilinear)/, "weights"],
  [/pool/, "pool"],
  [/^(add|cat|stack|mul|sub|div)$/, "meeting"],
  [/norm/, "norm"],
  [/^(view|reshape|flatten|pad|constant_pad|permute|transpose|squeeze|unsqueeze|dropout|feature_dropout|alpha_dropout|identity|contiguous|clone|expand|getitem)/, "shape"],
  [/(relu|elu|gelu|silu|swish|mish|sigmoid|tanh|softplus|clamp|threshold|softmax|selu|hardtanh)/, "activation"],
];

export const role = (kind: string): Role => ROLES.find(([pattern]) => pattern.test(kind))?.[1] ?? "other";

const WORDS: Record<string, string> = {
  max_pool2d: "max pool", avg_pool2d: "average pool", adaptive_avg_pool2d: "average pool", adaptive_max_pool2d: "max pool",
  conv_transpose2d: "transposed conv", conv2d: "conv", mean: "average pool", cat: "concat",
};

export const word = (kind: string): string => WORDS[kind] ?? kind.replace(/(_?[12]d)$/, "").replaceAll("_", " ");

// The window of a convolution or pool, from how much more its cells see than those that they read; null where that is not known.
export function windowOf({ nodes, reads }: Wiring, layer: number): [number, number] | null {
  const source = reads[layer]?.[0];
  if (!/^(conv|max_pool|avg_pool)/.test(nodes[layer]?.kind ?? "")) return null;
  const after = nodes[layer]?.receptive;
  const before = source === undefined || source === IMAGE ? null : nodes[source]?.receptive;
  if (!after?.size || before === undefined || (before && (!before.size || !before.stride))) return null;
  const [rows, columns] = [0, 1].map((axis) => {
    const wider = (after.size?.[axis] ?? 0) - (before?.size?.[axis] ?? 1);
    return wider / (before?.stride?.[axis] ?? 1) + 1;
  }) as [number, number];
  const sound = [rows, columns].every((side) => Number.isInteger(side) && side >= 1 && side < 32);
  return sound ? [rows, columns] : null;
}

// "conv 3×3", "max pool 2×2", "linear"
export function title(wiring: Wiring, layer: number): string {
  const node = wiring.nodes[layer];
  if (!node) return "";
  const what = node.shape.length === 1 && role(node.kind) === "weights" ? "linear" : word(node.kind);
  const seen = windowOf(wiring, layer);
  return seen ? `${what} ${seen.join("×")}` : what;
}
