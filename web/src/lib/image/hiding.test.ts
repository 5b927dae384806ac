import { describe, expect, it } from "vitest";
import type { Behind, Form } from "../types";
import { around, boxOf, cornerOf, framed, inside, Latest, said, sidesOf, steered, textsOf, verdictOf, windowAt, windowsOf, type Sides, type Windows } from "./hiding";

const SIZE: Sides = [224, 200];

describe("the sides of a square", () => {
  it("are one number or two, and fit into the image", () => {
    expect(sidesOf("32", SIZE)).toEqual([32, 32]);
    expect(sidesOf(" 24x40 ", SIZE)).toEqual([24, 40]);
    expect(sidesOf("24 × 40", SIZE)).toEqual([24, 40]);
    expect(sidesOf("224X200", SIZE)).toEqual([224, 200]);
    for (const none of ["", "x", "0", "-3", "3.5", "201", "225x1", "1x2x3", "1e2", "99999999999"]) expect(sidesOf(none, SIZE)).toBeNull();
  });
});

describe("the square", () => {
  it("stays inside the image, on whole px", () => {
    expect(inside([-5, 300], SIZE, [32, 32], false)).toEqual([0, 168]);
    expect(inside([10.4, 20.6], SIZE, [32, 32], false)).toEqual([10, 21]);
  });

  it("may stick out over the lower and the right edge where the last ones are cut off", () => {
    expect(inside([500, 500], SIZE, [32, 32], true)).toEqual([223, 199]);
    expect(boxOf([220, 180], [32, 32], SIZE)).toEqual({ top: 220, left: 180, bottom: 224, right: 200 });
  });

  it("stands where the address says, else in the middle", () => {
    expect(cornerOf("40,60", SIZE, [32, 32], false)).toEqual([40, 60]);
    expect(cornerOf("999,999", SIZE, [32, 32], false)).toEqual([192, 168]);
    for (const none of [undefined, "", "a,b", "-1,4", "3"]) expect(cornerOf(none, SIZE, [32, 32], false)).toEqual([96, 84]);
  });

  it("is put with its middle at a point", () => {
    expect(around([50, 60], [32, 24])).toEqual([34, 48]);
  });

  it("moves by arrows, farther with Shift", () => {
    expect(steered([10, 10], "ArrowUp", false)).toEqual([9, 10]);
    expect(steered([10, 10], "ArrowRight", true)).toEqual([10, 26]);
    expect(steered([10, 10], "Enter", false)).toBeNull();
  });

  it("is placed in per cent", () => {
    const image = { top: 0, left: 0, bottom: 200, right: 100 };
    expect(framed({ top: 50, left: 10, bottom: 100, right: 30 }, image)).toEqual({ left: 10, top: 25, width: 20, height: 25 });
    expect(framed(image, { top: 50, left: 10, bottom: 100, right: 30 })).toEqual({ left: -50, top: -100, width: 500, height: 400 });
  });
});

describe("a click on a map", () => {
  const windows: Windows = { positions: { tops: [0, 8, 16], lefts: [0, 8, 16, 24], height: 16, width: 8 }, side: 64, image_size: [32, 16] };

  it("finds the window whose middle is nearest", () => {
    expect(windowAt(windows, [0, 0])).toEqual([0, 0]);
    expect(windowAt(windows, [2 * 13, 2 * 15.9])).toEqual([8, 8]);
    expect(windowAt(windows, [63.9, 31.9])).toEqual([16, 8]);
  });

  it("finds none beside the image", () => {
    expect(windowAt(windows, [10, 32])).toBeNull();
    expect(windowAt(windows, [64, 10])).toBeNull();
    expect(windowAt(windows, [-1, 10])).toBeNull();
  });

  it("needs a panel that says where its windows are", () => {
    expect(windowsOf(windows)).toEqual(windows);
    expect(windowsOf({ image_size: [3, 4] })).toBeNull();
    expect(windowsOf({ ...windows, positions: { ...windows.positions, tops: [] } })).toBeNull();
  });
});

const form: Form = {
  name: "occlusion", summary: "", takes: ["image", "target"],
  options: [
    { name: "window", kind: "text", description: "", default: 32 },
    { name: "stride", kind: "integer", description: "", default: 8 },
    { name: "fill", kind: "choice", description: "", default: "zero", choices: ["zero", "blur"] },
    { name: "seed", kind: "integer", description: "", default: 0 },
  ],
};

describe("the options", () => {
  it("are the form's", () => {
    expect(said(form, {}, "window")).toBe("32");
    expect(said(form, { "occlusion.window": " 24x40 " }, "window")).toBe("24x40");
    expect(said(form, {}, "border")).toBe("");
  });

  it("become those of the job whose map was clicked", () => {
    expect(textsOf(form, { image: "3", window: "24x40", fill: "blur", stride: 4 })).toEqual({ "occlusion.window": "24x40", "occlusion.fill": "blur", "occlusion.seed": "" });
    expect(textsOf(form, { window: 32 })).toEqual({ "occlusion.window": "", "occlusion.fill": "", "occlusion.seed": "" });
  });
});

describe("the verdict", () => {
  const answer = (now: number): Behind => ({ top: [[now, 0.4]], before: [[7, 0.9], [8, 0.1]], now: [0.3, 0.1], box: [0, 0, 1, 1], milliseconds: 1 });

  it("says whether another class is now the most probable", () => {
    expect(verdictOf(answer(7))).toEqual({ unit: 7, probability: 0.4, changed: false });
    expect(verdictOf(answer(9))).toEqual({ unit: 9, probability: 0.4, changed: true });
  });
});

describe("the newest question", () => {
  const turn = () => new Promise((done) => setTimeout(done));

  function asked() {
    const open: { question: number; answer: (value: string) => void; refuse: (problem: Error) => void }[] = [];
    const heard: string[] = [];
    const latest = new Latest<number, string>(
      (question) => new Promise((answer, refuse) => open.push({ question, answer, refuse })),
      (question, answer) => heard.push(`${question}: ${answer}`),
      (question, problem) => heard.push(`${question}: ${(problem as Error).message}`),
    );
    return { open, heard, latest };
  }

  it("is asked next, and those between are left out", async () => {
    const { open, heard, latest } = asked();
    for (const question of [1, 2, 3, 4]) latest.put(question);
    expect(open.map(({ question }) => question)).toEqual([1]);
    open[0]?.answer("one");
    await turn();
    expect(open.map(({ question }) => question)).toEqual([1, 4]);
    open[1]?.answer("four");
    await turn();
    expect(heard).toEqual(["1: one", "4: four"]);
    latest.put(5);
    expect(open).toHaveLength(3);
  });

  it("is asked also after a failure", async () => {
    const { open, heard, latest } = asked();
    latest.put(1);
    latest.put(2);
    open[0]?.refuse(new Error("no"));
    await turn();
    open[1]?.answer("two");
    await turn();
    expect(heard).toEqual(["1: no", "2: two"]);
  });

  it("is not heard once nobody listens", async () => {
    const { open, heard, latest } = asked();
    latest.put(1);
    latest.put(2);
    latest.close();
    open[0]?.answer("one");
    await turn();
    expect(open).toHaveLength(1);
    expect(heard).toEqual([]);
  });
});
