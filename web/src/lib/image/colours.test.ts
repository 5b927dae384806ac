import { describe, expect, it } from "vitest";
import { diverging, limitsOf, magma, paint } from "./colours";

// convscope.render.pixels.lookup: all of matplotlib's magma with black at 0, and every 16th of the diverging colours
const MAGMA = [
  "00000001000501010601010802010902020b02020d03030f03031204041405041606051806051a07061c08071e0907200a08220b09240c09260d0a29",
  "0e0b2b100b2d110c2f120d31130d34140e36150e38160f3b180f3d19103f1a10421c10441d11471e114920114b21114e221150241253251255271258",
  "29115a2a115c2c115f2d11612f116331116533106734106936106b38106c390f6e3b0f703d0f713f0f72400f74420f75440f76451077471078491078",
  "4a10794c117a4e117b4f127b51127c52137c54137d56147d57157e59157e5a167e5c167f5d177f5f187f601880621980641a80651a80671b80681c81",
  "6a1c816b1d816d1d816e1e81701f81721f817320817521817621817822817922827b23827c23827e2482802582812581832681842681862781882781",
  "8928818b29818c29818e2a81902a81912b81932b80942c80962c80982d80992d809b2e7f9c2e7f9e2f7fa02f7fa1307ea3307ea5317ea6317da8327d",
  "aa337dab337cad347cae347bb0357bb2357bb3367ab5367ab73779b83779ba3878bc3978bd3977bf3a77c03a76c23b75c43c75c53c74c73d73c83e73",
  "ca3e72cc3f71cd4071cf4070d0416fd2426fd3436ed5446dd6456cd8456cd9466bdb476adc4869de4968df4a68e04c67e24d66e34e65e44f64e55064",
  "e75263e85362e95462ea5661eb5760ec5860ed5a5fee5b5eef5d5ef05f5ef1605df2625df2645cf3655cf4675cf4695cf56b5cf66c5cf66e5cf7705c",
  "f7725cf8745cf8765cf9785df9795df97b5dfa7d5efa7f5efa815ffb835ffb8560fb8761fc8961fc8a62fc8c63fc8e64fc9065fd9266fd9467fd9668",
  "fd9869fd9a6afd9b6bfe9d6cfe9f6dfea16efea36ffea571fea772fea973feaa74feac76feae77feb078feb27afeb47bfeb67cfeb77efeb97ffebb81",
  "febd82febf84fec185fec287fec488fec68afec88cfeca8dfecc8ffecd90fecf92fed194fed395fed597fed799fed89afdda9cfddc9efddea0fde0a1",
  "fde2a3fde3a5fde5a7fde7a9fde9aafdebacfcecaefceeb0fcf0b2fcf2b4fcf4b6fcf6b8fcf7b9fcf9bbfcfbbdfcfdbf",
].join("");
const DIVERGING =
  "bae0ff97cbfa74b6f551a1f02e8ceb4289d05786b66c839b8080809a8066b37f4dcc7e34e67e1aec963ef2ae63f9c788ffdfac";

const channels = (colour: number) => [colour & 255, (colour >> 8) & 255, (colour >> 16) & 255];
const expected = (text: string, at: number) => [0, 2, 4].map((start) => parseInt(text.slice(6 * at + start, 6 * at + start + 2), 16));

const distance = (colour: number, wanted: number[]) => Math.max(...channels(colour).map((value, channel) => Math.abs(value - (wanted[channel] as number))));

describe("colours", () => {
  it("are magma, within 2 of 255, and exactly black at 0", () => {
    expect(magma.length).toBe(256);
    for (let at = 0; at < 256; at += 1) expect(distance(magma[at] as number, expected(MAGMA, at))).toBeLessThanOrEqual(2);
    expect(channels(magma[0] as number)).toEqual([0, 0, 0]);
  });

  it("diverge about exactly mid-grey", () => {
    expect(diverging.length).toBe(257);
    expect(channels(diverging[128] as number)).toEqual([128, 128, 128]);
    for (let at = 0; at <= 16; at += 1) expect(distance(diverging[16 * at] as number, expected(DIVERGING, at))).toBeLessThanOrEqual(1);
  });

  it("are opaque", () => {
    for (const colour of [...magma, ...diverging]) expect(colour >>> 24).toBe(255);
  });
});

describe("limits", () => {
  it("go from 0 to the greatest value, divided by the boost", () => {
    expect(limitsOf(0, 6, false)).toEqual({ low: 0, high: 6 });
    expect(limitsOf(0, 6, false, 4)).toEqual({ low: 0, high: 1.5 });
  });

  it("go as far on both sides of 0", () => {
    expect(limitsOf(-2, 5, true)).toEqual({ low: -5, high: 5 });
    expect(limitsOf(-8, 5, true, 2)).toEqual({ low: -4, high: 4 });
  });

  it("are never equal", () => {
    expect(limitsOf(0, 0, false)).toEqual({ low: 0, high: 1 });
    expect(limitsOf(0, 0, true)).toEqual({ low: -1, high: 1 });
  });
});

describe("paint", () => {
  const painted = (values: number[], low: number, high: number, signed: boolean) => {
    const pixels = new Uint32Array(values.length);
    paint(pixels, Float32Array.from(values), 0, { low, high }, signed);
    return [...pixels];
  };

  it("gives 0 black, the ends their colours, and what is beyond the same", () => {
    expect(painted([0, 4, 9, -1], 0, 4, false)).toEqual([magma[0], magma[255], magma[255], magma[0]]);
  });

  it("gives 0 mid-grey where values are signed", () => {
    expect(painted([-2, 0, 2, 5], -2, 2, true)).toEqual([diverging[0], diverging[128], diverging[256], diverging[256]]);
  });

  it("gives light grey to what is no number, and the end to what is infinite", () => {
    expect(channels(painted([NaN], 0, 1, false)[0] as number)).toEqual([205, 205, 205]);
    expect(painted([Infinity, -Infinity], 0, 1, false)).toEqual([magma[255], magma[0]]);
  });

  it("begins where it is told", () => {
    const pixels = new Uint32Array(2);
    paint(pixels, Float32Array.of(9, 9, 0, 1), 2, { low: 0, high: 1 }, false);
    expect([...pixels]).toEqual([magma[0], magma[255]]);
  });
});
