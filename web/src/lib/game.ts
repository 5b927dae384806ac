// «Which row is a real neuron?»: a unit among random directions, in an order that follows from the round's number.

export interface Round {
  rows: number[]; // -1 is the unit, 0 … the directions
  unit: number; // place of the unit in the arrays
}

// A number that looks random and is the same for the same seed (mulberry32).
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const BESIDE = 2; // directions in a round

// The rows of one round; its unit is one of the candidates, its directions are drawn from all there are.
export function round(seed: number, candidates: readonly number[], directions: number): Round {
  const next = random(seed);
  const unit = candidates[Math.floor(next() * candidates.length)] ?? 0;
  const drawn = shuffled(Array.from({ length: directions }, (_, number) => number), next).slice(0, BESIDE);
  return { rows: shuffled([-1, ...drawn], next), unit };
}

function shuffled(values: number[], next: () => number): number[] {
  const found = [...values];
  for (let at = found.length - 1; at > 0; at--) {
    const other = Math.floor(next() * (at + 1));
    [found[at], found[other]] = [found[other] as number, found[at] as number];
  }
  return found;
}
