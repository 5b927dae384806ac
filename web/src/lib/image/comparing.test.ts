import { expect, test } from "vitest";
import type { Form, Job } from "../types";
import { bodyOf, comparable, parted, targetOf, withAll } from "./comparing";

const form = (name: string, ...takes: Form["takes"]): Form => ({ name, summary: "", takes, options: [] });
const job = (id: string) => ({ id }) as Job;

test("methods that the server has are compared, in one order", () => {
  const both = [form("deconvnet", "image", "target"), form("occlusion", "image", "target"), form("saliency", "image", "target")];
  expect(comparable(both).map(({ name }) => name)).toEqual(["saliency", "deconvnet"]);
  expect(comparable(both.slice(0, 2))).toEqual([]);
  expect(comparable([form("saliency", "image"), form("deconvnet", "image", "target")])).toEqual([]);
});

test("a target is sent where there is one", () => {
  expect(bodyOf("3", "")).toEqual({ image: "3" });
  expect(bodyOf("3", "a:1@2,3")).toEqual({ image: "3", target: "a:1@2,3" });
});

test("the selected unit is a target", () => {
  expect(targetOf({ layer: "a.b", unit: 7, place: [5, 2] })).toBe("a.b:7@5,2");
  expect(targetOf({ layer: "a.b", unit: 0, place: null })).toBe("a.b:0");
  expect(targetOf({ layer: "a.b", unit: null, place: null })).toBe("");
  expect(targetOf({ layer: "", unit: 1, place: null })).toBe("");
});

test("jobs that were asked for together stand together, those that are gone are left out", () => {
  const { together, others } = parted([job("x"), job("c"), job("a")], ["a", "gone", "c"]);
  expect(together.map(({ id }) => id)).toEqual(["a", "c"]);
  expect(others.map(({ id }) => id)).toEqual(["x"]);
});

test("a new comparison comes first, and nothing twice", () => {
  expect(withAll(["a", "b", "c"], ["d", "b"])).toBe("d,b,a,c");
  expect(withAll([], ["a"])).toBe("a");
});
