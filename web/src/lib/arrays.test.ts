import { describe, expect, it } from "vitest";
import { unpack } from "./arrays";

function packed(head: object, ...parts: ArrayBufferView[]): ArrayBuffer {
  const words = new TextEncoder().encode(JSON.stringify(head));
  const bytes: number[] = [...new Uint8Array(new Uint32Array([words.length]).buffer), ...words];
  for (const part of parts) {
    while (bytes.length % 8) bytes.push(0);
    bytes.push(...new Uint8Array(part.buffer));
  }
  while (bytes.length % 8) bytes.push(0);
  return new Uint8Array(bytes).buffer;
}

describe("packed arrays", () => {
  it("come out as they went in", () => {
    const found = unpack(packed({ a: ["<i4", [2, 3]], b: ["|u1", [3]], c: ["<f4", []], d: ["<i2", [0, 4]], e: ["<f4", [2]] },
      new Int32Array([1, 2, 3, 4, 5, -6]), new Uint8Array([7, 8, 255]), new Float32Array([2.5]), new Int16Array(0), new Float32Array([NaN, -1])));
    expect(found["a"]).toEqual({ values: new Int32Array([1, 2, 3, 4, 5, -6]), shape: [2, 3] });
    expect(found["b"]?.values).toEqual(new Uint8Array([7, 8, 255]));
    expect(found["c"]).toEqual({ values: new Float32Array([2.5]), shape: [] });
    expect(found["d"]?.values.length).toBe(0);
    expect(found["e"]?.values).toEqual(new Float32Array([NaN, -1]));
  });
  it("may be none", () => expect(unpack(packed({}))).toEqual({}));
});
