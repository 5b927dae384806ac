import { expect, it } from "vitest";
import { filtersOf, pageOf, pagesOf, queryOf } from "./wall";

it("pages count from 1", () => {
  expect([pageOf(undefined), pageOf("3"), pageOf("0"), pageOf("x")]).toEqual([1, 3, 1, 1]);
  expect([pagesOf(0), pagesOf(120), pagesOf(121)]).toEqual([1, 1, 2]);
});

it("the question holds the page and the filters that are set", () => {
  expect(filtersOf({ label: "cat", correct: "", page: "2", other: "x" })).toEqual({ label: "cat" });
  expect(queryOf({ label: "a b", page: "2" }).toString()).toBe("offset=120&count=120&label=a+b");
});
