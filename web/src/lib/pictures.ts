// Pictures of images, decoded once and kept while there is room.

import { paths } from "./api";
import { recording } from "./recording.svelte";
import { source } from "./source";

const KEPT = 400;
const kept = new Map<number, Promise<HTMLImageElement>>();

export function picture(row: number): Promise<HTMLImageElement> {
  source.note(paths.picture(row));
  const known = kept.get(row);
  if (known) {
    kept.delete(row);
    kept.set(row, known);
    return known;
  }
  const image = new Image();
  image.src = source.url(paths.picture(row));
  const found = recording.wait(image.decode().then(() => image));
  kept.set(row, found);
  found.catch(() => kept.delete(row));
  if (kept.size > KEPT) kept.delete(kept.keys().next().value as number);
  return found;
}
