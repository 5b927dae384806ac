// A part of a plane on the screen: what a view shows, and how dragging and zooming change it. y goes down in both.

export type Point = readonly [x: number, y: number];
export type Size = readonly [width: number, height: number]; // px

export interface View {
  x: number; // the point of the plane in the middle of the screen
  y: number;
  scale: number; // px a unit of the plane
}

export interface Extent {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

// All of it, in the middle, with a margin of so many px.
export function fitted({ left, top, right, bottom }: Extent, [width, height]: Size, margin = 0): View {
  const across = Math.max(right - left, 1e-9);
  const down = Math.max(bottom - top, 1e-9);
  const scale = Math.min(Math.max(width - 2 * margin, 1) / across, Math.max(height - 2 * margin, 1) / down);
  return { x: (left + right) / 2, y: (top + bottom) / 2, scale };
}

export const toPlane = ({ x, y, scale }: View, [width, height]: Size, [left, top]: Point): Point => [x + (left - width / 2) / scale, y + (top - height / 2) / scale];

export const toScreen = ({ x, y, scale }: View, [width, height]: Size, [across, down]: Point): Point => [(across - x) * scale + width / 2, (down - y) * scale + height / 2];

export const shownExtent = ({ x, y, scale }: View, [width, height]: Size): Extent => ({
  left: x - width / 2 / scale, right: x + width / 2 / scale, top: y - height / 2 / scale, bottom: y + height / 2 / scale,
});

export const panned = (view: View, [across, down]: Point): View => ({ ...view, x: view.x - across / view.scale, y: view.y - down / view.scale });

// What lies under a place of the screen stays there.
export function zoomed(view: View, size: Size, at: Point, factor: number, [least, most]: readonly [number, number]): View {
  const scale = Math.min(Math.max(view.scale * factor, least), most);
  const [x, y] = toPlane(view, size, at);
  return { x: x - (at[0] - size[0] / 2) / scale, y: y - (at[1] - size[1] / 2) / scale, scale };
}

// The middle of the screen stays on the extent.
export const held = (view: View, { left, top, right, bottom }: Extent): View => ({
  ...view, x: Math.min(Math.max(view.x, left), right), y: Math.min(Math.max(view.y, top), bottom),
});

// The same part of what a plane holds when that has grown, shrunk or moved.
export function carried(view: View, from: Extent, to: Extent, size: Size, margin = 0): View {
  const [before, after] = [fitted(from, size, margin), fitted(to, size, margin)];
  const grown = before.scale / after.scale;
  return { x: after.x + (view.x - before.x) * grown, y: after.y + (view.y - before.y) * grown, scale: view.scale / grown };
}

const STEP = 60; // px that an arrow key moves
const FACTOR = 1.4; // that + zooms

// What a key does; null where it does nothing.
export function keyed(view: View, size: Size, key: string, whole: View, limits: readonly [number, number]): View | null {
  const middle: Point = [size[0] / 2, size[1] / 2];
  if (key === "ArrowLeft") return panned(view, [STEP, 0]);
  if (key === "ArrowRight") return panned(view, [-STEP, 0]);
  if (key === "ArrowUp") return panned(view, [0, STEP]);
  if (key === "ArrowDown") return panned(view, [0, -STEP]);
  if (key === "+" || key === "=") return zoomed(view, size, middle, FACTOR, limits);
  if (key === "-") return zoomed(view, size, middle, 1 / FACTOR, limits);
  return key === "0" ? whole : null;
}
