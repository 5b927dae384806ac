// The data of the page: one JSON block; arrays in it are little-endian bytes in base64.

const data = JSON.parse(document.getElementById("data").textContent);
document.getElementById("data").remove();

function numbers(text, Kind) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  return new Kind(bytes.buffer);
}

// row in the atlas → position of the image in this file
const positions = new Map(Array.from(numbers(data.images.rows, Int32Array), (row, position) => [row, position]));
const layerOf = new Map(data.layers.flatMap((layer) => [layer.name, ...layer.aliases].map((name) => [name, layer])));
const arraysOf = new Map();

function arrays(layer) {
  if (!arraysOf.has(layer)) {
    const found = { table: numbers(layer.table, Int16Array), units: numbers(layer.units, Int32Array), strongest: stripsOf(layer) };
    for (const name of ["middle", "directions"]) if (layer[name]) found[name] = stripsOf(layer[name]);
    if (layer.excited) {
      found.excited = { k: 3, classes: numbers(layer.excited.classes, Int32Array), means: numbers(layer.excited.means, Float32Array),
        counts: numbers(layer.excited.counts, Int32Array) };
    }
    found.values = found.strongest.values;
    found.index = new Map(Array.from(found.units, (unit, index) => [unit, index]));
    arraysOf.set(layer, found);
  }
  return arraysOf.get(layer);
}

const stripsOf = ({ k, rows, values, cells }) =>
  ({ k, rows: numbers(rows, Int32Array), values: numbers(values, Float32Array), cells: numbers(cells, Int32Array) });

// Some patches of one row: which image, the activation, its place, and the box that the place can see.
function patchesIn(layer, strips, at, more) {
  const { table } = arrays(layer);
  const found = [];
  for (let entry = at * strips.k; entry < (at + 1) * strips.k; entry += 1) {
    if (strips.rows[entry] < 0) continue;
    const [row, column, top, left, bottom, right] = table.subarray(strips.cells[entry] * 6, strips.cells[entry] * 6 + 6);
    const box = { top, left, bottom, right };
    found.push({ layer, image: positions.get(strips.rows[entry]), value: strips.values[entry], place: { row, column }, box, ...more });
  }
  return found;
}

// The patches of a unit, best first; then, if wished, its middle. `beside`: there is room for a middle in the row.
function patchesOf(layer, unit, middle = false) {
  const { index, strongest, middle: others } = arrays(layer);
  const own = patchesIn(layer, strongest, index.get(unit), { unit, beside: middle && Boolean(others) });
  return middle && others ? [...own, ...patchesIn(layer, others, index.get(unit), { unit, middle })] : own;
}

const directionPatches = (layer, number) => patchesIn(layer, arrays(layer).directions, number, { direction: number, beside: true });

// The predicted classes that excite a unit, by falling mean of its maxima.
function excitedBy(layer, unit) {
  const { index, excited } = arrays(layer);
  if (!excited) return [];
  return Array.from({ length: excited.k }, (_, at) => index.get(unit) * excited.k + at)
    .filter((at) => excited.classes[at] >= 0)
    .map((at) => ({ name: className(excited.classes[at]), mean: excited.means[at], images: excited.counts[at] }));
}

const isOutput = (layer) => layer.name === data.net.output;
const className = (index) => data.net.labels?.[index] ?? `class ${index}`;
const unitName = (layer, unit) => (isOutput(layer) ? className(unit) : `unit ${unit}`);
const maximumOf = (layer, unit) => arrays(layer).values[arrays(layer).index.get(unit) * layer.k];

// Words for numbers

const counted = (count, one, many = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
const NUMBERS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
const inWords = (count) => NUMBERS[count] ?? String(count);

function percent(part, digits = 0) {
  return part === null ? "not a number" : `${(100 * part).toFixed(digits)}\u00a0%`;
}

function activation(value) {
  const size = Math.abs(value);
  const digits = size >= 100 ? 0 : size >= 10 ? 1 : size >= 0.1 || size === 0 ? 2 : 3;
  return value.toFixed(digits).replace("-", "−");
}

function shapeOf(layer) {
  return layer.shape.join(" × ");
}

// What a cell of the layer can see, in words and as parts of the input's height and width.
function sight(layer) {
  const { status, size, stride } = layer.receptive;
  if (status === "whole image" || size === null) return { words: "whole image", rows: 1, columns: 1, whole: true };
  const [height, width] = data.net.size;
  const step = stride === null ? "" : stride[0] === stride[1] ? stride[0] : stride.join(" and ");
  return {
    words: `${size[0]} × ${size[1]} px`,
    every: step === "" ? "" : `every ${step} px`,
    rows: Math.min(size[0] / height, 1),
    columns: Math.min(size[1] / width, 1),
    whole: size[0] >= 2 * height && size[1] >= 2 * width,
  };
}
