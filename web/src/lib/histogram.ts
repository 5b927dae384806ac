// A histogram over [-2^e, 2^e] as people look at it: from the first bin with something in it, or 0, to the last.

export interface Bin {
  low: number;
  high: number;
  count: number;
}

export function bins(counts: Int32Array, low: number, high: number): Bin[] {
  const step = (high - low) / counts.length;
  const all = Array.from(counts, (count, at) => ({ low: low + at * step, high: low + (at + 1) * step, count }));
  const first = all.findIndex(({ count }) => count > 0);
  if (first < 0) return [];
  const last = all.findLastIndex(({ count }) => count > 0);
  const zero = counts.length / 2; // the bin that begins at 0
  return all.slice(Math.min(first, zero), Math.max(last + 1, zero + 1));
}
