// What a layer does and is made of: its filters, how strongly its units fire, its maps of some images.

function embedded({ width, height, bytes }, words, attributes = {}) {
  return make("img", { src: `data:image/webp;base64,${bytes}`, width, height, alt: words, ...attributes });
}

function inside(layer) {
  const figures = [vitalsFigure(layer), filtersFigure(layer)].filter(Boolean);
  return [make("div", { class: "inside" }, figures), mapsFigure(layer)].filter(Boolean);
}

function filtersFigure(layer) {
  const found = layer.filters;
  if (!found) return null;
  const size = found.size.join(" × ");
  const head = [make("strong", {}, "Filters. "), `${capital(found.verdict)}. `];
  if (!found.picture) {
    return make("figure", {}, make("figcaption", { class: "caption" }, head, `${counted(found.filters, "filter")} of ${size} over ` +
      `${counted(found.channels, "channel")}, of ${found.name}.`));
  }
  const shown = found.shown < found.filters ? `The first ${found.shown} of ${found.filters.toLocaleString("en")}` : `All ${found.shown}`;
  const colours = found.first
    ? "red, green and blue are the weights of these colours, mid-grey is 0"
    : `${found.channels > 1 ? "each as its leading spatial pattern, " : ""}grey is 0, blue negative, orange positive`;
  const words = `${shown} filters of ${found.name}, ${size}: ${colours}; the scale ±${activation(found.limit)}, one for all.`;
  return make("figure", {}, embedded(found.picture, `Filters of ${found.name}`, { class: "cells" }),
    make("figcaption", { class: "caption" }, head, words));
}

function vitalsFigure(layer) {
  const { vitals } = layer;
  const [low, high] = [activation(vitals.low), activation(vitals.high)];
  const words = [
    make("strong", {}, "Vitals. "),
    layer.silences ? `${stateWords(layer)} ` : "",
    `Columns are units, from the weakest mean to the strongest; upwards their greatest activation in an image, ${low} to ${high}; ` +
    `the brighter, the more of the ${counted(data.count, "image")} (full at ${percent(vitals.limit)}).`,
    vitals.zeros !== null && layer.silences ? ` ${percent(vitals.zeros)} of all activations are 0, Hoyer sparsity ${(vitals.hoyer ?? 0).toFixed(2)}.` : "",
  ];
  return make("figure", {}, embedded(vitals.picture, `Histograms of the units' maxima in ${layer.name}`, { class: "cells flat" }),
    make("figcaption", { class: "caption" }, words));
}

function stateWords({ vitals, shape }) {
  const parts = [vitals.dead ? `${counted(vitals.dead, "unit")} of ${shape[0].toLocaleString("en")} dead on these images` : "No unit is dead"];
  if (vitals.rare) parts.push(`${counted(vitals.rare, "unit")} rarely active`);
  parts.push(vitals.still ? `${counted(vitals.still, "unit")} without gradient` : "a gradient reaches every one");
  return `${parts.join(", ")}.`;
}

function mapsFigure(layer) {
  if (!layer.maps.length) return null;
  const pairs = layer.maps.filter(({ row }) => positions.has(row)).map(({ row, picture, high, low }) => {
    const position = positions.get(row);
    const image = make("img", { class: "input", alt: `${data.images.names[position]}, the input`, src: pictureAt(position).src });
    const scale = low < 0 ? `±${activation(high)}, mid-grey is 0` : `black is 0, full is ${activation(high)}`;
    return make("div", { class: "pair" }, image, embedded(picture, `Maps of ${layer.name} for ${data.images.names[position]}`, { class: "cells" }),
      make("span", { class: "quiet" }, scale));
  });
  if (!pairs.length) return null;
  const { shown } = layer.maps[0];
  const which = shown < layer.shape[0] ? `${shown} of ${layer.shape[0].toLocaleString("en")} units, evenly spaced` : `all ${shown} units`;
  return make("figure", { class: "maps" }, make("div", { class: "pairs" }, pairs), make("figcaption", { class: "caption" },
    make("strong", {}, "Activations. "), `The maps of ${which}, for ${counted(pairs.length, "image")}; each image on one scale.`));
}

const capital = (text) => text.slice(0, 1).toUpperCase() + text.slice(1);

// Szegedy's control: rows that look like units but are none.
function controlRows(layer) {
  const { directions } = arrays(layer);
  if (!directions || !directions.k) return null;
  const count = directions.rows.length / directions.k;
  if (!count) return null;
  const rows = Array.from({ length: count }, (_, number) => make("div", { class: "row" },
    make("div", { class: "side" }, make("em", {}, "random direction"), make("span", { class: "quiet" }, `control ${number + 1}`)),
    strip(directionPatches(layer, number), `random direction ${number} of ${layer.name}`)));
  return make("div", { class: "control" }, rows, make("p", { class: "caption" },
    "The control (Szegedy et al. 2014): random directions in the space of all units of the layer, found and cut in the same way. " +
    "Where a unit's patches look no more alike than these, they are no evidence that the meaning is in the single unit."));
}
