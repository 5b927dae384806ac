// A unit's patches: a strip of nine tiles is one canvas, drawn when it comes near the window and dropped after.

const GAP = 0.035; // between tiles, of a tile's side
const STRIPS_A_FRAME = 4;
const narrow = matchMedia("(max-width: 640px)");

const patchesIn = new WeakMap(); // canvas → its patches
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

const columnsOf = (k) => (narrow.matches ? Math.min(3, k) : 9);

function layout(canvas) {
  const columns = columnsOf(patchesIn.get(canvas).length);
  const side = canvas.clientWidth / (columns + (columns - 1) * GAP);
  return { columns, side, step: side * (1 + GAP) };
}

async function drawStrip(canvas) {
  const patches = patchesIn.get(canvas);
  await Promise.all(patches.map(({ image }) => pictureAt(image).decode().catch(() => null)));
  if (near.has(canvas)) drawNow(canvas);
}

function drawNow(canvas) {
  const patches = patchesIn.get(canvas);
  const { columns, side, step } = layout(canvas);
  const context = prepare(canvas);
  const [height, width] = data.net.size;
  patches.forEach((patch, at) => {
    const image = pictureAt(patch.image);
    if (!image.complete || !image.naturalWidth) return;
    const [x, y] = [snapped((at % columns) * step), snapped(Math.floor(at / columns) * step)];
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
function strip(layer, unit) {
  const patches = patchesOf(layer, unit);
  const values = patches.map(({ value }) => activation(value));
  const label = `${unitName(layer, unit)} of ${layer.name}: activations ${values.join(", ")}`;
  const canvas = make("canvas", { role: "img", tabindex: 0, "aria-label": label, width: 1, height: 1 });
  const marker = make("span", { class: "marker", hidden: true });
  const columns = columnsOf(patches.length);
  const lines = Math.ceil(patches.length / columns);
  canvas.style.aspectRatio = `${columns + (columns - 1) * GAP} / ${lines + (lines - 1) * GAP}`;
  patchesIn.set(canvas, patches);

  let marked = -1;
  function mark(at) {
    if (at === marked) return;
    marked = at;
    marker.hidden = at < 0;
    if (at < 0) return say("");
    const { side, step } = layout(canvas);
    Object.assign(marker.style, {
      left: `${(at % columns) * step}px`, top: `${Math.floor(at / columns) * step}px`, width: `${side}px`, height: `${side}px`,
    });
    say(patchWords(patches[at]));
  }
  function tileUnder(event) {
    const { step } = layout(canvas);
    const at = Math.floor(event.offsetY / step) * columns + Math.floor(event.offsetX / step);
    return at < patches.length ? at : -1;
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

function patchWords({ layer, unit, image, value, place, box }) {
  const { names, labels, top } = data.images;
  const where = layer.shape.length === 3 ? ` at row ${place.row}, column ${place.column}` : "";
  const seen = `sees rows ${box.top}–${box.bottom}, columns ${box.left}–${box.right}`;
  const label = labels[image] ? `label ${labels[image]}` : "no label";
  return [names[image], label, `predicted ${className(top[image][0])}`, `${unitName(layer, unit)}: ${activation(value)}${where}`, seen].join(" · ");
}
