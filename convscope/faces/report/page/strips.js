// A row of patches: a strip of tiles is one canvas, drawn when it comes near the window and dropped after.

const GAP = 0.035; // between tiles, of a tile's side
const MIDDLE_GAP = 0.3; // before the middle, of a tile's side
const STRONGEST = 9; // columns of the strongest patches
const MIDDLE = 3;
const STRIPS_A_FRAME = 4;
const narrow = matchMedia("(max-width: 640px)");

const shownIn = new WeakMap(); // canvas → its patches
const near = new Set(); // canvases in or near the window
const waiting = new Set(); // those of them that are not drawn yet
let planned = false;

const nearness = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) {
        near.add(target);
        plan(target);
      } else {
        near.delete(target);
        waiting.delete(target);
        target.width = target.height = 1; // gives its memory back
      }
    }
  },
  { rootMargin: "700px 0px" },
);

function plan(canvas) {
  waiting.add(canvas);
  if (planned) return;
  planned = true;
  requestAnimationFrame(drawSome);
}

function drawSome() {
  planned = false;
  for (const canvas of [...waiting].slice(0, STRIPS_A_FRAME)) {
    waiting.delete(canvas);
    drawStrip(canvas);
  }
  const next = waiting.values().next().value;
  if (next) plan(next);
}

// Where the tiles of a row lie, in sides of a tile: x and y of each, and the size of the whole.
function plot(patches) {
  const step = 1 + GAP;
  const middle = patches.some((patch) => patch.middle);
  const columns = narrow.matches ? Math.min(3, patches.length) : STRONGEST;
  const strongest = patches.filter((patch) => !patch.middle).length;
  const lines = Math.max(Math.ceil(strongest / columns), 1);
  const spots = patches.map((patch, at) => {
    if (!patch.middle) return { x: (at % columns) * step, y: Math.floor(at / columns) * step };
    const own = at - strongest;
    return narrow.matches ? { x: own * step, y: lines * step + MIDDLE_GAP / 2 } : { x: STRONGEST * step + MIDDLE_GAP + own * step, y: 0 };
  });
  const wide = patches.some((patch) => patch.beside) && !narrow.matches ? (STRONGEST + MIDDLE) * step - GAP + MIDDLE_GAP : columns * step - GAP;
  const tall = (middle && narrow.matches ? lines * step + MIDDLE_GAP / 2 + 1 : lines * step - GAP);
  return { spots, wide, tall };
}

function layout(canvas) {
  const { spots, wide } = plot(shownIn.get(canvas));
  const side = canvas.clientWidth / wide;
  return { side, spots: spots.map(({ x, y }) => ({ x: x * side, y: y * side })) };
}

async function drawStrip(canvas) {
  const patches = shownIn.get(canvas);
  await Promise.all(patches.map(({ image }) => pictureAt(image).decode().catch(() => null)));
  if (near.has(canvas)) drawNow(canvas);
}

function drawNow(canvas) {
  const patches = shownIn.get(canvas);
  const { side, spots } = layout(canvas);
  const context = prepare(canvas);
  const [height, width] = data.net.size;
  patches.forEach((patch, at) => {
    const image = pictureAt(patch.image);
    if (!image.complete || !image.naturalWidth) return;
    const [x, y] = [snapped(spots[at].x), snapped(spots[at].y)];
    drawTile(context, patch, image, x, y, snapped(side), surroundings(patch.box, height, width));
  });
  canvas.dataset.drawn = "";
}

// A canvas with as many pixels as the screen has, measured in CSS px.
function prepare(canvas) {
  canvas.width = Math.round(canvas.clientWidth * devicePixelRatio);
  canvas.height = Math.round(canvas.clientHeight * devicePixelRatio);
  const context = canvas.getContext("2d");
  context.scale(devicePixelRatio, devicePixelRatio);
  return context;
}

addEventListener("resize", () => near.forEach(plan));

// A strip with a marker on the tile that is pointed at; words about it go to the status line.
function strip(patches, name) {
  const values = patches.map(({ value }) => activation(value));
  const label = `${name}: activations ${values.join(", ")}`;
  const canvas = make("canvas", { role: "img", tabindex: 0, "aria-label": label, width: 1, height: 1 });
  const marker = make("span", { class: "marker", hidden: true });
  const { wide, tall } = plot(patches);
  canvas.style.aspectRatio = `${wide} / ${tall}`;
  shownIn.set(canvas, patches);

  let marked = -1;
  function mark(at) {
    if (at === marked) return;
    marked = at;
    marker.hidden = at < 0;
    if (at < 0) return say("");
    const { side, spots } = layout(canvas);
    Object.assign(marker.style, { left: `${spots[at].x}px`, top: `${spots[at].y}px`, width: `${side}px`, height: `${side}px` });
    say(patchWords(patches[at]));
  }
  function tileUnder({ offsetX, offsetY }) {
    const { side, spots } = layout(canvas);
    return spots.findIndex(({ x, y }) => offsetX >= x && offsetX < x + side && offsetY >= y && offsetY < y + side);
  }
  canvas.addEventListener("pointermove", (event) => mark(tileUnder(event)));
  canvas.addEventListener("pointerleave", () => mark(-1));
  canvas.addEventListener("focus", () => canvas.matches(":focus-visible") && mark(0));
  canvas.addEventListener("blur", () => mark(-1));
  canvas.addEventListener("click", (event) => tileUnder(event) >= 0 && showPicture(patches[tileUnder(event)]));
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) mark(Math.min(Math.max(marked + step, 0), patches.length - 1));
    else if (event.key === "Enter" && marked >= 0) showPicture(patches[marked]);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  return make("div", { class: "strip" }, canvas, marker);
}

function patchWords({ layer, unit, direction, middle, image, value, place, box }) {
  const { names, labels, top } = data.images;
  const where = layer.shape.length === 3 ? ` at row ${place.row}, column ${place.column}` : "";
  const seen = `sees rows ${box.top}–${box.bottom}, columns ${box.left}–${box.right}`;
  const label = labels[image] ? `label ${labels[image]}` : "no label";
  const whose = direction === undefined ? `${unitName(layer, unit)}${middle ? ", its middle" : ""}` : `random direction ${direction}`;
  return [names[image], label, `predicted ${className(top[image][0])}`, `${whose}: ${activation(value)}${where}`, seen].join(" · ");
}
