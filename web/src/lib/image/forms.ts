// A technique's form: texts that people type, the values that they stand for, and the body that is sent.

import type { Selection } from "../address";
import type { Form, Option, Range } from "../types";

export interface Checked {
  value: unknown; // undefined where the default holds
  wrong: string; // why the text is none of the option's values
}

export interface Subject {
  image: string;
  layer: string;
}

export const NOTHING = "∅"; // typed for an option that may be nothing, and is something by default
const LONGEST = 10_000; // items of a range

// The address holds what differs from the defaults: "occlusion.window".
export const keyOf = (form: Form, name: string): string => `${form.name}.${name}`;

export function textOf(option: Option, value: unknown): string {
  if (value === null || value === undefined) return "";
  if (option.kind === "flag") return value ? "yes" : "no";
  return Array.isArray(value) ? value.join(", ") : String(value);
}

export function check(option: Option, text: string, limits: Range = {}): Checked {
  const typed = text.trim();
  if (typed === "" || typed === textOf(option, option.default)) return { value: undefined, wrong: "" };
  if (typed === NOTHING && option.optional) return { value: null, wrong: "" };
  switch (option.kind) {
    case "integer":
    case "number": {
      const value = Number(typed.replace("−", "-"));
      const wrong = wrongNumber(option, option.kind, value);
      return wrong ? { value: undefined, wrong: `has to be ${wrong}` } : { value, wrong: "" };
    }
    case "choice": {
      const found = option.choices?.find((choice) => String(choice) === typed);
      return found === undefined ? { value: undefined, wrong: `has to be one of ${option.choices?.join(", ")}` } : { value: found, wrong: "" };
    }
    case "flag":
      return { value: typed === "yes", wrong: "" };
    case "list":
      return checkList(option, typed, limits);
    case "text":
      return { value: typed, wrong: "" };
  }
}

function wrongNumber({ minimum, maximum, above, below }: Range, kind: string, value: number): string {
  if (!Number.isFinite(value)) return "a number";
  if (kind === "integer" && !Number.isInteger(value)) return "a whole number";
  if (minimum !== undefined && value < minimum) return `at least ${minimum}`;
  if (above !== undefined && value <= above) return `above ${above}`;
  if (maximum !== undefined && value > maximum) return `at most ${maximum}`;
  if (below !== undefined && value >= below) return `below ${below}`;
  return "";
}

// "3, 5" are numbers, and so are "0-10, 15"; "a, b" are words.
function checkList({ items }: Option, text: string, limits: Range): Checked {
  const wrong = (words: string) => ({ value: undefined, wrong: words });
  const words = text.split(/[,\s]+/).filter(Boolean);
  if (items?.kind === "text") return { value: words, wrong: "" };
  const values: (string | number)[] = [];
  for (const word of words) {
    const [, first, last] = /^(\d+)[-–](\d+)$/.exec(word) ?? [];
    const [from, to] = [Number(first ?? word), Number(last ?? word)];
    if (first === undefined && !Number.isFinite(from)) {
      if (items) return wrong(`${word} is no number`);
      values.push(word);
      continue;
    }
    if (from > to) return wrong(`${word} runs backwards`);
    for (const end of [from, to]) {
      const broken = wrongNumber({ ...items, ...limits }, items?.kind ?? "number", end);
      if (broken) return wrong(`${end} has to be ${broken}`);
    }
    if (to - from > LONGEST) return wrong(`${word} are too many`);
    for (let value = from; value <= to; value += 1) values.push(value);
  }
  return { value: values.every((value) => typeof value === "number") ? values : words, wrong: "" };
}

export const rangeWords = ({ minimum, maximum, above, below }: Range): string =>
  [
    minimum === undefined ? "" : `at least ${minimum}`,
    above === undefined ? "" : `above ${above}`,
    maximum === undefined ? "" : `at most ${maximum}`,
    below === undefined ? "" : `below ${below}`,
  ].filter(Boolean).join(", ");

// What is wrong with the options, by name. A list of units is one of the layer's units, if the form asks for a layer.
export function wrongs(form: Form, texts: Record<string, string>, units?: number): Record<string, string> {
  const limited = form.takes.includes("layer") && units !== undefined;
  const found = form.options.map((option) => {
    const limits = limited && option.name === "units" ? { maximum: units - 1 } : {};
    return [option.name, check(option, texts[keyOf(form, option.name)] ?? "", limits).wrong];
  });
  return Object.fromEntries(found.filter(([, wrong]) => wrong));
}

export interface Refusal {
  problem?: string;
  hint?: string;
  field?: string;
}

// Beside its field a refusal need not name it: "occlusion: window is 0" is what stands there.
export function refusalWords(form: Form, { problem = "", hint = "", field = "" }: Refusal): string {
  const named = problem.startsWith(`${form.name}: ${field}`) && hint;
  return named ? hint : [problem, hint].filter(Boolean).join("; ");
}

// Where a form shows what is wrong with a field; the image has none in it.
export const hasField = (form: Form, field: string): boolean =>
  form.options.some(({ name }) => name === field) || ["layer", "target", "image_b"].some((part) => part === field && form.takes.some((taken) => taken === part));

// What is sent: the subject as far as the technique takes it, and the options that differ from their defaults.
export function bodyOf(form: Form, texts: Record<string, string>, subject: Subject): Record<string, unknown> {
  const typed = (name: string) => (texts[keyOf(form, name)] ?? "").trim();
  const body: Record<string, unknown> = {};
  for (const part of form.takes) {
    if (part === "image" || part === "image_a") body[part] = subject.image;
    else if (part === "layer") body["layer"] = typed("layer") || subject.layer;
    else if (typed(part)) body[part] = typed(part);
  }
  for (const option of form.options) {
    const { value } = check(option, texts[keyOf(form, option.name)] ?? "");
    if (value !== undefined) body[option.name] = value;
  }
  return body;
}

// Why the form cannot be sent, apart from wrong options.
export function lacking(form: Form, body: Record<string, unknown>): string {
  return form.takes.includes("image_b") && !body["image_b"] ? "Choose the second image." : "";
}

// "class_model" → "class model"
export const words = (name: string): string => name.replaceAll("_", " ");

// The selected unit as a target: "layer4:17@5,2".
export function targetOf({ layer, unit, place }: Pick<Selection, "layer" | "unit" | "place">): string {
  if (!layer || unit === null) return "";
  return `${layer}:${unit}${place ? `@${place.join(",")}` : ""}`;
}
