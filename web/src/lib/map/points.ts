// The points of a map, in buckets, so that those near a place and those in sight are found at once.

import type { Extent, Point } from "./plane";

const FILLED = 4; // points a bucket, about

export class Points {
  readonly extent: Extent;
  readonly count: number;
  readonly #side: number; // of a bucket
  readonly #across: number;
  readonly #down: number;
  readonly #first: Int32Array; // of each bucket in #order
  readonly #order: Int32Array;

  // xy: x and y of each point, one after the other; y goes down.
  constructor(readonly xy: Float32Array) {
    this.count = xy.length / 2;
    this.extent = extentOf(xy);
    const { left, top, right, bottom } = this.extent;
    const area = Math.max(right - left, 1e-9) * Math.max(bottom - top, 1e-9);
    this.#side = Math.max(Math.sqrt((area * FILLED) / Math.max(this.count, 1)), Math.max(right - left, bottom - top, 1e-9) / 1000);
    this.#across = Math.floor((right - left) / this.#side) + 1;
    this.#down = Math.floor((bottom - top) / this.#side) + 1;
    const bucket = Int32Array.from({ length: this.count }, (_, row) => this.#bucketOf(xy[2 * row] as number, xy[2 * row + 1] as number));
    this.#first = new Int32Array(this.#across * this.#down + 1);
    for (const one of bucket) this.#first[one + 1] = (this.#first[one + 1] as number) + 1;
    for (let at = 1; at < this.#first.length; at += 1) this.#first[at] = (this.#first[at] as number) + (this.#first[at - 1] as number);
    const next = this.#first.slice();
    this.#order = new Int32Array(this.count);
    bucket.forEach((one, row) => {
      this.#order[next[one] as number] = row;
      next[one] = (next[one] as number) + 1;
    });
  }

  #bucketOf(x: number, y: number): number {
    const column = Math.min(Math.floor((x - this.extent.left) / this.#side), this.#across - 1);
    return Math.min(Math.floor((y - this.extent.top) / this.#side), this.#down - 1) * this.#across + column;
  }

  at(row: number): Point {
    return [this.xy[2 * row] as number, this.xy[2 * row + 1] as number];
  }

  // The rows inside an extent; undefined where there are more than so many.
  within({ left, top, right, bottom }: Extent, most = Infinity): number[] | undefined {
    const found: number[] = [];
    const column = (x: number) => Math.min(Math.max(Math.floor((x - this.extent.left) / this.#side), 0), this.#across - 1);
    const line = (y: number) => Math.min(Math.max(Math.floor((y - this.extent.top) / this.#side), 0), this.#down - 1);
    for (let down = line(top); down <= line(bottom); down += 1) {
      const from = this.#first[down * this.#across + column(left)] as number;
      const stop = this.#first[down * this.#across + column(right) + 1] as number;
      for (let at = from; at < stop; at += 1) {
        const row = this.#order[at] as number;
        const [x, y] = this.at(row);
        if (x < left || x > right || y < top || y > bottom) continue;
        if (found.length >= most) return undefined;
        found.push(row);
      }
    }
    return found.sort((one, other) => one - other);
  }

  // The nearest row within a radius; -1 for none.
  nearest([x, y]: Point, radius: number): number {
    let [best, least] = [-1, radius * radius];
    for (const row of this.within({ left: x - radius, top: y - radius, right: x + radius, bottom: y + radius }) ?? []) {
      const [across, down] = this.at(row);
      const away = (across - x) ** 2 + (down - y) ** 2;
      if (away < least || (away === least && best < 0)) [best, least] = [row, away];
    }
    return best;
  }

  // The rows inside a closed line.
  inside(line: readonly Point[]): number[] {
    if (line.length < 3) return [];
    const [xs, ys] = [line.map(([x]) => x), line.map(([, y]) => y)];
    const some = this.within({ left: Math.min(...xs), right: Math.max(...xs), top: Math.min(...ys), bottom: Math.max(...ys) }) ?? [];
    return some.filter((row) => encloses(line, this.at(row)));
  }
}

export function extentOf(xy: Float32Array): Extent {
  if (!xy.length) return { left: 0, top: 0, right: 0, bottom: 0 };
  const extent = { left: Infinity, top: Infinity, right: -Infinity, bottom: -Infinity };
  for (let at = 0; at < xy.length; at += 2) {
    const [x, y] = [xy[at] as number, xy[at + 1] as number];
    if (x < extent.left) extent.left = x;
    if (x > extent.right) extent.right = x;
    if (y < extent.top) extent.top = y;
    if (y > extent.bottom) extent.bottom = y;
  }
  return extent;
}

// Whether a closed line goes around a point: a ray from it crosses the line an odd number of times.
export function encloses(line: readonly Point[], [x, y]: Point): boolean {
  let inside = false;
  line.forEach(([across, down], at) => {
    const [before, above] = line.at(at - 1) as Point;
    if (down > y !== above > y && x < ((before - across) * (y - down)) / (above - down) + across) inside = !inside;
  });
  return inside;
}

// Positions as the server has them (y goes up) as the screen has them.
export function turned(positions: Float32Array): Float32Array {
  return positions.map((value, at) => (at % 2 ? -value : value));
}

// Each point on its straight way.
export const between = (from: Float32Array, to: Float32Array, share: number): Float32Array =>
  to.map((value, at) => (from[at] as number) + share * (value - (from[at] as number)));
