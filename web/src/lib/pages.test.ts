import { describe, expect, it } from "vitest";
import { tileOf } from "./filters";
import { activation, counted, duration, percent } from "./format";
import { bins } from "./histogram";
import { select } from "./select";
import type { FilterPage, ImagePage } from "./types";

describe("numbers in words", () => {
  it("are short", () => {
    expect([0, 1.234, 12.34, 123.4, 12345, 0.00012, -2.5, NaN, Infinity].map(activation)).toEqual(["0.00", "1.23", "12.3", "123", "1.2e4", "1.2e−4", "−2.50", "–", "–"]);
    expect([0, 1, 0.5, 0.00001, 0.99999, null, NaN].map((share) => percent(share).replace("\u00a0", " "))).toEqual(["0 %", "100 %", "50.0 %", "< 0.1 %", "> 99.9 %", "–", "–"]);
    expect([counted(1, "unit"), counted(1200, "class", "classes")]).toEqual(["1 unit", "1,200 classes"]);
    expect([0, 61, 3725].map(duration)).toEqual(["0:00", "1:01", "1:02:05"]);
  });
});

describe("a histogram", () => {
  it("shows what has something in it, and 0", () => {
    const counts = new Int32Array(8);
    [counts[5], counts[6]] = [3, 1];
    expect(bins(counts, -8, 8).map(({ low, count }) => [low, count])).toEqual([[0, 0], [2, 3], [4, 1]]);
    counts[1] = 2;
    expect(bins(counts, -8, 8)[0]).toEqual({ low: -6, high: -4, count: 2 });
    expect(bins(new Int32Array(8), -8, 8)).toEqual([]);
  });
});

describe("the picture of filters", () => {
  const page = { picture: { width: 7 * 4 - 1, height: 6 * 2 - 1, bytes: "" }, shown: 7, across: 4 } as FilterPage;
  it("is cut between its clear lines", () => {
    expect(tileOf(page, 0)).toEqual({ left: 0, top: 0, width: 6, height: 5 });
    expect(tileOf(page, 6)).toEqual({ left: 14, top: 6, width: 6, height: 5 });
  });
  it("does not hold all", () => expect([tileOf(page, 7), tileOf(page, -1), tileOf({ ...page, picture: null }, 0)]).toEqual([null, null, null]));
});

describe("images in a file", () => {
  const images = ["cat/a.png", "cat/B.png", "dog/c.png"].map((name, row) => ({
    row, name, label: row < 2 ? "cat" : null, predicted: row, probability: 0.5, correct: [true, false, null][row] ?? null, height: 1, width: 1, top: [],
  })) as ImagePage[];
  const rows = (query: string) => select(images, new URLSearchParams(query)).rows.map(({ row }) => row);
  it("are found as on a server", () => {
    expect(rows("")).toEqual([0, 1, 2]);
    expect(rows("label=cat&search=b.p")).toEqual([1]);
    expect(rows("label=")).toEqual([2]);
    expect(rows("correct=false")).toEqual([1]);
    expect(rows("predicted=2")).toEqual([2]);
    expect(select(images, new URLSearchParams("offset=1&count=1"))).toMatchObject({ total: 3, rows: [{ row: 1 }] });
  });
});
