// Tiles that are here, and those that are waited for: the last wanted first, a few at a time.

import { recording } from "../recording.svelte";
import type { Tile } from "./tiles";

const KEPT = 500;
const TOGETHER = 6; // browsers have no more connections a host

export const keyOf = ({ level, column, row }: Tile): string => `${level}/${column}_${row}`;

export class TileStore {
  readonly #kept = new Map<string, HTMLImageElement>(); // the last used at the end
  readonly #coming = new Set<string>();
  readonly #failed = new Set<string>();
  #wanted: Tile[] = [];

  constructor(private readonly url: (tile: Tile) => string, private readonly came: () => void, private readonly load: (url: string) => Promise<HTMLImageElement> = loaded) {}

  get(tile: Tile): HTMLImageElement | undefined {
    const key = keyOf(tile);
    const found = this.#kept.get(key);
    if (found) {
      this.#kept.delete(key);
      this.#kept.set(key, found);
    }
    return found;
  }

  // What is wanted now, the most urgent first; nothing comes of what was wanted before and is not on its way.
  want(tiles: readonly Tile[]): void {
    this.#wanted = tiles.filter((tile) => !this.#kept.has(keyOf(tile)) && !this.#failed.has(keyOf(tile)));
    this.#go();
  }

  #go(): void {
    for (const tile of this.#wanted) {
      if (this.#coming.size >= TOGETHER) return;
      const key = keyOf(tile);
      if (this.#coming.has(key) || this.#kept.has(key) || this.#failed.has(key)) continue;
      this.#coming.add(key);
      void recording.wait(this.#bring(tile, key));
    }
  }

  async #bring(tile: Tile, key: string): Promise<void> {
    try {
      this.#kept.set(key, await this.load(this.url(tile)));
      if (this.#kept.size > KEPT) this.#kept.delete(this.#kept.keys().next().value as string);
    } catch {
      this.#failed.add(key);
    }
    this.#coming.delete(key);
    this.came();
    this.#go();
  }
}

async function loaded(url: string): Promise<HTMLImageElement> {
  const image = new Image();
  image.src = url;
  await image.decode();
  return image;
}
