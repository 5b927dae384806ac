// The layers of five real nets, for the tests.

import type { Node } from "./wiring";
import alexnet from "../fixtures/alexnet.json";
import densenet from "../fixtures/densenet.json";
import googlenet from "../fixtures/googlenet.json";
import lite0 from "../fixtures/lite0.json";
import resnet50 from "../fixtures/resnet50.json";

export const nets: Record<string, Node[]> = { alexnet, resnet50, lite0, googlenet, densenet };

// Layers in a row: "name kind reads,reads units×side"; without a list of what it reads, the one before.
export function chain(...rows: string[]): Node[] {
  return rows.map((row, at) => {
    const [name = "", kind = "", inputs, shape = "8×16"] = row.split(" ");
    const [units = 8, side = 16] = shape.split("×").map(Number);
    const before = rows[at - 1]?.split(" ")[0] ?? "input";
    return { name, aliases: [], kind, shape: [units, side, side], inputs: inputs && inputs !== "-" ? inputs.split(",") : [before] };
  });
}
