// What a unit's patches send back to the pixels. One question at a time, and only what is still wanted is asked.

import { paths } from "./api";
import { unpack, type Arrays } from "./arrays";
import { recording } from "./recording.svelte";
import { ask, source } from "./source";
import type { Signal } from "./tiles";

// In the order of the key that switches them; "" shows none.
export const METHODS = { "": "nothing", deconvnet: "deconvnet", guided_backprop: "guided backprop", saliency: "gradient" } as const;
export type Method = keyof typeof METHODS;
const ORDER = Object.keys(METHODS) as Method[];

// The method that an address names; what it does not know shows nothing.
export const methodOf = (text: string | undefined): Method => ORDER.find((method) => method === text) ?? "";

export const methodAfter = (method: Method): Method => ORDER[(ORDER.indexOf(method) + 1) % ORDER.length] ?? "";

export interface Colours {
  row: number;
  box: [number, number, number, number]; // top, left, bottom, right
  width: number;
  height: number;
  rgba: Uint8ClampedArray<ArrayBuffer>;
  silent: boolean;
}

// The server's arrays, see faces/answers/projections.py.
export function readColours(arrays: Arrays): Colours[] {
  const rows = Array.from(arrays["rows"]?.values ?? []);
  return rows.map((row, at) => {
    const { values = new Uint8Array(0), shape = [] } = arrays[`picture${at}`] ?? {};
    const [height = 0, width = 0] = shape;
    const rgba = new Uint8ClampedArray(4 * height * width).fill(255);
    for (let pixel = 0; pixel < height * width; pixel += 1) for (let channel = 0; channel < 3; channel += 1) rgba[4 * pixel + channel] = values[3 * pixel + channel] ?? 0;
    const [top = 0, left = 0, bottom = 0, right = 0] = Array.from(arrays["boxes"]?.values.subarray(4 * at, 4 * at + 4) ?? []);
    return { row, box: [top, left, bottom, right], width, height, rgba, silent: arrays["greatest"]?.values[at] === 0 };
  });
}

const KEPT = 12;
const PAUSE = 120; // ms in which a unit is stepped over
const kept = new Map<string, Signal[]>();
let last: Promise<unknown> = Promise.resolve();

// Nothing comes of a question that is no longer wanted when it is its turn.
export function signalsOf(layer: string, unit: number, method: Method, wanted: () => boolean): Promise<Signal[] | undefined> {
  const path = paths.projections(layer, unit, method);
  source.note(path);
  const known = kept.get(path);
  if (known) return Promise.resolve(known);
  const pause = new Promise((done) => setTimeout(done, PAUSE));
  const mine = Promise.all([last, pause]).then(() => (wanted() ? (kept.get(path) ?? fresh(path)) : undefined));
  last = mine.catch(() => undefined);
  return recording.wait(mine);
}

async function fresh(path: string): Promise<Signal[]> {
  const arrays = source.offline ? await source.arrays(path) : unpack(await (await ask(path)).arrayBuffer());
  const found = await Promise.all(readColours(arrays).map(signal));
  kept.set(path, found);
  if (kept.size > KEPT) kept.delete(kept.keys().next().value as string);
  return found;
}

async function signal({ row, box: [top, left, bottom, right], width, height, rgba, silent }: Colours): Promise<Signal> {
  return { row, box: { top, left, bottom, right }, silent, picture: await createImageBitmap(new ImageData(rgba, width, height)) };
}
