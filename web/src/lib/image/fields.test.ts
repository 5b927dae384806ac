import { expect, it } from "vitest";
import type { LayerRecord } from "../types";
import { boxAt, lackWords, sightWords } from "./fields";

const fields = {
  rows: { values: Int32Array.of(-3, 4, 4, 12, 0, 0), shape: [3, 2] },
  columns: { values: Int32Array.of(0, 8, 6, 20), shape: [2, 2] },
};

it("a place sees its rows and columns, inside the image", () => {
  expect(boxAt(fields, [0, 1], [10, 16])).toEqual({ top: 0, left: 6, bottom: 4, right: 16 });
  expect(boxAt(fields, [1, 0], [10, 16])).toEqual({ top: 4, left: 0, bottom: 10, right: 8 });
  expect(boxAt(fields, [2, 0], [10, 16])).toBeNull();
  expect(boxAt({}, [0, 0], [10, 16])).toBeNull();
});

it("what it sees is said in words", () => {
  expect(sightWords(null, [10, 16])).toBe("sees nothing of the image");
  expect(sightWords({ top: 0, left: 0, bottom: 10, right: 16 }, [10, 16])).toBe("sees the whole image");
  expect(sightWords({ top: 1, left: 2, bottom: 5, right: 12 }, [10, 16])).toBe("sees 4 × 10 px");
});

it("names units and places that a layer does not have", () => {
  const layer = (...shape: number[]) => ({ name: "bn1", shape }) as LayerRecord;
  expect(lackWords(layer(32, 56, 56), { unit: 900, place: null })).toBe("bn1 has 32 units, so 900 is none");
  expect(lackWords(layer(32, 56, 40), { unit: 3, place: [4, 40] })).toBe("maps of bn1 have 56 × 40 places, so 4,40 is none");
  expect(lackWords(layer(10), { unit: 3, place: [1, 0] })).toBe("bn1 has no places, so 1,0 is none");
  for (const found of [{ unit: 31, place: [55, 39] as [number, number] }, { unit: null, place: null }]) expect(lackWords(layer(32, 56, 40), found)).toBe("");
});
