// Maps are large: only the last few answers are kept, and a question that nobody waits for any more is taken back.

import { paths } from "../api";
import { unpack, type Arrays } from "../arrays";
import { ask, Problem, source } from "../source";
import { measure, type Maps } from "./maps";

const KEPT = 4;
const kept = new Map<string, Maps>();
let waiting: AbortController | undefined;

export async function mapsOf(image: string, layer: string): Promise<Maps> {
  const path = paths.maps(image, layer);
  source.note(path);
  waiting?.abort();
  waiting = undefined;
  const known = kept.get(path);
  if (known) {
    kept.delete(path);
    kept.set(path, known);
    return known;
  }
  const found = (source.offline ? await source.arrays(path) : await fresh(path))["maps"];
  if (!(found?.values instanceof Float32Array)) throw new Problem("The server's answer holds no maps.");
  const maps = measure(found.values, found.shape);
  kept.set(path, maps);
  if (kept.size > KEPT) kept.delete(kept.keys().next().value as string);
  return maps;
}

async function fresh(path: string): Promise<Arrays> {
  const mine = (waiting = new AbortController());
  return unpack(await (await ask(path, { signal: mine.signal })).arrayBuffer());
}
