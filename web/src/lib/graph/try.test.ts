import { test } from "vitest";
import { wire, type Node } from "./wiring";
import { draw } from "./boxes";
for (const name of ["alexnet", "resnet50", "lite0", "googlenet", "densenet"])
  test(name, async () => {
    const nodes = (await import(`../fixtures/${name}.json`)).default as Node[];
    const drawing = draw(wire(nodes));
    console.log(name, drawing.boxes.length, drawing.edges.length, drawing.boxes.map((b) => `${b.block ? "■" : ""}${b.name} [${b.title}] {${b.holder.join(".")}} ${b.layers.length}`).join("\n"));
  });
