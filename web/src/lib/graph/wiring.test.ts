import { expect, test } from "vitest";
import { chain, nets } from "./nets";
import { IMAGE, segments, wire } from "./wiring";

test("a name is taken apart at its modules and its operator", () => {
  expect(segments("layer1.0/add#1")).toEqual(["layer1", "0", "/add#1"]);
  expect(segments("/relu#1")).toEqual(["/relu#1"]);
  expect(segments("features.3")).toEqual(["features", "3"]);
});

test("a layer stands at its innermost name, and a module's own last operator inside it", () => {
  const { paths, nodes } = wire(nets.resnet50 ?? []);
  expect(paths[nodes.findIndex(({ name }) => name === "layer4")]).toEqual(["layer4", "2", "relu#3"]);
  const inception = wire(nets.googlenet ?? []);
  expect(inception.paths[inception.nodes.findIndex(({ name }) => name === "inception3a")]).toEqual(["inception3a", "/"]);
});

test("a view that also asks for the number of images does not read the image, a concatenation with it does", () => {
  const { reads } = wire(chain("conv conv2d", "view view conv,input", "cat cat view,input"));
  expect(reads).toEqual([[IMAGE], [0], [1, IMAGE]]);
});

test.each(Object.entries(nets))("every layer of %s is in the tree once", (_, nodes) => {
  const { tree } = wire(nodes);
  const leaves: number[] = [];
  const collect = (module: typeof tree): void => { if (module.layer >= 0) leaves.push(module.layer); module.children.forEach(collect); };
  collect(tree);
  expect(leaves.sort((one, other) => one - other)).toEqual([...nodes.keys()]);
});
