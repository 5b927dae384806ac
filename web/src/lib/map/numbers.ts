// The numbers of a map, as the server gives them, and in words.

import { counted, percent, whole } from "../format";

export interface Code {
  name: string; // a layer (the mean over its places), max(layer) or flat(layer)
  dimension: number;
  rectified: boolean;
  maps: string[]; // methods whose maps need not be computed
  grids: string[]; // ways
}

export interface Truth {
  recall: number | null;
  trustworthiness: number | null;
  distances: number | null;
  sample: number;
}

export interface MapPage {
  layer: string;
  dimension: number;
  rectified: boolean;
  method: Method;
  seed: number;
  begun: string;
  laid_out: number;
  perplexity: number | null;
  divergence: number | null;
  images: number;
  truth: Truth;
  pixel_truth: Truth;
  purity: { codes: number | null; map: number | null; pixels: number | null; chance: number | null; images: number };
}

export const METHODS = { tsne: "t-SNE", pca: "principal components" } as const;
export type Method = keyof typeof METHODS;
export const methodOf = (text: string | undefined): Method => (text === "pca" ? "pca" : "tsne");

export const WAYS = { assignment: "all at once", greedy: "cell after cell", exact: "where they lie, first come first served", sorted: "by codes alone" } as const;
export type Way = keyof typeof WAYS;
export const wayOf = (text: string | undefined): Way => (Object.keys(WAYS) as Way[]).find((way) => way === text) ?? "assignment";

// Which codes, of how many numbers, behind what.
export const codeWords = ({ name, dimension, rectified }: Code): string =>
  `Codes of ${name}: ${counted(dimension, "number")} an image, ${rectified ? "behind a rectifier" : "not behind a rectifier"}`;

export function howWords({ method, perplexity, seed, images, laid_out, begun }: MapPage): string {
  if (method === "pca") return "their first two principal components";
  const placed = images > laid_out ? `, ${whole(images - laid_out)} images placed among ${whole(laid_out)}` : "";
  return `${tsneWords(perplexity ?? 0, seed, begun)}${placed}`;
}

export const tsneWords = (perplexity: number, seed: number, begun: string): string =>
  `by t-SNE, perplexity ${Number(perplexity.toPrecision(3))}, seed ${seed}${begun ? `, begun with the map of ${begun}` : ""}`;

// The main finding in one sentence; "" where images have no labels.
export function purityWords({ purity: { codes, map, pixels, chance } }: MapPage): string {
  if (codes === null) return "The images have no labels, so nothing is said of what is alike.";
  return `Of an image’s 10 nearest by code ${percent(codes)} have its label, on the map ${percent(map)}; of its nearest by pixels ${percent(pixels)}, and by chance ${percent(chance)}.`;
}

export const decimal = (value: number | null): string => (value === null ? "–" : value.toFixed(2).replace("-", "−"));

export interface Line {
  name: string;
  says: string;
  codes: string;
  map: string;
  pixels: string;
  chance: string;
}

export function linesOf({ purity, truth, pixel_truth }: MapPage): Line[] {
  return [
    { name: "10 nearest with the same label", says: "purity", codes: percent(purity.codes), map: percent(purity.map), pixels: percent(purity.pixels), chance: percent(purity.chance) },
    { name: "the map keeps of the 10 nearest", says: "recall", codes: percent(truth.recall), map: "", pixels: percent(pixel_truth.recall), chance: "" },
    { name: "near on the map, near indeed", says: "trustworthiness", codes: decimal(truth.trustworthiness), map: "", pixels: decimal(pixel_truth.trustworthiness), chance: "0.50" },
    { name: "distances go with those on the map", says: "rank correlation", codes: decimal(truth.distances), map: "", pixels: decimal(pixel_truth.distances), chance: "0.00" },
  ];
}
