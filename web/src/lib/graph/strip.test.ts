import { describe, expect, test } from "vitest";
import { draw } from "./boxes";
import { follows, line, places } from "./depth";
import { chain, nets } from "./nets";
import { layStrip } from "./strip";
import { wire } from "./wiring";

const followedIn = (name: string) => (nets[name] ?? []).filter(({ kind }) => kind.startsWith("relu")).map((node) => node.name);

describe.each(Object.keys(nets))("%s", (name) => {
  const drawing = draw(wire(nets[name] ?? []));

  test.each([358, 1216, 2000])("no volume overlaps another at %d px", (available) => {
    const { volumes, image, width } = layStrip(drawing, available, [224, 224]);
    [image, ...volumes].reduce((before, volume) => {
      expect(before.x + before.width + before.lean).toBeLessThanOrEqual(volume.x);
      return volume;
    });
    const last = volumes.at(-1);
    expect((last?.x ?? 0) + (last?.width ?? 0) + (last?.lean ?? 0)).toBeLessThanOrEqual(width);
  });

  test("it fits a page of 1280 px, in its height too", () => {
    const strip = layStrip(drawing, 1216, [224, 224]);
    expect(strip.width).toBeLessThanOrEqual(1216.01);
    for (const { y, height, lean } of strip.volumes) {
      expect(y - lean).toBeGreaterThanOrEqual(0);
      expect(y + height).toBeLessThanOrEqual(strip.foot);
    }
  });

  test("titles lie inside their places", () => {
    const strip = layStrip(drawing, 1216, [224, 224]);
    strip.titles.forEach(({ text }, at) => expect(text.length * 5.9).toBeLessThanOrEqual((strip.volumes[at]?.room ?? 0) + 2));
  });

  test("followed layers lie above their boxes, from left to right", () => {
    const { volumes } = layStrip(drawing, 1216, [224, 224]);
    const followed = followedIn(name);
    const points = places(followed, (one) => (nets[name] ?? []).findIndex((node) => node.name === one), drawing, volumes);
    expect(points.map((point) => point.name)).toEqual(followed);
    points.forEach(({ x, box }) => {
      const volume = volumes[box];
      expect(x).toBeGreaterThan(volume?.left ?? 0);
      expect(x).toBeLessThan((volume?.left ?? 0) + (volume?.room ?? 0));
    });
    expect(points.map(({ x }) => x)).toEqual(points.map(({ x }) => x).sort((one, other) => one - other));
  });
});

test("larger maps are higher, more units wider", () => {
  const { volumes } = layStrip(draw(wire(chain("a conv2d - 8×64", "b conv2d - 64×64", "c conv2d - 64×8"))), 600, [64, 64]);
  const [first, second, third] = volumes;
  expect(second?.width).toBeGreaterThan(first?.width ?? 0);
  expect(second?.height).toBe(first?.height);
  expect(third?.height).toBeLessThan(second?.height ?? 0);
});

test("the line goes through points that follow one another and through the mean of branches", () => {
  const drawing = draw(wire(chain("a.x conv2d", "a.y relu", "b.left relu a.y", "b.right relu a.y", "b.sum add b.left,b.right", "c relu")));
  const { volumes } = layStrip(drawing, 400, [16, 16]);
  const points = places(["a.y", "b.left", "b.right", "c"], (name) => drawing.wiring.nodes.findIndex((node) => node.name === name), drawing, volumes);
  expect(follows(drawing, 1, 3)).toBe(true);
  expect(follows(drawing, 2, 3)).toBe(false);
  expect(line(drawing, points, [0.1, 0.2, 0.4, null], () => 7)).toEqual([[points[0]?.x, 0.1], [7, expect.closeTo(0.3)]]);
});
