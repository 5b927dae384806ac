import { describe, expect, it, vi } from "vitest";

vi.stubGlobal("document", undefined);
const { TileStore } = await import("./tilestore");
const tile = (column: number) => ({ level: 0, column, row: 0 });
const settled = () => new Promise((done) => setTimeout(done));

describe("tiles on their way", () => {
  it("are a few at once, and only those still wanted", async () => {
    const asked: string[] = [];
    const let_go: (() => void)[] = [];
    let came = 0;
    const store = new TileStore(({ column }) => `tile ${column}`, () => (came += 1), (url) => {
      asked.push(url);
      return new Promise((done, fail) => let_go.push(url === "tile 1" ? () => fail(new Error("no")) : () => done({} as HTMLImageElement)));
    });
    store.want(Array.from({ length: 20 }, (_, at) => tile(at)));
    expect(asked).toHaveLength(6);
    store.want([tile(0), tile(1), tile(15)]);
    for (const go of let_go) go();
    await settled();
    expect(asked.slice(6)).toEqual(["tile 15"]);
    expect([came, store.get(tile(0)) !== undefined, store.get(tile(1))]).toEqual([6, true, undefined]);
    store.want([tile(0), tile(1)]);
    expect(asked).toHaveLength(7);
  });
});
