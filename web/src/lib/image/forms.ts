// A technique's form: texts that people type, the values that they stand for, and the body that is sent.

import type { Form, Option } from "../types";

export interface Checked {
  value: unknown; // undefined where the default holds
  wrong: string; // why the text is none of the option's values
}

export interface Subject {
  image: string;
  layer: string;
}

// The address holds what differs from the defaults: "occlusion.window".
export const keyOf = (form: Form, name: string): string => `${form.name}.${name}`;

export function textOf(option: Option, value: unknown): string {
  if (value === null || value === undefined) return "";
  if (option.kind === "flag") return value ? "yes" : "no";
  return Array.isArray(value) ? value.join(", ") : String(value);
}

export function check(option: Option, text: string): Checked {
  const typed = text.trim();
  if (typed === "" || typed === textOf(option, option.default)) return { value: undefined, wrong: "" };
  switch (option.kind) {
    case "integer":
    case "number":
      return checkNumber(option, Number(typed.replace("−", "-")));
    case "choice": {
      const found = option.choices?.find((choice) => String(choice) === typed);
      return found === undefined ? { value: undefined, wrong: `has to be one of ${option.choices?.join(", ")}` } : { value: found, wrong: "" };
    }
    case "flag":
      return { value: typed === "yes", wrong: "" };
    case "list":
      return { value: items(typed), wrong: "" };
    case "text":
      return { value: typed, wrong: "" };
  }
}

function checkNumber({ kind, minimum, maximum }: Option, value: number): Checked {
  const wrong = (words: string) => ({ value: undefined, wrong: words });
  if (!Number.isFinite(value)) return wrong("has to be a number");
  if (kind === "integer" && !Number.isInteger(value)) return wrong("has to be a whole number");
  if (minimum !== undefined && value < minimum) return wrong(`has to be at least ${minimum}`);
  if (maximum !== undefined && value > maximum) return wrong(`has to be at most ${maximum}`);
  return { value, wrong: "" };
}

// "3, 5" are numbers, "a, b" are words.
function items(text: string): (string | number)[] {
  const words = text.split(/[,\s]+/).filter(Boolean);
  const numbers = words.map(Number);
  return numbers.every(Number.isFinite) ? numbers : words;
}

export function wrongs(form: Form, texts: Record<string, string>): Record<string, string> {
  const found = form.options.map((option) => [option.name, check(option, texts[keyOf(form, option.name)] ?? "").wrong]);
  return Object.fromEntries(found.filter(([, wrong]) => wrong));
}

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
