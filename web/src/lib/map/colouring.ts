// What the points of a map are coloured by, and the legend of it.

import type { Arrays } from "../arrays";

export const BY = { label: "label", predicted: "predicted class", correct: "right or wrong", probability: "probability" } as const;
export type By = keyof typeof BY;

export interface Columns {
  labels: string[];
  label: Int32Array; // number of a label, -1 for none
  predicted: Int32Array;
  probability: Float32Array;
  correct: Uint8Array; // 0 wrong, 1 right, 2 unknown
}

export interface Entry {
  id: string; // a label may have any name, also that of the rest
  name: string;
  colour: string;
  count: number;
}

export interface Colouring {
  entries: Entry[]; // of the legend
  of: Uint8Array; // by image, which entry
}

const KINDS = ["#4269d0", "#efb118", "#ff725c", "#3ca951", "#a463f2", "#38b2ac", "#ff8ab7", "#9c6b4e", "#97bbf5"];
export const REST = "rest"; // id of what has no entry of its own
const OTHERS = "#9498a0";
const SHARES = ["#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#f2d81e"]; // viridis, without its ends
const [RIGHT, WRONG] = ["#4269d0", "#ff725c"];

export function columnsOf(arrays: Arrays): Columns {
  const values = <Kind>(name: string) => arrays[name]?.values as Kind;
  return {
    labels: JSON.parse(new TextDecoder().decode(values<Uint8Array>("labels"))) as string[],
    label: values("label"), predicted: values("predicted"), probability: values("probability"), correct: values("correct"),
  };
}

// The ways that tell anything of these images.
export function waysOf({ labels, correct }: Columns): By[] {
  return (Object.keys(BY) as By[]).filter((by) => (by === "label" ? labels.length > 0 : by === "correct" ? correct.some((one) => one < 2) : true));
}

export function colouring(columns: Columns, by: By, className: (index: number) => string): Colouring {
  if (by === "correct") return verdicts(columns.correct);
  if (by === "probability") return shares(columns.probability);
  return by === "label" ? kinds(columns.label, (at) => columns.labels[at] ?? "", "no label") : kinds(columns.predicted, className, "");
}

// The most frequent ones have colours, as many as the eye tells apart.
function kinds(numbers: Int32Array, name: (number: number) => string, none: string): Colouring {
  const counts = new Map<number, number>();
  for (const one of numbers) counts.set(one, (counts.get(one) ?? 0) + 1);
  const frequent = [...counts.keys()].filter((one) => one >= 0).sort((one, other) => (counts.get(other) ?? 0) - (counts.get(one) ?? 0) || one - other).slice(0, KINDS.length);
  const entries = frequent.map((one, at) => ({ id: String(one), name: name(one), colour: KINDS[at] as string, count: counts.get(one) ?? 0 }));
  const rest = numbers.length - entries.reduce((sum, { count }) => sum + count, 0);
  const unlabelled = counts.get(-1) ?? 0;
  if (rest) entries.push({ id: REST, name: rest === unlabelled ? none : "others", colour: OTHERS, count: rest });
  const place = new Map(frequent.map((one, at) => [one, at]));
  return { entries, of: Uint8Array.from(numbers, (one) => place.get(one) ?? frequent.length) };
}

function verdicts(correct: Uint8Array): Colouring {
  const names = [["wrong", WRONG], ["right", RIGHT], ["no class of the net", OTHERS]] as const;
  const entries = names.map(([name, colour], at) => ({ id: name, name, colour, count: correct.reduce((sum, one) => sum + Number(one === at), 0) }));
  return { entries, of: correct };
}

function shares(probability: Float32Array): Colouring {
  const last = SHARES.length - 1;
  const of = Uint8Array.from(probability, (one) => Math.min(Math.max(Math.floor(one * SHARES.length), 0), last));
  const percent = (at: number) => Math.round((100 * at) / SHARES.length);
  const entries = SHARES.map((colour, at) => ({ id: String(at), name: `${percent(at)} – ${percent(at + 1)} %`, colour, count: of.reduce((sum, one) => sum + Number(one === at), 0) }));
  return { entries, of };
}

// The images of an entry, in rising order.
export function rowsOf({ of }: Colouring, entry: number): number[] {
  const rows: number[] = [];
  of.forEach((one, row) => {
    if (one === entry) rows.push(row);
  });
  return rows;
}

// The entry whose images are chosen, all of them and no others; -1 for none.
export function entryOf({ entries, of }: Colouring, picked: readonly number[]): number {
  const entry = of[picked[0] ?? -1] ?? -1;
  return entries[entry]?.count === picked.length && picked.every((row) => of[row] === entry) ? entry : -1;
}

// A colour as red, green and blue, 0 to 255.
export const parts = (colour: string): [number, number, number] => [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16)) as [number, number, number];

const DIM = 40; // opacity of what is not chosen, of 255

// Red, green, blue and opacity of every point.
export function painted({ entries, of }: Colouring, picked: readonly number[]): Uint8Array {
  const colours = entries.map(({ colour }) => parts(colour));
  const found = new Uint8Array(4 * of.length);
  of.forEach((entry, row) => found.set([...(colours[entry] ?? [148, 152, 160]), picked.length ? DIM : 255], 4 * row));
  for (const row of picked) found[4 * row + 3] = 255;
  return found;
}
