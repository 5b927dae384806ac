// One patch as a tile on a canvas: a part of a picture, the box in it, the activation on a plate.

const CONTEXT = 0.35; // of the box's longer side, shown around it
const SMALLEST = 48; // px of the input that a tile shows at least
const MAGNIFIED = 4; // from here on pixels are shown as squares

const opened = new Map(); // position → Image; the browser decodes it when it is drawn and may forget that again

function pictureAt(position) {
  if (!opened.has(position)) {
    const image = new Image();
    image.src = `data:image/webp;base64,${data.pictures[position]}`;
    opened.set(position, image);
  }
  return opened.get(position);
}

// The square around a box, moved inside the picture.
function surroundings(box, height, width) {
  const side = Math.max(Math.max(box.bottom - box.top, box.right - box.left) * (1 + CONTEXT), SMALLEST);
  const [top, rows] = span(box.top, box.bottom, side, height);
  const [left, columns] = span(box.left, box.right, side, width);
  return { top, left, rows, columns };
}

function span(first, stop, side, size) {
  const length = Math.min(Math.round(side), size);
  const start = Math.min(Math.max(Math.round((first + stop - length) / 2), 0), size - length);
  return [start, length];
}

// To whole pixels of the screen, so that edges are sharp.
const snapped = (length) => Math.round(length * devicePixelRatio) / devicePixelRatio;

// A part of a picture in a square at (x, y), then the box, then the value. Lengths are CSS px.
// A box that holds the whole picture is not drawn: it would only be a frame.
function drawTile(context, patch, image, x, y, side, cut, plate = true) {
  const scale = side / Math.max(cut.rows, cut.columns);
  const [width, height] = [cut.columns * scale, cut.rows * scale];
  const [left, top] = [x + (side - width) / 2, y + (side - height) / 2];
  context.imageSmoothingEnabled = scale < MAGNIFIED;
  context.imageSmoothingQuality = "high";
  context.drawImage(image, cut.left, cut.top, cut.columns, cut.rows, left, top, width, height);
  if (!patch.box) return;
  let plateTop = y;
  if (!holdsAll(patch.box)) {
    const { box } = patch;
    const [edge, foot] = [left + (box.left - cut.left) * scale - x, top + (box.bottom - cut.top) * scale - y];
    if (edge < 32 && foot < 40) plateTop = y + side - 16; // a small box in the corner is not to vanish under the value
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
  if (plate) drawPlate(context, activation(patch.value), x, plateTop);
}

const holdsAll = ({ top, left, bottom, right }) =>
  top <= 0 && left <= 0 && bottom >= data.net.size[0] && right >= data.net.size[1];

// White, 2 px, just inside these edges; a thin dark line on both sides keeps it visible on white.
function outline(context, { left, top, right, bottom }) {
  context.lineJoin = "miter";
  for (const [colour, thickness] of [["rgba(0, 0, 0, 0.5)", 4], ["#fff", 2]]) {
    context.strokeStyle = colour;
    context.lineWidth = thickness;
    context.strokeRect(left + 1, top + 1, right - left - 2, bottom - top - 2);
  }
}

function drawPlate(context, text, x, y) {
  context.font = "500 11px ui-sans-serif, system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";
  context.fontVariantCaps = "normal";
  const width = Math.ceil(context.measureText(text).width) + 8;
  context.fillStyle = "#fff";
  context.fillRect(x, y, width, 16);
  context.fillStyle = "#1a1a1a";
  context.textBaseline = "middle";
  context.fillText(text, x + 4, y + 8.5);
}
