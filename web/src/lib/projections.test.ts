import { expect, test } from "vitest";
import { METHODS, methodAfter, methodOf, readColours, type Method } from "./projections";
import { frameOf } from "./tiles";

test("an address names a method or none", () => {
  expect(methodOf("guided_backprop")).toBe("guided_backprop");
  for (const text of [undefined, "", "magic", "toString"]) expect(methodOf(text)).toBe("");
});

test("the key goes through all methods and back to none", () => {
  const seen: Method[] = [];
  for (let method = methodAfter(""); method; method = methodAfter(method)) seen.push(method);
  expect(["", ...seen]).toEqual(Object.keys(METHODS));
});

test("the server's arrays become colours, each in its box", () => {
  const found = readColours({
    rows: { values: Int32Array.of(7, 2), shape: [2] },
    boxes: { values: Int32Array.of(3, 4, 5, 5, 0, 0, 1, 1), shape: [2, 4] },
    greatest: { values: Float32Array.of(0.5, 0), shape: [2] },
    picture0: { values: Uint8Array.of(1, 2, 3, 4, 5, 6), shape: [2, 1, 3] },
    picture1: { values: Uint8Array.of(128, 128, 128), shape: [1, 1, 3] },
  });
  expect(found).toEqual([
    { row: 7, box: [3, 4, 5, 5], width: 1, height: 2, rgba: Uint8ClampedArray.of(1, 2, 3, 255, 4, 5, 6, 255), silent: false },
    { row: 2, box: [0, 0, 1, 1], width: 1, height: 1, rgba: Uint8ClampedArray.of(128, 128, 128, 255), silent: true },
  ]);
  expect(readColours({})).toEqual([]);
});

test("a frame is centred in its tile and holds its box", () => {
  const box = { top: 10, left: 0, bottom: 110, right: 60 };
  const { cut, scale, left, top, width, height } = frameOf(box, 100, 50, 112, [120, 80]);
  expect([cut.rows, cut.columns]).toEqual([120, 80]);
  expect(scale).toBeCloseTo(112 / 120);
  expect([left, top]).toEqual([100 + (112 - width) / 2, 50]);
  expect(height).toBeCloseTo(112);
  expect(left + (box.right - cut.left) * scale).toBeLessThanOrEqual(left + width);
});
