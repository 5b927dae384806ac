// Facts of the atlas that several views look up.

import type { Atlas, LayerRecord } from "./types";
import { activation, counted } from "./format";

export class Index {
  readonly followed: string[];
  readonly #records = new Map<string, LayerRecord>();
  readonly #order = new Map<string, number>();

  constructor(readonly atlas: Atlas) {
    this.followed = atlas.health.layers;
    for (const record of atlas.net.layers) for (const name of [record.name, ...record.aliases]) this.#records.set(name, record);
    this.followed.forEach((name, at) => this.#order.set(name, at));
  }

  // By any of its names.
  record(name: string): LayerRecord | undefined {
    return this.#records.get(name);
  }

  // Where a layer stands among the followed ones; -1 for others.
  place(name: string): number {
    return this.#order.get(this.record(name)?.name ?? name) ?? -1;
  }

  isOutput(name: string): boolean {
    return this.record(name)?.name === this.atlas.net.output;
  }

  // What a class is called.
  className(index: number): string {
    return this.atlas.net.labels?.[index] ?? `class ${index}`;
  }

  // What a unit is called: its number, or its class.
  unitName(layer: string, unit: number): string {
    return this.isOutput(layer) ? this.className(unit) : `unit ${unit}`;
  }

  // What one cell sees, in words.
  sight(record: LayerRecord): string {
    const { size, stride } = record.receptive;
    if (!size) return "the whole image";
    const [height, width] = this.atlas.net.size;
    const every = stride ? `, every ${activation(stride[0]).replace(/\.?0+$/, "")} px` : "";
    if (size[0] >= 2 * height && size[1] >= 2 * width) return "the whole image";
    return `${size[0]} × ${size[1]} px${every}`;
  }

  facts(record: LayerRecord): string {
    const [units = 0, rows, columns] = record.shape;
    return [
      record.rectified ? `rectifier (${record.kind})` : record.kind,
      rows === undefined ? counted(units, "unit") : `${counted(units, "unit")} in maps of ${rows} × ${columns}`,
      `a cell sees ${this.sight(record)}`,
      record.aliases.length ? `also called ${record.aliases.join(", ")}` : "",
    ].filter(Boolean).join(" · ");
  }
}
