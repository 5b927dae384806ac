// The images: what the net says of them, by label and one by one; and the files that were skipped.

const MANY = 24; // labels: a longer table scrolls by itself

function imagesPage(_, options) {
  const label = options.get("label");
  const byProbability = options.get("sort") === "probability";
  return [
    make("h1", {}, "Images"),
    make("p", { class: "facts" }, accuracyWords()),
    groupTable(),
    make("h2", {}, label === null ? "Every image" : label === "" ? "Images without a label" : label),
    make("div", { class: "controls" },
      choice("Sort by", [["label", "label"], ["probability", "probability"]], byProbability ? "probability" : "label",
        (value) => visit(imagesAddress(label, value))),
      label === null ? null : link(imagesAddress(null, options.get("sort")), "Show all labels")),
    make("p", { class: "caption" }, wallWords()),
    wall(label, byProbability),
  ];
}

function imagesAddress(label, sort) {
  const options = new URLSearchParams();
  if (label !== null) options.set("label", label);
  if (sort === "probability") options.set("sort", sort);
  return `#/images${options.size ? `?${options}` : ""}`;
}

function accuracyWords() {
  const found = data.accuracy;
  if (!found) {
    return "The labels of these images are no classes of the network (or there are none), so no accuracy is claimed. " +
      "What is predicted is the nearest of the classes it knows.";
  }
  const rest = data.count - found.of;
  return `Top-1 accuracy ${percent(found.right / found.of, 1)}: ${found.right.toLocaleString("en")} of ${counted(found.of, "image")} ` +
    `(95 % interval ${percent(found.low, 1)} to ${percent(found.high, 1)}, Wilson, for independent images).` +
    (rest ? ` The other ${counted(rest, "image")} have no label that is a class of the network and do not count.` : "");
}

function groupTable() {
  const accurate = data.accuracy !== null;
  const columns = [["Label", ""], ["Images", "number"], ["Most often predicted", ""]];
  if (accurate) columns.push(["Right", "number"], ["95 % interval", "number extra"]);
  const lines = data.groups.map(({ label, count, frequent, accuracy }) => {
    const cells = [
      link(imagesAddress(label ?? "", null), label ?? "no label", { class: "name" }),
      count.toLocaleString("en"),
      frequent.flatMap(([index, times], at) => [at ? ", " : "", className(index), " ", make("span", { class: "quiet" }, `${times}`)]),
    ];
    if (accurate) {
      cells.push(accuracy ? `${accuracy.right} of ${accuracy.of}` : "–",
        accuracy ? `${percent(accuracy.low)} to ${percent(accuracy.high)}` : "–");
    }
    return cells;
  });
  const found = table(columns, lines, { class: "groups" });
  if (lines.length > MANY) {
    found.classList.add("long");
    found.tabIndex = 0; // so that keys scroll it
  }
  return found;
}

function wallWords() {
  const here = data.images.names.length;
  const part = here < data.count ? `${here.toLocaleString("en")} of ${counted(data.count, "image")} are in this file: those that the patches are cut from. ` : "";
  return `${part}Under each picture its label, then the class that the net gives the highest probability. Click for the five best.`;
}

const pictureNearness = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      pictureNearness.unobserve(target);
      target.src = pictureAt(Number(target.dataset.image)).src;
    }
  },
  { rootMargin: "600px 0px" },
);

function wall(label, byProbability) {
  const { labels, probabilities, names } = data.images;
  const order = names.map((_, at) => at).filter((at) => label === null || (labels[at] ?? "") === label);
  const byLabel = (one, other) => compare(labels[one] ?? "", labels[other] ?? "") || one - other;
  order.sort(byProbability ? (one, other) => probabilities[other][0] - probabilities[one][0] || one - other : byLabel);
  return make("div", { class: "wall" }, order.map(imageCard));
}

const compare = (one, other) => (one < other ? -1 : one > other ? 1 : 0);

function imageCard(at) {
  const { labels, probabilities, top, correct, names } = data.images;
  const [height, width] = data.net.size;
  const image = make("img", { alt: "", width, height, "data-image": at });
  const verdict = correct[at] === null ? "" : correct[at] ? ", right" : ", wrong";
  return make("button", { class: "card", type: "button", title: names[at], on: { click: () => showPicture({ image: at }) } },
    image,
    make("span", { class: "quiet" }, labels[at] ?? "no label"),
    make("span", {}, `${className(top[at][0])} ${percent(probabilities[at][0])}${verdict}`));
}

const pictureDialog = document.getElementById("picture");
pictureDialog.addEventListener("click", (event) => event.target === pictureDialog && pictureDialog.close());

// One image whole, with the box of a patch if it was one, and the net's best classes.
function showPicture(patch) {
  const { names, labels, top, probabilities } = data.images;
  const at = patch.image;
  const [height, width] = data.net.size;
  const canvas = make("canvas", { role: "img", "aria-label": names[at] });
  canvas.style.aspectRatio = `${width} / ${height}`;
  const lines = top[at].map((index, rank) => {
    const bar = make("span", { class: "amount" });
    bar.style.width = `${100 * (probabilities[at][rank] ?? 0)}%`;
    return make("li", {}, make("span", {}, className(index)), make("span", { class: "number" }, percent(probabilities[at][rank], 1)), bar);
  });
  const words = make("div", { class: "words" },
    make("h2", {}, labels[at] ?? "no label"),
    make("p", { class: "quiet" }, names[at]),
    patch.box ? make("p", {}, patchWords(patch).split(" · ").slice(3).join(" · ")) : null,
    make("p", { class: "caption" }, "The net’s probabilities:"),
    make("ol", { class: "best" }, lines),
    make("button", { type: "button", on: { click: () => pictureDialog.close() } }, "Close"));
  pictureDialog.replaceChildren(canvas, words);
  pictureDialog.showModal();
  pictureAt(at).decode().then(() => {
    const context = prepare(canvas);
    drawTile(context, patch, pictureAt(at), 0, 0, canvas.clientWidth, { top: 0, left: 0, rows: height, columns: width }, false);
  });
}

function skippedPage() {
  const found = data.skipped;
  const words = found.length ? `${counted(found.length, "file")} could not be read and ${found.length === 1 ? "is" : "are"} in no number of this report.`
    : "None: every file was read.";
  return [make("h1", {}, "Skipped files"), make("p", { class: "facts" }, words),
    found.length ? table([["File", "name"], ["Reason", ""]], found) : null];
}
