// Results side by side: which panels may share a scale, and where their pictures are.

import { activation } from "../format";
import type { Job, Panel } from "../types";
import type { Limits } from "./colours";

// For each panel's position and each result one scale with all the results that have such a panel of the same quantity;
// null for a panel that is alone with its own.
export function sharedScales(jobs: readonly Job[]): (Limits | null)[][] {
  const most = Math.max(0, ...jobs.map(({ panels }) => panels.length));
  return Array.from({ length: most }, (_, position) => {
    const found = jobs.map(({ panels }) => panels[position]);
    return found.map((panel) => {
      const scales = found.flatMap((other) => (panel && other?.scale && comparable(panel, other) ? [other.scale] : []));
      if (scales.length < 2) return null;
      return { low: Math.min(...scales.map(({ low }) => low)), high: Math.max(...scales.map(({ high }) => high)) };
    });
  });
}

const comparable = (one: Panel, other: Panel): boolean =>
  one.kind === other.kind && one.scale?.quantity === other.scale?.quantity && one.scale?.signed === other.scale?.signed;

// So many results side by side have room; the others stand below them.
export function rowsOf<Thing>(things: readonly Thing[], room: number): Thing[][] {
  const across = Math.max(1, Math.floor((room + GAP) / (LEAST + GAP)));
  return Array.from({ length: Math.ceil(things.length / across) }, (_, row) => things.slice(row * across, (row + 1) * across));
}

export const [LEAST, GAP] = [300, 32]; // CSS px: the width of a result, and between two

export function pictureOf(panel: Panel, dark: boolean, scale: Limits | null): string {
  const query = new URLSearchParams();
  if (dark) query.set("dark", "1");
  if (scale) {
    query.set("low", String(scale.low));
    query.set("high", String(scale.high));
  }
  const text = query.toString();
  return text ? `${panel.picture}${panel.picture.includes("?") ? "&" : "?"}${text}` : panel.picture;
}

export const scaleWords = ({ low, high }: Limits): string =>
  `Here it is on the scale that it shares with other results, ${endOf(low)} to ${endOf(high)}.`;

const endOf = (value: number): string => (value === 0 ? "0" : activation(value));

// The ids in the address, newest first.
export const idsOf = (text: string | undefined): string[] => [...new Set((text ?? "").split(",").filter((id) => /^[\w-]{1,80}$/.test(id)))];

export const withId = (ids: readonly string[], id: string): string => [id, ...ids.filter((other) => other !== id)].join(",");

export const withoutIds = (ids: readonly string[], gone: readonly string[]): string => ids.filter((id) => !gone.includes(id)).join(",");
