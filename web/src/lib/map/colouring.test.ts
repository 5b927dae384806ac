import { describe, expect, it } from "vitest";
import { colouring, columnsOf, entryOf, painted, parts, REST, rowsOf, waysOf, type Columns } from "./colouring";

const columns: Columns = {
  labels: ["cat", "dog"], label: Int32Array.of(1, 1, 0, -1), predicted: Int32Array.of(7, 7, 7, 3),
  probability: Float32Array.of(0, 0.5, 1, NaN), correct: Uint8Array.of(1, 0, 2, 2),
};
const name = (one: number) => `class ${one}`;

describe("colours of points", () => {
  it("go by label, the most frequent first", () => {
    const { entries, of } = colouring(columns, "label", name);
    expect(entries.map(({ name, count }) => [name, count])).toEqual([["dog", 2], ["cat", 1], ["no label", 1]]);
    expect([...of]).toEqual([0, 0, 1, 2]);
  });
  it("go by the predicted class, rare ones together", () => {
    const many = { ...columns, predicted: Int32Array.from({ length: 40 }, (_, at) => at % 20) };
    const { entries, of } = colouring(many, "predicted", name);
    expect(entries).toHaveLength(10);
    expect(entries.at(-1)).toMatchObject({ name: "others", count: 22 });
    expect(of[19]).toBe(9);
    expect(new Set(entries.map(({ colour }) => colour)).size).toBe(10);
  });
  it("go by right and wrong, and by probability", () => {
    expect(colouring(columns, "correct", name).entries.map(({ name, count }) => [name, count])).toEqual([["wrong", 1], ["right", 1], ["no class of the net", 2]]);
    const { entries, of } = colouring(columns, "probability", name);
    expect([entries.length, ...of]).toEqual([8, 0, 4, 7, 0]);
    expect(entries[0]?.name).toBe("0 – 13 %");
  });
  it("tell entries apart by more than their names", () => {
    const labels = ["others", ...Array.from({ length: 11 }, (_, at) => `${at}`)];
    const { entries, of } = colouring({ ...columns, labels, label: Int32Array.of(0, 0, ...labels.map((_, at) => at)) }, "label", name);
    expect([entries[0], entries.at(-1)]).toMatchObject([{ name: "others", count: 3 }, { id: REST, name: "others", count: 3 }]);
    for (const by of ["label", "predicted", "correct", "probability"] as const) {
      const ids = colouring({ ...columns, labels }, by, () => "alike").entries.map(({ id }) => id);
      expect(new Set(ids).size).toBe(ids.length);
    }
    expect(rowsOf({ entries, of }, 0)).toEqual([0, 1, 2]);
  });
  it("choose all images of an entry, and know them again", () => {
    const colours = colouring(columns, "label", name);
    expect(colours.entries.map((_, entry) => rowsOf(colours, entry))).toEqual([[0, 1], [2], [3]]);
    expect([[], [0, 1], [0], [0, 2], [3], [0, 1, 2, 3]].map((rows) => entryOf(colours, rows))).toEqual([-1, 0, -1, -1, 2, -1]);
    expect(entryOf({ entries: [], of: new Uint8Array() }, [])).toBe(-1);
  });
  it("are offered where they tell anything", () => {
    expect(waysOf(columns)).toEqual(["label", "predicted", "correct", "probability"]);
    expect(waysOf({ ...columns, labels: [], correct: Uint8Array.of(2, 2, 2, 2) })).toEqual(["predicted", "probability"]);
  });
  it("dim what is not chosen", () => {
    const colours = colouring(columns, "correct", name);
    const opacity = (picked: number[]) => [3, 7, 11, 15].map((at) => painted(colours, picked)[at]);
    expect(opacity([])).toEqual([255, 255, 255, 255]);
    expect(opacity([2])).toEqual([40, 40, 255, 40]);
    expect([...painted(colours, []).subarray(0, 3)]).toEqual(parts(colours.entries[1]?.colour ?? ""));
  });
  it("come as arrays, labels as JSON", () => {
    const text = new TextEncoder().encode('["ä"]');
    const array = (values: Int32Array | Uint8Array | Float32Array) => ({ values, shape: [values.length] });
    const found = columnsOf({ labels: array(text), label: array(Int32Array.of(0)), predicted: array(Int32Array.of(0)), probability: array(Float32Array.of(1)), correct: array(Uint8Array.of(1)) });
    expect([found.labels, [...found.label]]).toEqual([["ä"], [0]]);
  });
});
