// Values to colours, as the pictures of the techniques have them: magma from exactly black at 0; where values are below
// 0 too, blue (negative) and orange (positive) about mid-grey.

export interface Limits {
  low: number;
  high: number;
}

type Stop = [at: number, red: number, green: number, blue: number];

const MAGMA: Stop[] = [
  [0, 0, 0, 4], [7, 3, 3, 15], [20, 14, 11, 43], [38, 37, 18, 85], [48, 54, 16, 107], [58, 71, 16, 120], [75, 98, 25, 128],
  [105, 145, 43, 129], [133, 191, 58, 119], [152, 220, 72, 105], [168, 239, 93, 94], [182, 248, 118, 92], [195, 252, 142, 100],
  [213, 254, 176, 120], [239, 253, 224, 161], [255, 252, 253, 191],
];
const DIVERGING: Stop[] = [
  [0, 186, 224, 255], [64, 46, 140, 235], [128, 128, 128, 128], [192, 230, 126, 26], [256, 255, 223, 172],
];
const MISSING = rgba(205, 205, 205); // what is not a number

// One 32-bit colour an entry, as the pixels of a canvas hold them in memory.
export const magma = table(MAGMA);
magma[0] = rgba(0, 0, 0);
export const diverging = table(DIVERGING);

export const tableOf = (signed: boolean): Uint32Array => (signed ? diverging : magma);

function rgba(red: number, green: number, blue: number): number {
  return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

function table(stops: Stop[]): Uint32Array {
  const length = (stops.at(-1)?.[0] ?? 0) + 1;
  let above = 1;
  return Uint32Array.from({ length }, (_, at) => {
    while (above < stops.length - 1 && at > (stops[above] as Stop)[0]) above += 1;
    const [from, to] = [stops[above - 1] as Stop, stops[above] as Stop];
    const share = (at - from[0]) / (to[0] - from[0]);
    const [red, green, blue] = [1, 2, 3].map((channel) => Math.round((from[channel] as number) + share * ((to[channel] as number) - (from[channel] as number))));
    return rgba(red as number, green as number, blue as number);
  });
}

// The ends of a scale: 0 to the greatest value, or as far on both sides of 0; never equal. A boost brings them nearer.
export function limitsOf(low: number, high: number, signed: boolean, boost = 1): Limits {
  if (signed) {
    const reach = (Math.max(Math.abs(low), Math.abs(high)) || 1) / boost;
    return { low: -reach, high: reach };
  }
  return { low: 0, high: (high > 0 ? high : 1) / boost };
}

// Colours of values[from, from + pixels.length); beyond the limits as at them.
export function paint(pixels: Uint32Array, values: Float32Array, from: number, { low, high }: Limits, signed: boolean): void {
  const colours = tableOf(signed);
  const last = colours.length - 1;
  const gain = last / (high - low);
  for (let at = 0; at < pixels.length; at += 1) {
    const value = values[from + at] as number;
    const step = (value - low) * gain + 0.5;
    pixels[at] = value !== value ? MISSING : (colours[step <= 0 ? 0 : step >= last ? last : step | 0] as number);
  }
}
