// The gradient methods side by side: one image and one target, a job for each method.

import type { Selection } from "../address";
import type { Form, Job } from "../types";

export const COMPARED = ["saliency", "deconvnet", "guided_backprop"] as const; // in the order of their columns
export const KEY = "compare"; // of what is open, and of its target: "compare.target"

// Those of the methods that the server has, if there are several.
export function comparable(forms: readonly Form[]): Form[] {
  const found = COMPARED.flatMap((name) => forms.filter((form) => form.name === name && form.takes.includes("image") && form.takes.includes("target")));
  return found.length > 1 ? found : [];
}

// What each method is asked: everything else is as its own form has it by default.
export const bodyOf = (image: string, target: string): Record<string, string> => ({ image, ...(target ? { target } : {}) });

// The unit that the page was opened with, as a target: "layer4:17@5,2".
export function targetOf({ layer, unit, place }: Pick<Selection, "layer" | "unit" | "place">): string {
  if (!layer || unit === null) return "";
  return `${layer}:${unit}${place ? `@${place.join(",")}` : ""}`;
}

// Of the jobs that are shown those that were asked for together, and the others.
export function parted(jobs: readonly Job[], ids: readonly string[]): { together: Job[]; others: Job[] } {
  const known = new Map(jobs.map((job) => [job.id, job]));
  const together = ids.map((id) => known.get(id)).filter((job) => job !== undefined);
  return { together, others: jobs.filter(({ id }) => !ids.includes(id)) };
}

// Ids in the address, the newest comparison first, its methods in their order.
export const withAll = (ids: readonly string[], added: readonly string[]): string => [...added, ...ids.filter((id) => !added.includes(id))].join(",");
