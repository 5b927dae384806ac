// Pictures of images, decoded once and kept while there is room. Those asked for at once come in one answer.

import { paths } from "./api";
import { unpack } from "./arrays";
import { recording } from "./recording.svelte";
import { ask, source } from "./source";

export type Picture = ImageBitmap | HTMLImageElement;

interface Wanted {
  row: number;
  done: (picture: Picture | Promise<Picture>) => void;
  fail: (problem: unknown) => void;
}

const KEPT = 400;
const TOGETHER = 32; // in one answer, so that the first are drawn while others come
const kept = new Map<number, Promise<Picture>>();
let wanted: Wanted[] = [];

export function picture(row: number): Promise<Picture> {
  source.note(paths.picture(row));
  const known = kept.get(row);
  if (known) {
    kept.delete(row);
    kept.set(row, known);
    return known;
  }
  const found = recording.wait(source.offline ? alone(row) : together(row));
  kept.set(row, found);
  found.catch(() => kept.delete(row));
  if (kept.size > KEPT) kept.delete(kept.keys().next().value as number);
  return found;
}

function alone(row: number): Promise<Picture> {
  const image = new Image();
  image.src = source.url(paths.picture(row));
  return image.decode().then(() => image);
}

function together(row: number): Promise<Picture> {
  return new Promise((done, fail) => {
    wanted.push({ row, done, fail });
    if (wanted.length === 1) setTimeout(flush);
  });
}

function flush(): void {
  const asked = wanted;
  wanted = [];
  for (let first = 0; first < asked.length; first += TOGETHER) void bring(asked.slice(first, first + TOGETHER));
}

async function bring(asked: readonly Wanted[]): Promise<void> {
  try {
    const found = unpack(await (await ask(paths.pictures(asked.map(({ row }) => row)))).arrayBuffer());
    for (const { row, done, fail } of asked) {
      const bytes = found[`row${row}`]?.values as Uint8Array<ArrayBuffer> | undefined;
      if (bytes) done(createImageBitmap(new Blob([bytes], { type: "image/webp" })));
      else fail(new Error(`no picture ${row}`));
    }
  } catch (problem) {
    for (const { fail } of asked) fail(problem);
  }
}
