// When the points of a map become the images themselves, and how large these are.

import type { Point, Size } from "./plane";

export const MOST = 500; // images in sight up to which they are drawn
const COVER = 0.3; // share of the room that they take together
const CLOSE = 1.7; // an image's side, of the middle distance to the nearest other one: they overlap a little
const [LEAST, LARGEST] = [16, 88]; // px

// gap: px from an image to the nearest other one, in the middle
export const imageSide = (count: number, [width, height]: Size, gap = Infinity): number =>
  Math.min(Math.max(Math.min(Math.sqrt((COVER * width * height) / Math.max(count, 1)), CLOSE * gap), LEAST), LARGEST);

// The median distance from a point to the nearest other one; Infinity where there is none.
export function gapOf(points: readonly Point[]): number {
  const nearest = points.map(([x, y], at) => {
    let least = Infinity;
    points.forEach(([across, down], other) => {
      if (other !== at) least = Math.min(least, (across - x) ** 2 + (down - y) ** 2);
    });
    return Math.sqrt(least);
  });
  return nearest.sort((one, other) => one - other)[Math.floor(nearest.length / 2)] ?? Infinity;
}
