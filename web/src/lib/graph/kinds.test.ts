import { expect, test } from "vitest";
import { role, title, windowOf, word } from "./kinds";
import { chain } from "./nets";
import { wire, type Node } from "./wiring";

const seeing = (node: Node | undefined, size: number, stride: number): Node =>
  ({ ...(node as Node), receptive: { status: "exact", size: [size, size], stride: [stride, stride], offset: [0, 0] } });

test("the window of a convolution follows from what its cells see", () => {
  const [first, second, third] = chain("a conv2d", "b max_pool2d", "c conv2d");
  const wiring = wire([seeing(first, 7, 2), seeing(second, 11, 4), seeing(third, 19, 4)]);
  expect([0, 1, 2].map((layer) => title(wiring, layer))).toEqual(["conv 7×7", "max pool 3×3", "conv 3×3"]);
});

test("where that is not known, nothing is claimed", () => {
  expect(windowOf(wire(chain("a conv2d", "b conv2d")), 1)).toBeNull();
  const [first, second] = chain("a mul", "b conv2d");
  expect(windowOf(wire([{ ...(first as Node), receptive: { status: "whole image", size: null, stride: null, offset: null } }, seeing(second, 19, 4)]), 1)).toBeNull();
});

test("operators have roles and words", () => {
  expect(["conv2d", "linear", "relu6", "hardtanh", "batch_norm", "layer_norm", "adaptive_avg_pool2d", "pad", "cat", "silu"].map(role)).toEqual(
    ["weights", "weights", "activation", "activation", "norm", "norm", "pool", "shape", "meeting", "activation"]);
  expect(word("max_pool2d")).toBe("max pool");
  expect(word("pixel_shuffle")).toBe("pixel shuffle");
});
