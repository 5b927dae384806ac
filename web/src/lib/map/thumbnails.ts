// Small pictures of images, kept while there is room; those asked for at once come in few answers.

import { paths } from "../api";
import { unpack } from "../arrays";
import { picture, type Picture } from "../pictures";
import { recording } from "../recording.svelte";
import { ask, source } from "../source";

const KEPT = 4000;
const TOGETHER = 120; // in one answer, so that the first are drawn while others come
const kept = new Map<number, Picture | null>(); // null: asked for

// The small picture where it is here; where it is not, it is asked for, and `came` is told when it is.
export function thumbnail(row: number, came: () => void): Picture | null {
  const known = kept.get(row);
  if (known !== undefined) return known;
  kept.set(row, null);
  if (source.offline) {
    void picture(row).then((found) => {
      kept.set(row, found);
      came();
    }, () => {});
    return null;
  }
  wanted.push(row);
  waiting.add(came);
  if (wanted.length === 1) setTimeout(flush);
  return null;
}

let wanted: number[] = [];
const waiting = new Set<() => void>();

function flush(): void {
  const asked = wanted;
  wanted = [];
  for (let first = 0; first < asked.length; first += TOGETHER) void recording.wait(bring(asked.slice(first, first + TOGETHER)));
  for (const row of kept.keys()) {
    if (kept.size <= KEPT) break;
    if (kept.get(row)) kept.delete(row);
  }
}

async function bring(rows: number[]): Promise<void> {
  try {
    const { pictures } = unpack(await (await ask(paths.thumbnails(rows))).arrayBuffer());
    const [, height = 0, width = 0] = pictures?.shape ?? [];
    const colours = pictures?.values as Uint8Array;
    await Promise.all(rows.map(async (row, at) => kept.set(row, await createImageBitmap(pixels(colours, at, height, width)))));
    const told = [...waiting];
    waiting.clear();
    for (const came of told) came();
  } catch {
    for (const row of rows) kept.delete(row);
  }
}

function pixels(colours: Uint8Array, at: number, height: number, width: number): ImageData {
  const found = new ImageData(width, height);
  const start = 3 * at * height * width;
  for (let pixel = 0; pixel < height * width; pixel += 1) {
    for (let channel = 0; channel < 3; channel += 1) found.data[4 * pixel + channel] = colours[start + 3 * pixel + channel] as number;
    found.data[4 * pixel + 3] = 255;
  }
  return found;
}
