// The list of images as a server gives it, from the rows that an offline file holds.

import type { ImagePage, ImageRow } from "./types";

export function select(images: readonly ImagePage[], query: URLSearchParams): { total: number; rows: ImageRow[] } {
  const [label, predicted, correct] = [query.get("label"), query.get("predicted"), query.get("correct")];
  const search = (query.get("search") ?? "").toLowerCase();
  const offset = Number(query.get("offset") ?? 0);
  const fits = images.filter((image) =>
    (label === null || (image.label ?? "") === label) &&
    (predicted === null || image.predicted === Number(predicted)) &&
    (correct === null || image.correct === (correct === "true")) &&
    image.name.toLowerCase().includes(search));
  return { total: fits.length, rows: fits.slice(offset, offset + Number(query.get("count") ?? 120)) };
}
