// Elements. Text always goes in as text: names of files, labels and layers are never read as markup.

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") for (const [event, heard] of Object.entries(value)) node.addEventListener(event, heard);
    else if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== ""));
  return node;
}

const link = (address, text, attributes = {}) => make("a", { href: address, ...attributes }, text);
const layerAddress = (layer, unit = null) =>
  `#/layer/${encodeURIComponent(layer.name)}${unit === null ? "" : `/${unit}`}`;

// How much of the input a cell sees, as a square in a square.
function sightDrawing(layer) {
  const { rows, columns } = sight(layer);
  const [height, width] = data.net.size;
  const inner = make("span");
  inner.style.height = `${100 * rows}%`;
  inner.style.width = `${100 * columns}%`;
  const outer = make("span", { class: "sight", "aria-hidden": "true" }, inner);
  outer.style.aspectRatio = `${width} / ${height}`;
  return outer;
}

function choice(label, options, chosen, heard) {
  const select = make("select", { on: { change: () => heard(select.value) } });
  for (const [value, text] of options) select.append(make("option", { value, selected: value === chosen }, text));
  return make("label", { class: "choice" }, label, select);
}

// A table whose numbers stand under one another; columns: [title, class]
function table(columns, lines, attributes = {}) {
  const head = make("tr", {}, columns.map(([title, kind]) => make("th", { class: kind, scope: "col" }, title)));
  const rows = lines.map((cells) =>
    make("tr", {}, cells.map((cell, at) => make("td", { class: columns[at][1] }, ...[cell].flat()))));
  return make("div", { class: "wide" }, make("table", attributes, make("thead", {}, head), make("tbody", {}, rows)));
}

const status = document.getElementById("status");

function say(text) {
  status.textContent = text;
  status.classList.toggle("shown", text !== "");
}
