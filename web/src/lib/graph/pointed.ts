// What is pointed at in the drawing, and the keys that move along it.

export interface Pointed {
  box: number; // -1 for none
  layer: number; // of the net; -1 for the box as a whole
}

// The next of `count` things for a key; null where the key does not move.
export function step(key: string, at: number, count: number): number | null {
  const next = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: count - 1 }[key];
  return next === undefined ? null : Math.min(Math.max(next, 0), count - 1);
}
