// The first page: what the network is, its depth at a glance, and all layers that were followed.

function facts() {
  const { net } = data;
  const units = data.layers.reduce((sum, layer) => sum + layer.shape[0], 0);
  return `${counted(data.count, "image")} at ${net.size[0]} × ${net.size[1]} px, ${counted(data.layers.length, "layer")} followed, ` +
    `${counted(units, "unit")}, ${counted(net.classes, "class", "classes")}. Weights ${net.fingerprint}.`;
}

function overview(_, options) {
  const choice = Math.max(Number.parseInt(options.get("example") ?? "1", 10) || 1, 1);
  return [
    make("h1", {}, "What ", make("span", { class: "name" }, data.net.name), " has learned"),
    make("p", { class: "facts" }, facts()),
    data.note ? make("p", { class: "note" }, data.note) : null,
    hero(choice),
    ...health(),
    make("h2", {}, "Layers"),
    layerTable(),
    make("p", { class: "caption" }, neverWords()),
  ];
}

function hero(choice) {
  if (!data.examples.length) return make("p", { class: "caption" }, "No unit was active on these images.");
  const most = Math.max(...data.examples.map(({ units }) => units.length));
  const rows = data.examples.map(({ layer: name, units }) => {
    const layer = layerOf.get(name);
    const unit = units[(choice - 1) % units.length];
    const seen = sight(layer);
    return make("div", { class: "unit example" },
      make("div", { class: "side" },
        link(layerAddress(layer), isOutput(layer) ? "output" : layer.name, { class: "name" }),
        link(layerAddress(layer, unit), unitName(layer, unit), { class: "quiet" }),
        make("span", { class: "quiet" }, seen.whole ? "sees the whole image" : `sees ${seen.words}`)),
      strip(patchesOf(layer, unit), `${unitName(layer, unit)} of ${layer.name}`));
  });
  const others = Array.from({ length: most }, (_, at) =>
    link(at ? `#/?example=${at + 1}` : "#/", NUMBERS[at + 1], at + 1 === choice ? { "aria-current": "true" } : {}));
  const caption = make("figcaption", { class: "caption" },
    "From the first layers to the classes: each row is one unit and the " + inWords(data.layers[0].k) +
    " images that excite it most, best first, cut around the place of its greatest activation. The white box is what " +
    "that place can see (no box: the whole picture); the number is the activation. ", ruleWords(),
    most > 1 ? make("span", { class: "others" }, " Shown is choice ", others.flatMap((node, at) => (at ? [", ", node] : [node])), ".") : null);
  return make("figure", { class: "hero" }, ...rows, caption);
}

function ruleWords() {
  return "The units are chosen by rule, not by hand: of each layer those with the highest activation whose patches come from " +
    "at least three labels (or images, where labels are fewer).";
}

function layerTable() {
  const columns = [["Layer", ""], ["Kind", "extra"], ["Units", "number"], ["Map", "number extra"], ["A cell sees", "sees"],
    ["Zeros", "number extra"], ["Dead", "number"], ["No gradient", "number extra"]];
  const lines = data.layers.map((layer) => {
    const { words, every } = sight(layer);
    return [
      link(layerAddress(layer), layer.name, { class: "name" }),
      layer.kind,
      layer.shape[0].toLocaleString("en"),
      layer.shape.length === 3 ? `${layer.shape[1]} × ${layer.shape[2]}` : "–",
      [sightDrawing(layer), make("span", {}, words), every ? make("span", { class: "quiet extra" }, every) : null].filter(Boolean),
      layer.vitals.zeros === null || !layer.silences ? "–" : percent(layer.vitals.zeros),
      layer.silences ? layer.vitals.dead.toLocaleString("en") : "–",
      layer.vitals.still.toLocaleString("en"),
    ];
  });
  return table(columns, lines, { class: "layers" });
}

function neverWords() {
  return `The squares show how much of the ${data.net.size.join(" × ")} px input one cell of a layer can see. ` +
    `Zeros: the share of activations that are 0. Dead: units whose activation did not rise above 0 anywhere on these ` +
    `${counted(data.count, "image")}. ${boundWords()} No gradient: units that no gradient of the scores reaches on ` +
    `${counted(data.health.gradientSample, "image")} of them: training would not change them. A dash stands where 0 has no such meaning.`;
}

function boundWords() {
  return `If the images were drawn independently, such a unit fires on fewer than 3/N = ${percent(3 / data.count, data.count > 30 ? 2 : 0)} ` +
    "of such images, with 95 % confidence; it need not be dead on others.";
}
