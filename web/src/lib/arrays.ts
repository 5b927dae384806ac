// Several arrays in one answer: a little-endian uint32 length, JSON {name: [dtype, shape]} of that many bytes, then
// the arrays one after another, each beginning at a multiple of 8 from the start.

export type Typed = Float32Array | Int32Array | Int16Array | Uint8Array;

export interface Arrays {
  [name: string]: { values: Typed; shape: number[] };
}

const kinds = { "<f4": Float32Array, "<i4": Int32Array, "<i2": Int16Array, "|u1": Uint8Array } as const;

export function unpack(buffer: ArrayBuffer): Arrays {
  const length = new DataView(buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length))) as Record<string, [keyof typeof kinds, number[]]>;
  const found: Arrays = {};
  let at = aligned(4 + length);
  for (const [name, [kind, shape]] of Object.entries(head)) {
    const count = shape.reduce((product, size) => product * size, 1);
    const values = new kinds[kind](buffer, at, count);
    found[name] = { values, shape };
    at = aligned(at + values.byteLength);
  }
  return found;
}

const aligned = (offset: number) => Math.ceil(offset / 8) * 8;
