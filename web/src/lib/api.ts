// The paths of the small data interface; a server and an offline file answer the same ones.

const part = encodeURIComponent;
const query = (options: object): string => Object.entries(options).map(([name, value]) => (value === undefined ? "" : `&${name}=${part(String(value))}`)).join("");

export const paths = {
  atlas: "api/atlas",
  live: "api/live",
  layer: (name: string) => `api/layers/${part(name)}`,
  units: (name: string) => `api/layers/${part(name)}/units.bin`,
  histograms: (name: string) => `api/layers/${part(name)}/histograms.bin`, // arrays counts (U, 64), edges (U, 2)
  images: (query: URLSearchParams) => `api/images?${query}`, // offset, count, label, predicted, correct, search
  image: (image: string | number) => `api/images/${part(image)}`,
  picture: (image: string | number) => `api/images/${part(image)}/picture`, // as the net saw it
  pictures: (rows: readonly number[]) => `api/pictures?rows=${rows.join(",")}`, // arrays row3, row17, …: one file each
  skipped: "api/skipped",
  rows: (rows: readonly number[]) => `api/rows?rows=${rows.join(",")}`, // ImageRow of each
  columns: "api/images.bin", // arrays: label, labels, predicted, probability, correct of every image; see colouring.ts
  thumbnails: (rows: readonly number[]) => `api/thumbnails?rows=${rows.join(",")}`, // array pictures (n, height, width, 3)
  codes: "api/codes",
  map: (layer: string, method: string, made = {}) => `api/map?layer=${part(layer)}&method=${method}${query(made)}`, // see MapPage; 404 where it has to be computed
  positions: (layer: string, method: string, made = {}) => `api/map/positions.bin?layer=${part(layer)}&method=${method}${query(made)}`, // array positions (N, 2), y upwards
  mapJobs: "api/maps", // POST
  showing: (id: string) => `api/jobs/${part(id)}/positions.bin`, // of a job's map as it stands
  grid: (layer: string, way: string) => `api/grid?layer=${part(layer)}&way=${way}`, // see GridPage; 404 where it has to be computed
  owners: (layer: string, way: string) => `api/grid/owners.bin?layer=${part(layer)}&way=${way}`, // array owners (rows, columns), -1 in empty cells
  tile: (layer: string, way: string, { level, column, row }: { level: number; column: number; row: number }) => `api/grid/tiles/${level}/${column}_${row}.webp?layer=${part(layer)}&way=${way}`,
  gridJobs: "api/grids", // POST
  neighbours: (image: string | number, layer: string, k: number) => `api/images/${part(image)}/neighbours?layer=${part(layer)}&k=${k}`,
  // with a live net only
  uploads: "api/uploads", // POST the file's bytes, ?name=
  maps: (image: string, layer: string) => `api/maps?image=${part(image)}&layer=${part(layer)}`, // arrays maps (C, H, W)
  fields: (layer: string, unit: number) => `api/fields?layer=${part(layer)}&unit=${unit}`, // arrays rows (H, 2), columns (W, 2)
  weights: (layer: string, unit: number) => `api/weights?layer=${part(layer)}&unit=${unit}`, // see Feeding
  projections: (layer: string, unit: number, method: string) => `api/projections?layer=${part(layer)}&unit=${unit}&method=${method}`, // see projections.ts
  occlude: "api/occlude", // POST; see Behind
  occluder: (image: string, options: Record<string, unknown>) => `api/occluder.webp?image=${part(image)}${query(options)}`,
  run: (technique: string) => `api/run/${part(technique)}`, // POST
  jobs: "api/jobs",
  job: (id: string) => `api/jobs/${part(id)}`,
  events: (ids: readonly string[]) => `api/jobs/events?ids=${ids.map(part).join(",")}`, // server-sent: a Job, or {id, state: "lost"}
  stop: (id: string) => `api/jobs/${part(id)}/stop`, // POST
  saved: (id: string, form: "png" | "html" | "npz") => `api/jobs/${part(id)}/result.${form}`,
};
