// Results side by side: which panels may share a scale, and where their pictures are.

import { activation } from "../format";
import type { Job, Panel } from "../types";
import type { Limits } from "./colours";

// For each panel's position one scale for all results that have such a panel, of the same quantity; null where there
// are not two.
export function sharedScales(jobs: readonly Job[]): (Limits | null)[] {
  const most = Math.max(0, ...jobs.map(({ panels }) => panels.length));
  return Array.from({ length: most }, (_, position) => {
    const found = jobs.map(({ panels }) => panels[position]).filter((panel) => panel !== undefined);
    const [first] = found;
    if (found.length < 2 || !first?.scale || !found.every((panel) => comparable(first, panel))) return null;
    const scales = found.map(({ scale }) => scale as NonNullable<Panel["scale"]>);
    return { low: Math.min(...scales.map(({ low }) => low)), high: Math.max(...scales.map(({ high }) => high)) };
  });
}

const comparable = (one: Panel, other: Panel): boolean =>
  one.kind === other.kind && other.scale !== null && one.scale?.quantity === other.scale.quantity && one.scale.signed === other.scale.signed;

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
  `Here it is on the scale that it shares with the results beside it, ${endOf(low)} to ${endOf(high)}.`;

const endOf = (value: number): string => (value === 0 ? "0" : activation(value));

// The ids in the address, newest first.
export const idsOf = (text: string | undefined): string[] => [...new Set((text ?? "").split(",").filter((id) => /^[\w-]{1,80}$/.test(id)))];

export const withId = (ids: readonly string[], id: string): string => [id, ...ids.filter((other) => other !== id)].join(",");

export const withoutIds = (ids: readonly string[], gone: readonly string[]): string => ids.filter((id) => !gone.includes(id)).join(",");
