import { describe, expect, test } from "vitest";
import { draw } from "./boxes";
import { CELL, layInside } from "./inside";
import { chain, nets } from "./nets";
import { wire } from "./wiring";

describe.each(Object.entries(nets).filter(([name]) => name !== "alexnet"))("%s", (_, nodes) => {
  const wiring = wire(nodes);
  const blocks = draw(wiring).boxes.filter((box) => box.block);

  test("every layer of a block is one cell, and none overlaps another", () => {
    for (const block of blocks) {
      const { groups, width, height } = layInside(wiring, block.name, block.layers);
      const cells = groups.flatMap((group) => group.cells);
      expect(cells.map(({ layer }) => layer).sort((one, other) => one - other)).toEqual(block.layers);
      cells.forEach((one, at) => cells.slice(at + 1).forEach((other) => {
        const apart = one.x + one.width <= other.x + 0.01 || other.x + other.width <= one.x + 0.01 || Math.abs(one.y - other.y) >= CELL;
        expect(apart, `${one.name} and ${other.name} of ${block.name}`).toBe(true);
      }));
      for (const { x, y, width: wide } of groups) {
        expect(x + wide).toBeLessThan(width);
        expect(y + CELL).toBeLessThanOrEqual(height);
      }
    }
  });

  test("every layer stands to the right of those that it reads", () => {
    for (const block of blocks) {
      const cells = new Map(layInside(wiring, block.name, block.layers).groups.flatMap((group) => group.cells).map((cell) => [cell.layer, cell]));
      for (const [layer, cell] of cells) for (const source of wiring.reads[layer] ?? []) {
        const before = cells.get(source);
        if (before) expect(before.x + before.width).toBeLessThanOrEqual(cell.x + 0.01);
      }
    }
  });
});

const lanes = (name: string, block: string) => {
  const wiring = wire(nets[name] ?? []);
  const box = draw(wiring).boxes.find((one) => one.name === block);
  return layInside(wiring, block, box?.layers ?? []);
};

test("an inception has four lanes that meet in a concatenation", () => {
  const { groups, edges } = lanes("googlenet", "inception3a");
  expect(new Set(groups.map(({ y }) => y)).size).toBe(4);
  expect(groups.map(({ module }) => module)).toEqual(["branch1", "branch2.0", "branch2.1", "branch3.0", "branch3.1", "branch4", "branch4.1", ""]);
  expect(edges.length).toBe(4 + 3 + 4 + 1);
});

test("a bottleneck has a main path and a shortcut that meet in the sum", () => {
  const opened = lanes("resnet50", "layer2.0");
  expect(opened.groups.map(({ cells }) => cells.map(({ name }) => name).join(" "))).toEqual(["conv1 bn1 relu", "conv2 bn2 relu#2", "conv3 bn3", "conv batch norm", "add relu#3"]);
  expect(new Set(opened.groups.map(({ y }) => y)).size).toBe(2);
  const identity = lanes("resnet50", "layer2.1");
  expect(new Set(identity.groups.map(({ y }) => y)).size).toBe(1);
  expect(identity.edges.length).toBe(4 + 1 + 1);
});

test("a dead end, of a block that gives more than one map, has a lane of its own", () => {
  const wiring = wire(chain("x conv2d", "b.stem conv2d", "b.side conv2d b.stem", "b.more conv2d", "b.main conv2d b.stem", "b.last conv2d"));
  const { groups } = layInside(wiring, "b", [1, 2, 3, 4, 5]);
  const y = (layer: number) => groups.find(({ cells }) => cells[0]?.layer === layer)?.y;
  expect(y(2)).toBe(y(3));
  expect(y(4)).toBe(y(1));
  expect(y(2)).not.toBe(y(1));
});

test("a shortcut inside a branch takes a lane of its own", () => {
  const wiring = wire(chain("x conv2d", "b.a conv2d x", "b.pool adaptive_avg_pool2d - 8×1", "b.gate conv2d - 8×1", "b.mul mul b.a,b.gate", "b.add add b.mul,x"));
  const { groups, edges, height } = layInside(wiring, "b", [1, 2, 3, 4, 5]);
  expect(groups.length).toBe(5);
  expect(edges.length).toBe(8);
  expect(height).toBeGreaterThan(2 * 26);
});
