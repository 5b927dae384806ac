import { expect, it } from "vitest";
import { filtersOf, pageOf, pagesOf, queryOf, spanOf } from "./wall";

it("pages count from 1", () => {
  expect([pageOf(undefined), pageOf("3"), pageOf("0"), pageOf("x")]).toEqual([1, 3, 1, 1]);
  expect([pagesOf(0), pagesOf(120), pagesOf(121)]).toEqual([1, 1, 2]);
});

it("a page ends with the images", () => {
  expect([spanOf(1, 762), spanOf(7, 762), spanOf(99, 762), spanOf(1, 0)]).toEqual([[1, 120], [721, 762], null, null]);
});

it("the question holds the page and the filters that are set", () => {
  expect(filtersOf({ label: "cat", correct: "", page: "2", other: "x", search: " a b " })).toEqual({ label: "cat", search: "a b" });
  expect(queryOf({ label: "a b", page: "2" }).toString()).toBe("offset=120&count=120&label=a+b");
});
