import { describe, expect, test } from "vitest";
import { draw, insides } from "./boxes";
import { chain, nets } from "./nets";
import { sizes, stages } from "./stages";
import { IMAGE, wire } from "./wiring";

const drawn = (name: string) => draw(wire(nets[name] ?? []));
const perStage = (name: string) => {
  const drawing = drawn(name);
  return Object.fromEntries(stages(drawing).map(({ name: stage, first, last }) => [stage, drawing.boxes.slice(first, last + 1).filter((box) => box.block).length]));
};

describe.each(Object.entries(nets))("%s", (_, nodes) => {
  const drawing = draw(wire(nodes));

  test("every layer is in exactly one box", () => {
    expect(drawing.boxes.flatMap((box) => box.layers).sort((one, other) => one - other)).toEqual([...nodes.keys()]);
    drawing.boxes.forEach((box, at) => expect(box.layers.every((layer) => drawing.boxOf[layer] === at)).toBe(true));
  });

  test("edges go from left to right, and every box is reached", () => {
    for (const [from, to] of drawing.edges) expect(from).toBeLessThan(to);
    expect(new Set(drawing.edges.map(([, to]) => to)).size).toBe(drawing.boxes.length);
  });

  test("the boxes have different names, and stages and sizes hold each of them once", () => {
    expect(new Set(drawing.boxes.map((box) => box.name)).size).toBe(drawing.boxes.length);
    for (const runs of [stages(drawing), sizes(drawing)]) {
      expect(runs.flatMap(({ first, last }) => drawing.boxes.slice(first, last + 1))).toEqual(drawing.boxes);
    }
  });
});

test("AlexNet opens to a plain chain of convolutions, pools and linear layers", () => {
  const { boxes, edges } = drawn("alexnet");
  expect(boxes.map((box) => box.title)).toEqual(["conv", "max pool", "conv", "max pool", "conv", "conv", "conv", "max pool", "linear", "linear", "linear"]);
  expect(edges).toEqual(boxes.map((_, at) => [at - 1, at]));
  expect(stages(drawn("alexnet")).map(({ name }) => name)).toEqual(["features", "classifier"]);
  expect(sizes(drawn("alexnet")).map(({ name }) => name)).toEqual(["55 × 55", "27 × 27", "13 × 13", "6 × 6", ""]);
});

test("the stages of the others have as many blocks as their papers say", () => {
  expect(perStage("resnet50")).toEqual({ stem: 0, layer1: 3, layer2: 4, layer3: 6, layer4: 3, head: 0 });
  expect(perStage("lite0")).toEqual({ stem: 0, "blocks.0": 1, "blocks.1": 2, "blocks.2": 2, "blocks.3": 3, "blocks.4": 3, "blocks.5": 4, "blocks.6": 1, head: 0 });
  expect(perStage("googlenet")).toEqual({ stem: 0, "inception3a–b": 2, "inception4a–e": 5, "inception5a–b": 2, head: 0 });
  expect(perStage("densenet")).toMatchObject({ denseblock1: 6, denseblock2: 12, denseblock3: 24, denseblock4: 16, transition1: 0 });
});

test("only the dense net skips boxes", () => {
  const skips = Object.keys(nets).filter((name) => drawn(name).edges.some(([from, to]) => from !== IMAGE && to - from > 1));
  expect(skips).toEqual(["densenet"]);
});

test("convolution, norm and rectifier are one box; what branches off in between keeps them apart", () => {
  const names = (rows: string[]) => insides(wire(chain(...rows)), rows.map((_, at) => at)).map((box) => box.layers);
  expect(names(["a conv2d", "b batch_norm", "c relu", "d conv2d"])).toEqual([[0, 1, 2], [3]]);
  expect(names(["a batch_norm", "b relu", "c conv2d", "d batch_norm", "e relu", "f conv2d"])).toEqual([[0, 1, 2, 3, 4], [5]]);
  expect(names(["a pad", "b conv2d", "c relu", "d add a,c", "e relu"])).toEqual([[0], [1, 2], [3, 4]]);
  expect(names(["a conv2d", "b max_pool2d", "c view", "d dropout", "e linear"])).toEqual([[0], [1, 2, 3], [4]]);
});

test("a block that is used twice, with something between, is taken apart", () => {
  const nodes = chain("block.a conv2d", "block.b conv2d block.a", "block.c add block.a,block.b", "between conv2d", "block.d conv2d", "block.e add block.d,between", "end conv2d");
  const { boxes, edges } = draw(wire([...chain("stem conv2d"), ...nodes]));
  expect(boxes.flatMap((box) => box.layers).length).toBe(8);
  for (const [from, to] of edges) expect(from).toBeLessThan(to);
});

test("a net in a wrapper is opened like the net itself", () => {
  const wrapped = (nets.resnet50 ?? []).map((node) => ({
    ...node,
    name: `model.${node.name}`,
    aliases: node.aliases.map((name) => `model.${name}`),
    inputs: node.inputs.map((name) => (name === "input" ? name : `model.${name}`)),
  }));
  expect(draw(wire(wrapped)).boxes.length).toBe(drawn("resnet50").boxes.length);
});

test("no layers at all, and a single one", () => {
  expect(draw(wire([])).boxes).toEqual([]);
  expect(draw(wire(chain("fc linear"))).boxes.map((box) => box.name)).toEqual(["fc"]);
});
