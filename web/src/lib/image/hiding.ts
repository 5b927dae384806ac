// A square that hides a part of the image: where it stands, and how mouse, keys and maps move it.

import type { Behind, Form, Option } from "../types";
import type { Box } from "./fields";
import { keyOf, textOf } from "./forms";

export type Corner = readonly [top: number, left: number]; // px of the net's input
export type Sides = readonly [height: number, width: number];

export const TECHNIQUE = "occlusion"; // the one whose positions the square takes
export const AT = "at"; // the square's corner in the address, "occlusion.at=40,60"
const SHARED = ["window", "fill", "seed", "border"]; // options of the technique that the square follows
const FAR = 16; // px at an arrow with Shift

// "32" or "24x40"; null for what is none, or does not fit into the image.
export function sidesOf(text: string, size: Sides): Sides | null {
  const found = /^\s*(\d{1,5})\s*(?:[x×]\s*(\d{1,5})\s*)?$/i.exec(text);
  if (!found) return null;
  const height = Number(found[1]);
  const width = Number(found[2] ?? found[1]);
  return height >= 1 && width >= 1 && height <= size[0] && width <= size[1] ? [height, width] : null;
}

// Whole px, wholly inside the image; with `cut` it may stick out over the lower and the right edge.
export function inside([top, left]: Corner, size: Sides, sides: Sides, cut: boolean): Corner {
  const kept = (start: number, axis: 0 | 1) => Math.min(Math.max(Math.round(start), 0), size[axis] - (cut ? 1 : sides[axis]));
  return [kept(top, 0), kept(left, 1)];
}

// The corner in the address; without one the square stands in the middle.
export function cornerOf(text: string | undefined, size: Sides, sides: Sides, cut: boolean): Corner {
  const found = /^(\d{1,5}),(\d{1,5})$/.exec(text ?? "");
  return inside(found ? [Number(found[1]), Number(found[2])] : [(size[0] - sides[0]) / 2, (size[1] - sides[1]) / 2], size, sides, cut);
}

// So that its middle is at a point.
export const around = ([row, column]: Corner, [height, width]: Sides): Corner => [row - height / 2, column - width / 2];

// What of it lies inside the image.
export const boxOf = ([top, left]: Corner, [height, width]: Sides, size: Sides): Box => ({
  top, left, bottom: Math.min(top + height, size[0]), right: Math.min(left + width, size[1]),
});

const ARROWS: Record<string, Corner> = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

// One px at an arrow, FAR with Shift; null at any other key.
export function steered([top, left]: Corner, key: string, far: boolean): Corner | null {
  const step = ARROWS[key];
  const length = far ? FAR : 1;
  return step ? [top + length * step[0], left + length * step[1]] : null;
}

// Percentages of a box inside another one, as CSS places it.
export const framed = (box: Box, outer: Box): { left: number; top: number; width: number; height: number } => ({
  left: (100 * (box.left - outer.left)) / (outer.right - outer.left),
  top: (100 * (box.top - outer.top)) / (outer.bottom - outer.top),
  width: (100 * (box.right - box.left)) / (outer.right - outer.left),
  height: (100 * (box.bottom - box.top)) / (outer.bottom - outer.top),
});

// What a panel says of the windows that its cells stand for.
export interface Windows {
  positions: { tops: number[]; lefts: number[]; height: number; width: number };
  side: number; // of the image's longer side, CSS px; the image is at the picture's upper left
  image_size: Sides;
}

export function windowsOf(numbers: Partial<Windows>): Windows | null {
  const { positions, side, image_size } = numbers;
  return positions?.tops.length && positions.lefts.length && side && image_size ? { positions, side, image_size } : null;
}

// The window whose middle is nearest to a point of the picture, CSS px of its own size; null beside the image.
export function windowAt({ positions, side, image_size }: Windows, [y, x]: Corner): Corner | null {
  const factor = Math.max(...image_size) / side;
  const [row, column] = [y * factor, x * factor];
  if (row < 0 || column < 0 || row >= image_size[0] || column >= image_size[1]) return null;
  const nearest = (starts: number[], length: number, point: number) =>
    starts.reduce((found, one) => (Math.abs(one + length / 2 - point) < Math.abs(found + length / 2 - point) ? one : found));
  return [nearest(positions.tops, positions.height, row), nearest(positions.lefts, positions.width, column)];
}

const optionOf = (form: Form, name: string): Option | undefined => form.options.find((option) => option.name === name);

// What the form's option says, also where it says nothing.
export function said(form: Form, texts: Record<string, string>, name: string): string {
  const option = optionOf(form, name);
  return texts[keyOf(form, name)]?.trim() || (option ? textOf(option, option.default) : "");
}

// The square's options in the address, as a job was asked with: so that what one sees there is what the job computed.
export function textsOf(form: Form, asked: Record<string, unknown>): Record<string, string> {
  return Object.fromEntries(SHARED.flatMap((name) => {
    const option = optionOf(form, name);
    if (!option) return [];
    const text = name in asked ? textOf(option, asked[name]) : "";
    return [[keyOf(form, name), text === textOf(option, option.default) ? "" : text]];
  }));
}

// The class that is most probable now, and whether it is another one than without the square.
export function verdictOf({ top, before }: Behind): { unit: number; probability: number; changed: boolean } {
  const [unit, probability] = top[0] ?? [0, NaN];
  return { unit, probability, changed: unit !== before[0]?.[0] };
}

// One question at a time; of those that come meanwhile only the newest is asked next.
export class Latest<Question, Answer> {
  #next: { question: Question } | undefined;
  #busy = false;
  #closed = false;

  constructor(
    private readonly ask: (question: Question) => Promise<Answer>,
    private readonly hear: (question: Question, answer: Answer) => void,
    private readonly fail: (question: Question, problem: unknown) => void,
  ) {}

  put(question: Question): void {
    this.#next = { question };
    if (!this.#busy) void this.#work();
  }

  close(): void {
    this.#closed = true;
    this.#next = undefined;
  }

  async #work(): Promise<void> {
    this.#busy = true;
    while (this.#next) {
      const { question } = this.#next;
      this.#next = undefined;
      try {
        const answer = await this.ask(question);
        if (!this.#closed) this.hear(question, answer);
      } catch (problem) {
        if (!this.#closed) this.fail(question, problem);
      }
    }
    this.#busy = false;
  }
}
