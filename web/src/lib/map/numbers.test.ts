import { describe, expect, it } from "vitest";
import { codeWords, howWords, linesOf, methodOf, purityWords, wayOf, type MapPage } from "./numbers";
import { codeOf } from "./codes";
import { gapOf, imageSide } from "./sight";
import { sideOf } from "./scatter";

const page: MapPage = {
  layer: "pool", dimension: 1280, rectified: true, method: "tsne", seed: 0, begun: "", laid_out: 100_000, perplexity: 30, divergence: 1, images: 150_000,
  truth: { recall: 0.5, trustworthiness: 0.9, distances: -0.25, sample: 2000 }, pixel_truth: { recall: 0.1, trustworthiness: null, distances: 0, sample: 2000 },
  purity: { codes: 0.9, map: 0.8, pixels: 0.3, chance: 0.1, images: 2000 },
};
const code = { name: "pool", dimension: 1, rectified: false, maps: [], grids: [] };

describe("a map in words", () => {
  it("says which codes, how many numbers, behind what", () => {
    expect(codeWords({ ...code, dimension: 1280, rectified: true })).toBe("Codes of pool: 1,280 numbers an image, behind a rectifier");
    expect(codeWords(code)).toBe("Codes of pool: 1 number an image, not behind a rectifier");
    expect(howWords(page)).toBe("by t-SNE, perplexity 30, seed 0, 50,000 images placed among 100,000");
    expect(howWords({ ...page, perplexity: 31 / 3 })).toContain("perplexity 10.3,");
    expect(howWords({ ...page, method: "pca", perplexity: null })).toBe("their first two principal components");
  });
  it("says what is alike, and beside it the controls", () => {
    expect(purityWords(page).replaceAll("\u00a0", " ")).toBe("Of an image’s 10 nearest by code 90.0 % have its label, on the map 80.0 %; of its nearest by pixels 30.0 %, and by chance 10.0 %.");
    expect(purityWords({ ...page, purity: { codes: null, map: null, pixels: null, chance: null, images: 0 } })).toContain("no labels");
    expect(linesOf(page).map(({ codes, pixels }) => [codes, pixels].map((one) => one.replace("\u00a0", " ")))).toEqual([["90.0 %", "30.0 %"], ["50.0 %", "10.0 %"], ["0.90", "–"], ["−0.25", "0.00"]]);
  });
  it("reads addresses that say something else", () => {
    expect([methodOf("pca"), methodOf("magic"), wayOf("exact"), wayOf(undefined), wayOf("toString")]).toEqual(["pca", "tsne", "exact", "assignment", "assignment"]);
    expect([codeOf([code], "other"), codeOf([], "pool")]).toEqual([code, undefined]);
  });
  it("has sizes that fit the room", () => {
    expect([imageSide(1, [800, 600]), imageSide(500, [800, 600]), imageSide(0, [10, 10])].map(Math.round)).toEqual([88, 17, 16]);
    expect([imageSide(20, [800, 600], 20), imageSide(20, [800, 600], 1)]).toEqual([34, 16]);
    expect([gapOf([]), gapOf([[1, 1]]), gapOf([[0, 0], [3, 4], [3, 5], [9, 9]])]).toEqual([Infinity, Infinity, 5]);
    expect(sideOf(1e6, [800, 600], 1)).toBe(2);
    expect(sideOf(100, [800, 600], 1)).toBe(7);
    expect(sideOf(1e6, [800, 600], 60)).toBeGreaterThan(4);
  });
});
