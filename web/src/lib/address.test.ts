import { describe, expect, it } from "vitest";
import { changed, format, parse, START, type Selection } from "./address";

const all: Selection = { view: "image", layer: "layer1.0/add#1", unit: 17, image: "203", place: [4, 5], options: { boost: "10", order: "strength" } };

describe("the address", () => {
  it("holds the whole selection", () => {
    expect(format(all)).toBe("#/image?layer=layer1.0/add%231&unit=17&image=203&place=4,5&boost=10&order=strength");
    expect(parse(format(all))).toEqual(all);
  });
  it("is short where little is chosen", () => {
    expect(format(START)).toBe("#/net");
    expect(parse("")).toEqual(START);
    expect(parse("#/net")).toEqual(START);
  });
  it("takes strange text for nothing", () => {
    expect(parse("#/nowhere?unit=-1&place=4&layer=")).toEqual(START);
    expect(parse("#/unit?unit=1e3&place=4,x").unit).toBeNull();
    expect(parse("#/unit?layer=<b>&unit=007")).toMatchObject({ layer: "<b>", unit: 7 });
    expect(parse("#/unit?layer=a%26unit%3D3")).toMatchObject({ layer: "a&unit=3", unit: null });
  });
  it("keeps odd names of layers", () => {
    for (const layer of ["a&b=c", "a b", "ä", "100%", "x?y", "class:5", "1,2"]) expect(parse(format({ ...all, layer }))).toEqual({ ...all, layer });
  });
});

describe("a change", () => {
  it("of the layer forgets unit and place", () => {
    expect(changed(all, { layer: "layer2" })).toMatchObject({ layer: "layer2", unit: null, place: null, image: "203" });
    expect(changed(all, { layer: "layer2", unit: 3 })).toMatchObject({ unit: 3, place: null });
  });
  it("of the image forgets the place", () => expect(changed(all, { image: "4" })).toMatchObject({ unit: 17, place: null }));
  it("of the view forgets its options alone", () => {
    expect(changed(all, { view: "unit" })).toMatchObject({ layer: all.layer, unit: 17, image: "203", place: [4, 5], options: {} });
    expect(changed(all, { view: "images", options: { label: "cat" } }).options).toEqual({ label: "cat" });
  });
  it("to the same changes nothing", () => expect(changed(all, { layer: all.layer, image: all.image })).toEqual(all));
});
