import { describe, expect, it, test } from "vitest";
import type { Form, Option } from "../types";
import { bodyOf, check, hasField, keyOf, lacking, NOTHING, rangeWords, refusalWords, targetOf, textOf, words, wrongs } from "./forms";

const option = (more: Partial<Option>): Option => ({ name: "window", kind: "integer", description: "", default: 32, ...more });
const form: Form = {
  name: "occlusion",
  summary: "",
  takes: ["image", "target"],
  options: [
    option({ minimum: 1 }),
    option({ name: "fill", kind: "choice", default: "zero", choices: ["zero", "mean"] }),
    option({ name: "units", kind: "list", default: [] }),
    option({ name: "smooth", kind: "flag", default: false }),
  ],
};
const subject = { image: "7", layer: "layer1" };

describe("texts", () => {
  it("show values as people type them", () => {
    expect(textOf(option({}), 32)).toBe("32");
    expect(textOf(option({ kind: "flag" }), true)).toBe("yes");
    expect(textOf(option({ kind: "list" }), [3, 4])).toBe("3, 4");
    expect(textOf(option({}), null)).toBe("");
  });
});

describe("check", () => {
  it("gives no value for the default", () => {
    for (const text of ["", " 32 "]) expect(check(option({}), text)).toEqual({ value: undefined, wrong: "" });
  });

  it("reads each kind", () => {
    expect(check(option({}), "16").value).toBe(16);
    expect(check(option({ kind: "number" }), "−1.5").value).toBe(-1.5);
    expect(check(option({ kind: "choice", default: 1, choices: [1, 2] }), "2").value).toBe(2);
    expect(check(option({ kind: "flag", default: true }), "no").value).toBe(false);
    expect(check(option({ kind: "list", default: [] }), "3, 5 8").value).toEqual([3, 5, 8]);
    expect(check(option({ kind: "list", default: [] }), "a,b").value).toEqual(["a", "b"]);
    expect(check(option({ kind: "text", default: "" }), " x ").value).toBe("x");
  });

  it("says what is wrong", () => {
    expect(check(option({}), "x").wrong).toBe("has to be a number");
    expect(check(option({}), "1.5").wrong).toBe("has to be a whole number");
    expect(check(option({ minimum: 1 }), "0").wrong).toBe("has to be at least 1");
    expect(check(option({ maximum: 9 }), "10").wrong).toBe("has to be at most 9");
    expect(check(option({ kind: "choice", choices: ["a", "b"] }), "c").wrong).toBe("has to be one of a, b");
  });
});

describe("ranges", () => {
  const open = option({ kind: "number", default: 0.5, above: 0, below: 1 });

  it("hold their ends or not", () => {
    expect(rangeWords(option({ minimum: 1, maximum: 9 }))).toBe("at least 1, at most 9");
    expect(rangeWords(open)).toBe("above 0, below 1");
    expect(check(open, "0").wrong).toBe("has to be above 0");
    expect(check(open, "1").wrong).toBe("has to be below 1");
    expect(check(open, "0.9").value).toBe(0.9);
  });

  it("may be emptied where nothing is allowed", () => {
    const some = option({ optional: true });
    expect(check(some, NOTHING)).toEqual({ value: null, wrong: "" });
    expect(check(option({}), NOTHING).wrong).toBe("has to be a number");
    expect(bodyOf({ ...form, options: [some] }, { "occlusion.window": NOTHING }, subject)).toEqual({ image: "7", window: null });
  });
});

describe("lists", () => {
  const units = option({ name: "units", kind: "list", default: [], items: { kind: "integer", minimum: 0 } });
  const layered: Form = { ...form, takes: ["layer"], options: [units] };

  it("take ranges", () => {
    expect(check(units, "0-3, 15").value).toEqual([0, 1, 2, 3, 15]);
    expect(check(units, "0–2 2").value).toEqual([0, 1, 2, 2]);
    expect(check(option({ kind: "list", default: [], items: { kind: "text" } }), "a-b, 3-5").value).toEqual(["a-b", "3-5"]);
  });

  it("say which item is wrong", () => {
    expect(check(units, "3, x").wrong).toBe("x is no number");
    expect(check(units, "9-3").wrong).toBe("9-3 runs backwards");
    expect(check(units, "-1").wrong).toBe("-1 has to be at least 0");
    expect(check(units, "1.5").wrong).toBe("1.5 has to be a whole number");
    expect(check(units, "0-999999").wrong).toBe("0-999999 are too many");
  });

  it("of units stay within the layer", () => {
    expect(wrongs(layered, { "occlusion.units": "0-40" }, 32)).toEqual({ units: "40 has to be at most 31" });
    expect(wrongs(layered, { "occlusion.units": "0-31" }, 32)).toEqual({});
    expect(wrongs(layered, { "occlusion.units": "0-40" })).toEqual({});
  });
});

describe("refusals", () => {
  it("name their field once", () => {
    expect(refusalWords(form, { problem: "occlusion: window is 0", hint: "Input should be at least 1", field: "window" })).toBe("Input should be at least 1");
    expect(refusalWords(form, { problem: "there is no layer 'conv'", hint: "did you mean 'conv1'?", field: "layer" })).toBe("there is no layer 'conv'; did you mean 'conv1'?");
    expect(refusalWords(form, { problem: "occlusion: window is 0", field: "window" })).toBe("occlusion: window is 0");
  });

  it("stand at a field that the form has", () => {
    expect(["window", "target", "layer", "image", ""].map((field) => hasField(form, field))).toEqual([true, true, false, false, false]);
  });
});

describe("body", () => {
  it("holds the subject and what differs from the defaults", () => {
    expect(bodyOf(form, {}, subject)).toEqual({ image: "7" });
    const texts = { [keyOf(form, "window")]: "16", [keyOf(form, "target")]: "tripod", [keyOf(form, "fill")]: "zero", "other.window": "3" };
    expect(bodyOf(form, texts, subject)).toEqual({ image: "7", target: "tripod", window: 16 });
  });

  it("leaves out what is wrong, which is named", () => {
    const texts = { "occlusion.window": "-1" };
    expect(bodyOf(form, texts, subject)).toEqual({ image: "7" });
    expect(wrongs(form, texts)).toEqual({ window: "has to be at least 1" });
  });

  it("takes the chosen layer unless another is typed", () => {
    const filters: Form = { ...form, name: "filters", takes: ["layer"], options: [] };
    expect(bodyOf(filters, {}, subject)).toEqual({ layer: "layer1" });
    expect(bodyOf(filters, { "filters.layer": "conv1" }, subject)).toEqual({ layer: "conv1" });
  });

  it("lacks a second image until one is typed", () => {
    const two: Form = { ...form, name: "correspond", takes: ["image_a", "image_b"], options: [] };
    expect(lacking(two, bodyOf(two, {}, subject))).toBe("Choose the second image.");
    const body = bodyOf(two, { "correspond.image_b": "9" }, subject);
    expect(body).toEqual({ image_a: "7", image_b: "9" });
    expect(lacking(two, body)).toBe("");
  });
});

it("names are words", () => expect(words("class_model")).toBe("class model"));

test("the selected unit is a target", () => {
  expect(targetOf({ layer: "a.b", unit: 7, place: [5, 2] })).toBe("a.b:7@5,2");
  expect(targetOf({ layer: "a.b", unit: 0, place: null })).toBe("a.b:0");
  expect(targetOf({ layer: "a.b", unit: null, place: null })).toBe("");
  expect(targetOf({ layer: "", unit: 1, place: null })).toBe("");
});
