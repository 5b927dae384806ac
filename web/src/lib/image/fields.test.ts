import { expect, it } from "vitest";
import { boxAt, sightWords } from "./fields";

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
