// The health of the network at a glance: dead units, sparsity and locality through depth, filters, accuracy.

const SVG = "http://www.w3.org/2000/svg";

function health() {
  const silent = data.layers.filter((layer) => layer.silences);
  if (!silent.length) return [];
  return [make("h2", {}, "Health"), make("div", { class: "health" },
    fact(deadWords(silent), "Dead units", deadDetail(silent)),
    fact(filterHead(), "Filters", filterDetail()),
    accuracyFact(),
    chart())];
}

function fact(head, title, detail) {
  return make("div", { class: "fact" }, make("span", { class: "quiet" }, title), make("strong", {}, head), make("p", { class: "caption" }, detail));
}

const total = (layers, count) => layers.reduce((sum, layer) => sum + count(layer), 0);

function deadWords(layers) {
  return `${total(layers, ({ vitals }) => vitals.dead).toLocaleString("en")} of ${total(layers, ({ shape }) => shape[0]).toLocaleString("en")}`;
}

function deadDetail(layers) {
  const [rare, still] = [total(layers, ({ vitals }) => vitals.rare), total(layers, ({ vitals }) => vitals.still)];
  return `Never above 0 on ${counted(data.count, "image")}; ${rare.toLocaleString("en")} more on fewer than 1\u00a0% of them. ` +
    `${still ? `No gradient reaches ${counted(still, "unit")}` : "A gradient reaches every unit"} on ${counted(data.health.gradientSample, "image")}.`;
}

const GRADES = ["smooth", "partly smooth", "patterned", "noisy"];

function filterHead() {
  const { grades } = data.health;
  const judged = GRADES.reduce((sum, grade) => sum + (grades[grade] ?? 0), 0);
  if (!judged) return "none to judge";
  return grades.noisy ? `${grades.noisy} of ${counted(judged, "layer")} noisy` : `none of ${counted(judged, "layer")} noisy`;
}

function filterDetail() {
  const { grades } = data.health;
  const parts = GRADES.filter((grade) => grades[grade]).map((grade) => `${grades[grade]} ${grade}`);
  return `${parts.length ? `${capital(parts.join(", "))}: ` : ""}each beside its own weights in random order; 1 × 1 filters have no order to judge.`;
}

function accuracyFact() {
  const found = data.accuracy;
  if (!found) return fact("not claimed", "Accuracy", "No image has a label that is a class of this network.");
  return fact(percent(found.right / found.of, 1), "Accuracy", `${found.right.toLocaleString("en")} of ${counted(found.of, "image")} whose label is ` +
    `a class; 95 % interval ${percent(found.low, 1)} to ${percent(found.high, 1)}.`);
}

// Sparsity and locality through depth, one dot a layer.
function chart() {
  const lines = [["zeros", "share of zeros", "zeros"], ["hoyer", "Hoyer sparsity", "hoyer"], ["radius", "spread of the maps", "radius"]];
  const count = data.layers.length;
  const [width, height, left, bottom] = [560, 190, 34, 22];
  const x = (at) => left + ((width - left - 130) * at) / Math.max(count - 1, 1);
  const y = (value) => 6 + (height - bottom - 12) * (1 - value);
  const drawing = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "Sparsity and spread through depth" });
  for (const tick of [0, 0.5, 1]) {
    drawing.append(draw("line", { x1: left, x2: x(count - 1), y1: y(tick), y2: y(tick), class: "rule" }));
    drawing.append(text(left - 8, y(tick) + 4, String(tick), "end"));
  }
  drawing.append(text(left, height - 4, "first layer", "start"), text(x(count - 1), height - 4, "last", "end"));
  const ends = [];
  for (const [name, words, kind] of lines) {
    const points = data.health[name].map((value, at) => [at, value]).filter(([at, value]) => value !== null && data.layers[at].silences);
    if (!points.length) continue;
    drawing.append(draw("polyline", { points: points.map(([at, value]) => `${x(at)},${y(value)}`).join(" "), class: `line ${kind}` }));
    for (const [at, value] of points) {
      const dot = draw("circle", { cx: x(at), cy: y(value), r: 2, class: `dot ${kind}` });
      dot.append(draw("title", {}, `${data.layers[at].name}: ${words} ${value.toFixed(2)}`));
      drawing.append(dot);
    }
    ends.push({ words, kind, y: y(points.at(-1)[1]) });
  }
  ends.sort((one, other) => one.y - other.y);
  ends.forEach((end, at) => { if (at) end.y = Math.max(end.y, ends[at - 1].y + 15); });
  for (const { words, kind, y: line } of ends) drawing.append(text(x(count - 1) + 10, line + 4, words, "start", kind));
  return make("figure", { class: "depth" }, drawing, make("figcaption", { class: "caption" },
    `From the first followed layer to the last: share of activations that are 0; Hoyer sparsity (0 all alike, 1 a single one); ` +
    `how far a map's activation lies from its centre (0 a point, 0.58 even). Rectified layers; means over ${counted(data.health.sample, "image")}.`));
}

function draw(tag, attributes, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

const text = (x, y, words, anchor, kind = "") => draw("text", { x, y, "text-anchor": anchor, class: `label ${kind}` }, words);
