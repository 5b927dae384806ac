// What the server (or an offline file) answers. One shape a path; paths are in api.ts.

export type Numbers = (number | null)[];

export interface Receptive {
  status: "exact" | "whole image";
  size: [number, number] | null; // rows, columns, px of the net's input
  stride: [number, number] | null;
  offset: [number, number] | null;
}

export interface LayerRecord {
  name: string;
  aliases: string[]; // other names of the same value, the innermost module last
  kind: string; // the operator: conv2d, relu, add, …
  shape: number[]; // [C, H, W] of a map, [C] of a vector
  inputs: string[]; // names of the layers that it reads; "input" is the image
  rectified: boolean;
  receptive: Receptive;
}

export interface NetRecord {
  name: string;
  fingerprint: string;
  classes: number;
  labels: string[] | null;
  size: [number, number]; // height, width
  output: string; // the layer of the scores
  layers: LayerRecord[]; // all of them, in the order of computation
}

export interface Rate {
  right: number;
  of: number;
  low: number; // Wilson's 95 % interval
  high: number;
}

// Arrays over the followed layers, in the order of `layers`; null where a number has no meaning.
export interface Health {
  layers: string[];
  units: number[];
  dead: Numbers; // never above 0 on all images
  rare: Numbers; // above 0 on fewer than 1 % of them
  still: Numbers; // no gradient reaches them
  zeros: Numbers; // share of activations that are exactly 0
  hoyer: Numbers; // sparsity: 0 all alike, 1 a single one
  radius: Numbers; // share of the map's half diagonal: 0 a point, about 0.58 even
  sample: number; // images behind zeros, hoyer and radius
  gradientSample: number;
}

export interface Confusion {
  label: string;
  predicted: number; // class
  count: number;
}

export interface Group {
  label: string | null;
  count: number;
  frequent: [number, number][]; // class, how often it is predicted
  accuracy: Rate | null;
}

export interface Verdict {
  owner: string; // the convolution or linear layer whose filters they are
  grade: string; // smooth, partly smooth, patterned, noisy
  verdict: string; // a sentence
}

export interface Atlas {
  note: string;
  count: number; // images
  skipped: number; // files
  net: NetRecord;
  suggested: string[]; // one followed layer per stage, and the output
  examples: { layer: string; units: number[] }[]; // units that show well what a layer looks for
  health: Health;
  verdicts: Record<string, Verdict>; // by followed layer
  accuracy: Rate | null;
  confusions: Confusion[];
  groups: Group[];
  techniques: Form[];
  trials: Record<string, string[]>; // of a report: image → the jobs whose results are in the file
}

export interface Live {
  state: "off" | "opening" | "on";
  reason: string; // why it is off
  hint: string;
  device: string;
}

export interface Picture {
  width: number;
  height: number;
  bytes: string; // WebP in base64
}

export interface LayerPage {
  name: string;
  silences: boolean; // whether a unit that never rises above 0 does nothing
  quantity: string; // activation, or score (logit)
  ceiling: number | null;
  saturated: number; // units all of whose patches reach the ceiling
  dead: number;
  bound: number; // a dead unit fires on fewer than this share of such images (95 % confidence)
  rare: number;
  still: number;
  zeros: number | null;
  hoyer: number | null;
  histograms: { low: number; high: number; limit: number; picture: Picture };
  filters: FilterPage | null;
  maps: { row: number; low: number; high: number; shown: number; picture: Picture }[];
}

export interface FilterPage {
  name: string;
  first: boolean; // whether it reads red, green and blue
  filters: number;
  channels: number;
  size: [number, number];
  grade: string;
  verdict: string;
  picture: Picture | null; // the first `shown` filters, `across` in a row, one clear cell between them
  shown?: number;
  across?: number;
  limit?: number; // the scale is ± this
}

// units.bin: one entry a unit, in the order of `units`
export interface Units {
  units: Int32Array; // their numbers; all of them from a server
  maximum: Float32Array;
  mean: Float32Array;
  activeImages: Float32Array; // share of the images
  activePlaces: Float32Array;
  state: Uint8Array; // 1 dead, 2 rarely active, 4 no gradient
  strongest: Strips;
  middle: Strips;
  directions: Strips; // random directions: the control
  classes: Int32Array; // (U, 5), -1 for none
  classMeans: Float32Array; // (U, 5)
  classCounts: Int32Array; // (U, 5)
}

export interface Strips {
  k: number;
  rows: Int32Array; // (n, k) in the atlas's images; -1 for none
  values: Float32Array; // (n, k)
  places: Int16Array; // (n, k, 2)
  boxes: Int16Array; // (n, k, 4) top, left, bottom, right, px of the net's input
}

export interface ImageRow {
  row: number;
  name: string;
  label: string | null;
  predicted: number;
  probability: number | null;
  correct: boolean | null;
}

export interface ImagePage extends ImageRow {
  height: number; // of the original
  width: number;
  top: [number, number | null][]; // class, probability
}

export interface Upload {
  image: string; // "upload-…": what stands for a row
  name: string;
  height: number;
  width: number;
  top: [number, number | null][];
}

export interface Range {
  minimum?: number;
  maximum?: number;
  above?: number; // like minimum and maximum, without the end itself
  below?: number;
}

// One option of a technique, as a form shows it.
export interface Option extends Range {
  name: string;
  kind: "integer" | "number" | "choice" | "flag" | "text" | "list";
  description: string;
  default: unknown;
  choices?: (string | number)[];
  optional?: boolean; // whether it may be nothing
  items?: Range & { kind: "integer" | "number" | "flag" | "text" }; // of a list
}

export interface Form {
  name: string;
  summary: string;
  takes: ("image" | "layer" | "target" | "image_a" | "image_b")[]; // what comes from the selection
  options: Option[];
}

export interface Panel {
  kind: "tiles" | "image" | "heat map" | "curve" | "table" | "scatter";
  title: string;
  caption: string;
  width: number; // CSS px
  height: number;
  picture: string; // path; ?dark=1 for dark paper, &low=…&high=… for a shared scale
  numbers: string; // path of its JSON
  scale: { quantity: string; low: number; high: number; signed: boolean } | null;
}

export interface Job {
  id: string;
  technique: string;
  title: string; // technique, image, layer, options that differ from their defaults
  asked: Record<string, string | number | boolean>; // what the request gave, without long lists
  state: "waiting" | "running" | "done" | "failed" | "stopped";
  done: number;
  total: number;
  unit: string;
  seconds: number; // since it began to run
  said: string; // the last sentence
  problem: string;
  hint: string;
  panels: Panel[]; // of the result, or of a preview while it runs
}

// The weights that feed one unit, strongest channel first.
export interface Feeding {
  layer: string; // the convolution or linear layer
  reads: string; // the followed layer whose units are the channels; "input", or "" where there is none
  colours: boolean; // whether the channels are red, green and blue
  channels: number[];
  norms: number[];
  share: number; // of the filter's energy in the channels shown
  total: number; // channels
  size: [number, number];
  limit: number; // the greatest size of any weight
  kernels: number[][]; // row by row
}

// What the net says of an image behind a square.
export interface Behind {
  top: [number, number][]; // the most probable classes now, with their probabilities
  before: [number, number][]; // without the square
  now: number[]; // of the classes in `before`
  box: [number, number, number, number]; // top, left, bottom, right, px of the net's input
  milliseconds: number;
}
