// The page of a layer: every unit with its favourite patches.

function layerPage([name, chosen], options) {
  const layer = layerOf.get(name);
  if (!layer) return [make("h1", {}, "No such layer"), make("p", {}, `The build followed no layer that is called ${name}.`)];
  const byMaximum = options.get("sort") === "maximum";
  const units = Array.from(arrays(layer).units);
  if (byMaximum) units.sort((one, other) => maximumOf(layer, other) - maximumOf(layer, one) || one - other);
  const list = make("div", { class: "units" }, units.map((unit) => unitFigure(layer, unit)));
  const target = Number.parseInt(chosen, 10);
  return {
    nodes: [
      neighbours(layer),
      make("h1", { class: "name" }, layer.name),
      make("p", { class: "facts" }, layerFacts(layer)),
      ...inside(layer),
      make("h2", {}, isOutput(layer) ? "Classes" : "Units"),
      make("p", { class: "caption" }, captionOf(layer)),
      controls(layer, byMaximum),
      controlRows(layer),
      list,
      neverList(layer),
      neighbours(layer),
    ],
    title: layer.name,
    target: arrays(layer).index.has(target) ? `unit-${target}` : null,
    missing: chosen !== undefined && !arrays(layer).index.has(target) ? missingWords(layer, chosen) : "",
  };
}

function missingWords(layer, text) {
  if (layer.never.includes(Number(text))) return `Unit ${text} never rose above 0 on these images: there is nothing to show.`;
  if (/^\d+$/.test(text) && Number(text) < layer.shape[0]) return `Unit ${text} is not in this file.`;
  return `${layer.name} has no unit “${text}”.`;
}

function layerFacts(layer) {
  const { words, every, whole } = sight(layer);
  const seen = !whole ? words : layer.receptive.size ? `${words}, more than the whole image` : "the whole image";
  return [
    layer.rectified ? `rectifier (${layer.kind})` : layer.kind,
    layer.shape.length === 3 ? `${counted(layer.shape[0], "unit")} in maps of ${layer.shape[1]} × ${layer.shape[2]}` : counted(layer.shape[0], "unit"),
    `a cell sees ${seen}${every ? `, ${every}` : ""}`,
    layer.aliases.length ? `also called ${layer.aliases.join(", ")}` : "",
  ].filter(Boolean).join(" · ");
}

function captionOf(layer) {
  const shown = arrays(layer).units.length;
  const kind = isOutput(layer) ? "class" : "unit";
  const parts = [
    `Each row is one ${kind}: the ${inWords(layer.k)} images that excite it most, cut around the place of the greatest activation; ` +
    `the white box is what that place can see (no box: the whole picture); the number is ${isOutput(layer) ? "the score (logit)" : "the activation"}; N = ${counted(data.count, "image")}.`,
  ];
  if (layer.middle) {
    parts.push(" Apart at the right three images from around the median of those that excite it: nine strong images alone make no concept.");
  }
  if (layer.excited && !isOutput(layer)) parts.push(" Below the number the predicted classes whose images excite it most, on average.");
  if (layer.saturated) {
    parts.push(` Of ${counted(layer.saturated, kind, isOutput(layer) ? "classes" : "units")} all patches reach the ceiling ${layer.ceiling} ` +
      "of this activation; they are ordered by what the rectifier was given.");
  }
  if (shown < layer.active) {
    parts.push(" ", make("strong", {}, `${shown.toLocaleString("en")} of ${counted(layer.shape[0], "unit")} shown`), "; ",
      make("code", {}, `convscope exemplars ATLAS ${layer.name}:UNIT --save x.png`), " draws any other.");
  }
  return make("span", {}, parts);
}

function controls(layer, byMaximum) {
  const sorts = [["number", isOutput(layer) ? "class number" : "unit number"], ["maximum", isOutput(layer) ? "highest score" : "highest activation"]];
  const jump = make("input", { id: "jump", autocomplete: "off", placeholder: isOutput(layer) ? "class name" : "number",
    inputmode: isOutput(layer) ? "search" : "numeric", size: 12 });
  const form = make("form", { on: { submit: (event) => { event.preventDefault(); jumpTo(layer, jump.value.trim()); } } },
    make("label", { class: "choice" }, isOutput(layer) ? "Go to class" : "Go to unit", jump));
  const sort = choice("Sort by", sorts, byMaximum ? "maximum" : "number",
    (value) => visit(layerAddress(layer) + (value === "maximum" ? "?sort=maximum" : "")));
  return make("div", { class: "controls" }, sort, form);
}

function jumpTo(layer, text) {
  if (!text) return;
  let unit = /^\d+$/.test(text) ? Number(text) : -1;
  if (unit < 0 && isOutput(layer) && data.net.labels) unit = findClass(text.toLowerCase());
  if (!arrays(layer).index.has(unit)) return say(missingWords(layer, text));
  visit(layerAddress(layer, unit) + currentOptions());
}

function findClass(text) {
  const names = data.net.labels.map((name) => name.toLowerCase());
  for (const fits of [(name) => name === text, (name) => name.startsWith(text), (name) => name.includes(text)]) {
    const found = names.findIndex(fits);
    if (found >= 0) return found;
  }
  return -1;
}

function unitFigure(layer, unit) {
  const patches = patchesOf(layer, unit);
  const full = layer.ceiling === null ? 0 : patches.filter(({ value }) => value >= layer.ceiling).length;
  const output = isOutput(layer);
  return make("div", { class: "unit", id: `unit-${unit}` },
    make("div", { class: "side" },
      link(layerAddress(layer, unit), output ? className(unit) : `${unit}`, { class: "name" }),
      output && data.net.labels ? make("span", { class: "quiet" }, `class ${unit}`) : null,
      output ? null : make("span", { class: "quiet excited", title: "the predicted classes that excite it most, on average" }, excitedWords(layer, unit)),
      full ? make("span", { class: "quiet" }, `saturated: ${full} of ${patches.length} patches reach the ceiling ${layer.ceiling}`) : null),
    strip(patchesOf(layer, unit, true), `${unitName(layer, unit)} of ${layer.name}`));
}

const excitedWords = (layer, unit) => excitedBy(layer, unit).map(({ name }) => name.split(",")[0]).join(", ");

function neverList(layer) {
  if (!layer.never.length) return null;
  return make("p", { class: "caption never" },
    `${counted(layer.never.length, "unit")} never rose above 0 on these ${counted(data.count, "image")} and ` +
    `${layer.never.length === 1 ? "is" : "are"} not drawn: ${layer.never.join(", ")}. ${boundWords()}`);
}

function neighbours(layer) {
  const at = data.layers.indexOf(layer);
  const [before, after] = [data.layers[at - 1], data.layers[at + 1]];
  return make("nav", { class: "neighbours", "aria-label": "Neighbouring layers" },
    before ? link(layerAddress(before), `←\u00a0${before.name}`, { rel: "prev" }) : make("span"),
    make("span", { class: "quiet" }, `layer ${at + 1} of ${data.layers.length}`),
    after ? link(layerAddress(after), `${after.name}\u00a0→`, { rel: "next" }) : make("span"));
}
