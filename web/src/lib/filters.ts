// The picture of a layer's filters, cut into its tiles.

import type { FilterPage } from "./types";

export interface Atlas {
  image: HTMLImageElement;
  page: FilterPage;
}

export async function readFilters(page: FilterPage | null): Promise<Atlas | null> {
  if (!page?.picture) return null;
  const image = new Image();
  image.src = `data:image/webp;base64,${page.picture.bytes}`;
  await image.decode();
  return { image, page };
}

// Where the tile of one filter lies in the picture; null for filters that are not in it.
export function tileOf(page: FilterPage, filter: number): { left: number; top: number; width: number; height: number } | null {
  const { picture, shown = 0, across = 1 } = page;
  if (!picture || filter < 0 || filter >= shown) return null;
  const rows = Math.ceil(shown / across);
  const width = (picture.width + 1) / across - 1; // one clear cell stands between tiles
  const height = (picture.height + 1) / rows - 1;
  return { left: (filter % across) * (width + 1), top: Math.floor(filter / across) * (height + 1), width, height };
}

// One filter as a square; its cells stay cells.
export function filterTile(context: CanvasRenderingContext2D, { image, page }: Atlas, filter: number, side: number): void {
  const tile = tileOf(page, filter);
  if (!tile) return;
  const scale = side / Math.max(tile.width, tile.height);
  const [width, height] = [tile.width * scale, tile.height * scale];
  context.imageSmoothingEnabled = false;
  context.drawImage(image, tile.left, tile.top, tile.width, tile.height, (side - width) / 2, (side - height) / 2, width, height);
}
