import { describe, expect, it } from "vitest";
import { paths } from "../api";
import { madeOf, madeWords, optionsOf, plainOf, textIn, wrongIn } from "./options";

const code = (name: string) => ({ name, dimension: 4, rectified: true, maps: [], grids: [] });
const options = optionsOf([code("pool"), code("6"), code("max(a/b)")], "pool", 762);
const [perplexity, seed, begin] = options as [(typeof options)[0], (typeof options)[0], (typeof options)[0]];

describe("what a map is made with", () => {
  it("is asked for where it differs from the defaults", () => {
    expect(madeOf(options, {})).toEqual({});
    expect(madeOf(options, { perplexity: "30", seed: "00", begin: "" })).toEqual({});
    expect(madeOf(options, { perplexity: "5.5", seed: "7", begin: "max(a/b)", colour: "label" })).toEqual({ perplexity: 5.5, seed: 7, begin: "max(a/b)" });
    expect(paths.map("pool", "tsne", { perplexity: 5.5, begin: "max(a/b)" })).toBe("api/map?layer=pool&method=tsne&perplexity=5.5&begin=max(a%2Fb)");
    expect(paths.positions("pool", "tsne")).toBe("api/map/positions.bin?layer=pool&method=tsne");
  });
  it("is said where it is wrong, and then not asked for", () => {
    const wrong = { perplexity: "0", seed: "1.5", begin: "nowhere" };
    expect(options.map((option) => wrongIn(option, wrong, "pool"))).toEqual(["has to be at least 1", "has to be a whole number", "has to be one of 6, max(a/b)"]);
    expect(madeOf(options, wrong)).toEqual({});
    for (const text of ["many", "-3", "1e9", "NaN"]) expect(wrongIn(perplexity, { perplexity: text }, "pool")).not.toBe("");
    for (const text of ["4294967296", "-1", "x"]) expect(wrongIn(seed, { seed: text }, "pool")).not.toBe("");
    expect(wrongIn(optionsOf([code("pool")], "pool", 9)[2] as typeof begin, { begin: "6" }, "pool")).toBe("there are no codes of 6");
  });
  it("stands in the address as plainly as it can", () => {
    expect([plainOf(perplexity, "030"), plainOf(perplexity, "05"), plainOf(seed, "0"), plainOf(seed, "12"), plainOf(begin, "6")]).toEqual(["", "5", "", "12", "6"]);
  });
  it("leaves out a map that begins with itself", () => {
    expect([textIn(begin, { begin: "pool" }, "pool"), wrongIn(begin, { begin: "pool" }, "pool"), madeOf(options, { begin: "pool" })]).toEqual(["", "", {}]);
    expect(textIn(seed, { seed: "6" }, "6")).toBe("6");
  });
  it("is told in words, as it will be used", () => {
    expect(madeWords({}, 762)).toBe("by t-SNE, perplexity 30, seed 0");
    expect(madeWords({ seed: 3, begin: "6" }, 32)).toBe("by t-SNE, perplexity 10.3, seed 3, begun with the map of 6");
    expect(optionsOf([code("pool")], "pool", 32).map(({ description }) => description)).toEqual([
      expect.stringContaining("at most 10.3 of so few images"), expect.anything(), expect.stringContaining("`convscope codes` adds"),
    ]);
  });
});
