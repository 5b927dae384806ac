// The one selection that drives all views, and the address in which it lives.
//
// #/unit?layer=layer1.0&unit=17&image=203&place=4,5&sort=maximum

export const VIEWS = ["net", "layer", "unit", "image", "images", "map", "grid", "skipped"] as const;
export type View = (typeof VIEWS)[number];

export interface Selection {
  view: View;
  layer: string; // "" for none
  unit: number | null;
  image: string; // a row of the atlas, or "upload-…"; "" for none
  place: [number, number] | null; // row, column
  options: Record<string, string>; // of the view: sort, filter, boost, …
}

export const START: Selection = { view: "net", layer: "", unit: null, image: "", place: null, options: {} };

export function parse(hash: string): Selection {
  const [path = "", query = ""] = hash.replace(/^#?\/?/, "").split("?", 2);
  const options = Object.fromEntries(new URLSearchParams(query));
  const { layer = "", unit, image = "", place, ...rest } = options;
  return {
    view: VIEWS.find((view) => view === path) ?? "net",
    layer,
    unit: wholeNumber(unit),
    image,
    place: placeOf(place),
    options: rest,
  };
}

export function format({ view, layer, unit, image, place, options }: Selection): string {
  const query = new URLSearchParams();
  if (layer) query.set("layer", layer);
  if (unit !== null) query.set("unit", String(unit));
  if (image) query.set("image", image);
  if (place) query.set("place", place.join(","));
  for (const name of Object.keys(options).sort()) if (options[name]) query.set(name, options[name]);
  const text = query.toString().replaceAll("%2C", ",").replaceAll("%3A", ":").replaceAll("%2F", "/");
  return `#/${view}${text ? `?${text}` : ""}`;
}

const LASTING = ["jobs", "codes", "picked"]; // options that a change of view keeps: results, and what was chosen on the map

// A change of layer forgets unit and place, a change of image the place, a change of view its options.
export function changed(now: Selection, change: Partial<Selection>): Selection {
  const next = { ...now, ...change };
  if (change.layer !== undefined && change.layer !== now.layer && change.unit === undefined) next.unit = null;
  const moved = next.layer !== now.layer || next.image !== now.image;
  if (moved && change.place === undefined) next.place = null;
  if (next.view !== now.view) {
    const lasting = Object.entries(now.options).filter(([name]) => LASTING.includes(name));
    next.options = { ...Object.fromEntries(lasting), ...change.options };
  }
  return next;
}

function wholeNumber(text: string | undefined): number | null {
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : null;
}

function placeOf(text: string | undefined): [number, number] | null {
  const found = /^(\d{1,6}),(\d{1,6})$/.exec(text ?? "");
  return found ? [Number(found[1]), Number(found[2])] : null;
}
