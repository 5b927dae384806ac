// What a map by t-SNE is made with: texts of the address, checked, and what is asked for by them.

import { check } from "../image/forms";
import type { Option } from "../types";
import { tsneWords, type Code } from "./numbers";

// What differs from the defaults.
export interface Made {
  perplexity?: number;
  seed?: number;
  begin?: string; // the codes whose map it begins with
}

type Texts = Readonly<Record<string, string>>;
const PERPLEXITY = 30;

// The options of the map of some codes, as a form shows them. Of few images t-SNE cannot have so many neighbours.
export function optionsOf(codes: readonly Code[], name: string, images: number): Option[] {
  const most = (images - 1) / 3;
  const capped = most < PERPLEXITY ? `, at most ${Number(most.toPrecision(3))} of so few images` : "";
  const others = codes.map((code) => code.name).filter((other) => other !== name);
  const none = others.length ? "" : "; `convscope codes` adds codes of other layers";
  return [
    { name: "perplexity", kind: "number", default: PERPLEXITY, minimum: 1, maximum: 1e6, description: `about how many neighbours count, 1 or more${capped}` },
    { name: "seed", kind: "integer", default: 0, minimum: 0, maximum: 2 ** 32 - 1, description: "a whole number: of the start and of samples" },
    { name: "begin", kind: "choice", default: null, choices: others, description: `the codes whose map this one begins with, so that both can be compared${none}` },
  ];
}

// Those that are wrong are left out.
export function madeOf(options: readonly Option[], texts: Texts): Made {
  const found = options.map((option) => [option, check(option, texts[option.name] ?? "").value] as const);
  return Object.fromEntries(found.filter(([option, value]) => value !== undefined && value !== option.default).map(([{ name }, value]) => [name, value])) as Made;
}

// A map that would begin with itself begins as it does by default: so one may go back and forth between two.
export const textIn = ({ name }: Option, texts: Texts, layer: string): string => (name === "begin" && texts[name] === layer ? "" : (texts[name] ?? ""));

export function wrongIn(option: Option, texts: Texts, layer: string): string {
  const text = textIn(option, texts, layer);
  return text && option.choices?.length === 0 ? `there are no codes of ${text}` : check(option, text).wrong;
}

// What was typed as the address has it: "" for the default, "05" as 5.
export function plainOf(option: Option, text: string): string {
  const { value } = check(option, text);
  return value === undefined || value === option.default ? "" : String(value);
}

// Before the map is there to say it itself.
export const madeWords = ({ perplexity = PERPLEXITY, seed = 0, begin = "" }: Made, images: number): string =>
  tsneWords(Math.min(perplexity, (images - 1) / 3), seed, begin);
