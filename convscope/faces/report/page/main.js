// Routes, keys and printing. The whole state of the page is in the address after the #.

const PAGES = { "": overview, layer: layerPage, images: imagesPage, skipped: skippedPage };
const KEYS = [["j, k", "next or previous unit"], ["← →", "previous or next layer; within a row: its patches"], ["Enter", "the whole image of a patch"],
  ["/", "go to a unit"], ["o", "overview"], ["i", "images"], ["?", "this list"], ["Esc", "close"]];
const PRINTED = 120; // units of a layer on paper, at most
const main = document.getElementById("main");
const scrolls = new Map(); // address → how far it was scrolled, for back and forward
let current = null;
let fresh = true; // whether the visit is a new one, not a step back or forward

function parse(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const [page = "", ...rest] = path.split("/");
  return { page, rest: rest.map(decoded), options: new URLSearchParams(query) };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

const currentOptions = () => (location.hash.includes("?") ? location.hash.slice(location.hash.indexOf("?")) : "");

function visit(address) {
  fresh = true;
  if (location.hash === address) show();
  else location.hash = address;
}

function show() {
  if (current !== null) scrolls.set(current, scrollY);
  const { page, rest, options } = parse(location.hash);
  const before = current === null ? null : parse(current);
  current = location.hash;
  const same = before && before.page === "layer" && page === "layer" && before.rest[0] === rest[0] && String(before.options) === String(options);
  say("");
  if (same && main.childElementCount) return arrive(rest[1] === undefined ? null : `unit-${rest[1]}`);
  const found = (Object.hasOwn(PAGES, page) ? PAGES[page] : overview)(rest, options);
  const { nodes, title = "", target = null, missing = "" } = Array.isArray(found) ? { nodes: found } : found;
  nearness.disconnect();
  pictureNearness.disconnect();
  near.clear();
  waiting.clear();
  main.replaceChildren(...nodes.filter(Boolean));
  main.querySelectorAll(".strip canvas").forEach((canvas) => nearness.observe(canvas));
  main.querySelectorAll("img[data-image]").forEach((image) => pictureNearness.observe(image));
  document.title = `${title ? `${title} · ` : ""}${data.net.name} · Convscope`;
  document.querySelectorAll("#bar a").forEach((node) => node.toggleAttribute("aria-current", node.dataset.page === page));
  document.querySelector("#bar select").value = page === "layer" && layerOf.has(rest[0]) ? layerAddress(layerOf.get(rest[0])) : "";
  arrive(target);
  if (missing) say(missing);
}

// Scrolls to a unit, to where the page was left, or to the top.
function arrive(target) {
  document.querySelector(".unit.chosen")?.classList.remove("chosen");
  const unit = target === null ? null : document.getElementById(target);
  unit?.classList.add("chosen");
  if (!fresh && scrolls.has(current)) scrollTo(0, scrolls.get(current));
  else if (unit) unit.scrollIntoView({ block: "center" });
  else scrollTo(0, 0);
  fresh = false;
}

function bar() {
  const items = [["", "Overview"], ["images", "Images"], ["skipped", data.skipped.length ? `Skipped (${data.skipped.length})` : "Skipped"]];
  const layers = make("select", { "aria-label": "Layer", on: { change: () => layers.value && visit(layers.value) } },
    make("option", { value: "" }, "Layers"), data.layers.map((layer) => make("option", { value: layerAddress(layer) }, layer.name)));
  const [first, ...others] = items.map(([page, text]) => link(`#/${page}`, text, { "data-page": page }));
  document.getElementById("bar").replaceChildren(make("nav", { "aria-label": "Report" }, first, layers, ...others,
    make("button", { type: "button", class: "plain", on: { click: showKeys } }, "Keys")));
}

const keys = document.getElementById("keys");
keys.addEventListener("click", () => keys.close());

function showKeys() {
  const lines = KEYS.flatMap(([key, words]) => [make("dt", {}, key), make("dd", {}, words)]);
  keys.replaceChildren(make("h2", {}, "Keys"), make("dl", {}, lines));
  if (!keys.open) keys.showModal();
}

function step(by) {
  const units = [...main.querySelectorAll(".unit")];
  if (!units.length) return;
  const focused = document.activeElement.closest?.(".unit") ?? main.querySelector(".unit.chosen");
  const line = innerHeight / 3;
  const visible = units.findIndex((unit) => unit.getBoundingClientRect().bottom > line);
  const at = focused ? units.indexOf(focused) + by : by > 0 ? visible : visible - 1;
  const unit = units[Math.min(Math.max(at, 0), units.length - 1)];
  unit.scrollIntoView({ block: "center" });
  unit.querySelector("canvas").focus({ preventScroll: true, focusVisible: true });
  if (!unit.id) return;
  main.querySelector(".unit.chosen")?.classList.remove("chosen");
  unit.classList.add("chosen");
  history.replaceState(null, "", unit.querySelector(".name").getAttribute("href") + currentOptions());
  current = location.hash;
}

function stepLayer(rel) {
  const next = main.querySelector(`a[rel=${rel}]`);
  if (next) visit(next.getAttribute("href"));
}

addEventListener("keydown", (event) => {
  const typing = event.target.matches?.("input, select, textarea");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const does = {
    j: () => step(1), k: () => step(-1), ArrowRight: () => stepLayer("next"), ArrowLeft: () => stepLayer("prev"),
    "/": () => document.getElementById("jump")?.focus(), o: () => visit("#/"), i: () => visit("#/images"), "?": showKeys,
  }[event.key];
  if (!does) return;
  event.preventDefault();
  does();
});

// Paper: the pictures are opened beforehand, since nothing can be waited for once printing begins.
function openAll() {
  for (let position = 0; position < data.pictures.length; position += 1) pictureAt(position);
}
addEventListener("load", () => (window.requestIdleCallback ?? setTimeout)(openAll));
addEventListener("beforeprint", () => {
  const units = [...main.querySelectorAll(".unit")];
  units.slice(PRINTED).forEach((unit) => { unit.hidden = true; });
  units.slice(0, PRINTED).forEach((unit) => drawNow(unit.querySelector("canvas")));
  if (units.length > PRINTED) {
    main.append(make("p", { class: "caption printed" }, `Printed are the first ${PRINTED} of ${counted(units.length, "unit")}.`));
  }
});
addEventListener("afterprint", () => {
  main.querySelectorAll(".unit[hidden]").forEach((unit) => { unit.hidden = false; });
  main.querySelector(".printed")?.remove();
});

history.scrollRestoration = "manual";
addEventListener("click", (event) => { fresh = Boolean(event.target.closest?.("a[href^='#']")) || fresh; }, true);
addEventListener("hashchange", show);
narrow.addEventListener("change", () => { current = null; fresh = false; show(); });
bar();
show();
