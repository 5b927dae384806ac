import { beforeEach, describe, expect, it, vi } from "vitest";
import type { Job } from "../types";

class Stream {
  static open: Stream[] = [];
  static CLOSED = 2;
  readyState = 1;
  onmessage: (event: { data: string }) => void = () => {};
  onerror: () => void = () => {};
  constructor(readonly url: string) {
    Stream.open.push(this);
  }
  close(): void {
    Stream.open = Stream.open.filter((other) => other !== this);
  }
  tell(told: unknown): void {
    this.onmessage({ data: JSON.stringify(told) });
  }
}

const listeners = new Set<() => void>();
const page = {
  hidden: false,
  getElementById: () => null,
  addEventListener: (_: string, act: () => void) => listeners.add(act),
  removeEventListener: (_: string, act: () => void) => listeners.delete(act),
};
vi.stubGlobal("document", page);
vi.stubGlobal("EventSource", Stream);
const { Jobs } = await import("./jobs.svelte");

const job = (id: string, state: Job["state"] = "running"): Job => ({
  id, technique: "filters", title: "", asked: {}, state, done: 0, total: 0, unit: "", seconds: 0, said: "", problem: "", hint: "", panels: [],
});
const urls = () => Stream.open.map(({ url }) => url);
const show = (hidden: boolean) => {
  page.hidden = hidden;
  for (const act of listeners) act();
};

beforeEach(() => {
  Stream.open = [];
  listeners.clear();
  page.hidden = false;
});

describe("the stream of jobs", () => {
  it("is one for all that have not ended, and ends with them", () => {
    const jobs = new Jobs(() => {});
    jobs.follow(["a", "b", "c"]);
    expect(urls()).toEqual(["api/jobs/events?ids=a,b,c"]);
    const [stream] = Stream.open as [Stream];
    stream.tell(job("a"));
    stream.tell(job("b", "done"));
    expect(Object.keys(jobs.known)).toEqual(["a", "b"]);
    expect(urls()).toHaveLength(1);
    stream.tell(job("c", "stopped"));
    stream.tell(job("a", "failed"));
    expect(urls()).toEqual([]);
  });

  it("begins anew with another job, without those that have ended", () => {
    const jobs = new Jobs(() => {});
    jobs.follow(["a", "b"]);
    Stream.open[0]?.tell(job("a", "done"));
    Stream.open[0]?.tell(job("b"));
    jobs.add(job("c"));
    expect(urls()).toEqual(["api/jobs/events?ids=c,b"]);
    jobs.follow(["c", "a", "b"]);
    expect(urls()).toEqual(["api/jobs/events?ids=c,b"]);
    jobs.add(job("a", "waiting")); // it was stopped, and runs again
    expect(urls()).toEqual(["api/jobs/events?ids=c,a,b"]);
  });

  it("rests while the page is hidden, and when it is closed", () => {
    const jobs = new Jobs(() => {});
    jobs.follow(["a"]);
    show(true);
    expect(urls()).toEqual([]);
    jobs.follow(["a", "b"]);
    expect(urls()).toEqual([]);
    show(false);
    expect(urls()).toEqual(["api/jobs/events?ids=a,b"]);
    jobs.close();
    jobs.add(job("late"));
    show(false);
    expect([urls(), Object.keys(jobs.known)]).toEqual([[], []]);
  });

  it("tells what the server no longer holds, and forgets what is removed", () => {
    const lost: string[] = [];
    const jobs = new Jobs((id) => lost.push(id));
    jobs.follow(["a", "b"]);
    Stream.open[0]?.tell({ id: "a", state: "lost" });
    Stream.open[0]?.tell(job("b", "done"));
    expect([lost, urls()]).toEqual([["a"], []]);
    jobs.follow([]);
    expect(jobs.known).toEqual({});
  });

  it("says that nobody answers, until somebody does", () => {
    const jobs = new Jobs(() => {});
    jobs.follow(["a"]);
    Stream.open[0]?.onerror();
    expect(jobs.trouble).toBeUndefined();
    Stream.open[0]?.onerror();
    expect(jobs.trouble?.message).toBe("The server does not answer.");
    Stream.open[0]?.tell(job("a"));
    expect(jobs.trouble).toBeUndefined();
  });

  it("shows why a job could not be stopped", async () => {
    const jobs = new Jobs(() => {});
    vi.stubGlobal("fetch", () => Promise.resolve(new Response(JSON.stringify({ problem: "there is no job" }), { status: 404 })));
    await jobs.stop("a");
    expect(jobs.trouble?.message).toBe("there is no job");
  });
});
