// One patch as a tile: the part of a picture around a box, the box in it, the value on a plate.

import { activation } from "./format";

export interface Box {
  top: number;
  left: number;
  bottom: number;
  right: number;
}

export interface Patch {
  row: number;
  value: number;
  place: [number, number];
  box: Box; // px of the net's input
}

export interface Cut {
  top: number;
  left: number;
  rows: number;
  columns: number;
}

const CONTEXT = 0.35; // of the box's longer side, shown around it
const SMALLEST = 48; // px of the input that a tile shows at least
const MAGNIFIED = 4; // from here on pixels are shown as squares
const PLATE = 16; // height, CSS px

// The square around a box, moved inside the picture.
export function surroundings(box: Box, height: number, width: number): Cut {
  const side = Math.max(Math.max(box.bottom - box.top, box.right - box.left) * (1 + CONTEXT), SMALLEST);
  const [top, rows] = span(box.top, box.bottom, side, height);
  const [left, columns] = span(box.left, box.right, side, width);
  return { top, left, rows, columns };
}

function span(first: number, stop: number, side: number, size: number): [number, number] {
  const length = Math.min(Math.round(side), size);
  const start = Math.min(Math.max(Math.round((first + stop - length) / 2), 0), size - length);
  return [start, length];
}

export const holdsAll = ({ top, left, bottom, right }: Box, height: number, width: number): boolean =>
  top <= 0 && left <= 0 && bottom >= height && right >= width;

const snapped = (length: number) => Math.round(length * devicePixelRatio) / devicePixelRatio;

export interface Look {
  side: number; // CSS px
  size: [number, number]; // height and width of the net's input
  plate: boolean;
}

// A part of a picture in a square at (x, y), then the box, then the value. Lengths are CSS px.
export function drawTile(context: CanvasRenderingContext2D, patch: Patch, image: CanvasImageSource, x: number, y: number, { side, size, plate }: Look): void {
  const frame = frameOf(patch.box, x, y, side, size);
  const { cut, scale, left, top, width, height } = frame;
  smooth(context, scale);
  context.drawImage(image, cut.left, cut.top, cut.columns, cut.rows, left, top, width, height);
  let plateTop = y;
  if (!holdsAll(patch.box, ...size)) {
    const [edge, foot] = [left + (patch.box.left - cut.left) * scale - x, top + (patch.box.bottom - cut.top) * scale - y];
    if (edge < 32 && foot < 40) plateTop = y + side - PLATE; // a small box in the corner is not to vanish under the value
    drawBox(context, patch.box, frame);
  }
  if (plate) drawPlate(context, activation(patch.value), x, plateTop);
}

// What a patch's unit sends back, in the frame of the patch's own tile; mid-grey where nothing comes to. Without a
// signal nothing does: the unit is at 0 there.
export function drawSignal(context: CanvasRenderingContext2D, patch: Patch, signal: Signal | undefined, x: number, y: number, { side, size }: Look): void {
  const frame = frameOf(patch.box, x, y, side, size);
  const { cut, scale, left, top, width, height } = frame;
  context.fillStyle = "rgb(128, 128, 128)";
  context.fillRect(left, top, width, height);
  smooth(context, scale);
  if (signal) {
    const { box, picture } = signal;
    const [wide, tall] = [(box.right - box.left) * scale, (box.bottom - box.top) * scale];
    if (wide > 0 && tall > 0) context.drawImage(picture, left + (box.left - cut.left) * scale, top + (box.top - cut.top) * scale, wide, tall);
  }
  if (!holdsAll(patch.box, ...size)) drawBox(context, patch.box, frame);
  if (signal?.silent ?? true) drawPlate(context, "all 0", x, y);
}

export interface Signal {
  row: number; // of the image
  box: Box; // px of the net's input
  picture: CanvasImageSource; // fills the box
  silent: boolean; // 0 everywhere
}

export interface Frame {
  cut: Cut; // what of the picture is shown
  scale: number; // CSS px of a pixel
  left: number;
  top: number;
  width: number;
  height: number;
}

// Where a tile at (x, y) shows the surroundings of a box.
export function frameOf(box: Box, x: number, y: number, side: number, size: [number, number]): Frame {
  const cut = surroundings(box, ...size);
  const scale = side / Math.max(cut.rows, cut.columns);
  const [width, height] = [cut.columns * scale, cut.rows * scale];
  return { cut, scale, width, height, left: x + (side - width) / 2, top: y + (side - height) / 2 };
}

function smooth(context: CanvasRenderingContext2D, scale: number): void {
  context.imageSmoothingEnabled = scale < MAGNIFIED;
  context.imageSmoothingQuality = "high";
}

function drawBox(context: CanvasRenderingContext2D, box: Box, { cut, scale, left, top, width, height }: Frame): void {
  context.save();
  context.beginPath();
  context.rect(left, top, width, height);
  context.clip();
  outline(context, {
    left: Math.max(snapped(left + (box.left - cut.left) * scale) - 1, left),
    top: Math.max(snapped(top + (box.top - cut.top) * scale) - 1, top),
    right: Math.min(snapped(left + (box.right - cut.left) * scale) + 1, left + width),
    bottom: Math.min(snapped(top + (box.bottom - cut.top) * scale) + 1, top + height),
  });
  context.restore();
}

// White, 2 px, just inside these edges; a thin dark line on both sides keeps it visible on white.
export function outline(context: CanvasRenderingContext2D, { left, top, right, bottom }: Box): void {
  context.lineJoin = "miter";
  for (const [colour, thickness] of [["rgba(0, 0, 0, 0.5)", 4], ["#fff", 2]] as const) {
    context.strokeStyle = colour;
    context.lineWidth = thickness;
    context.strokeRect(left + 1, top + 1, right - left - 2, bottom - top - 2);
  }
}

function drawPlate(context: CanvasRenderingContext2D, text: string, x: number, y: number): void {
  context.font = "500 11px ui-sans-serif, system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";
  const width = Math.ceil(context.measureText(text).width) + 8;
  context.fillStyle = "#fff";
  context.fillRect(x, y, width, PLATE);
  context.fillStyle = "#1a1a1a";
  context.textBaseline = "middle";
  context.fillText(text, x + 4, y + PLATE / 2 + 0.5);
}
