// The jobs that are shown. One stream follows all that have not ended, and only while the page is seen: browsers have
// six connections a host, over all tabs.

import { paths } from "../api";
import { ask, Problem, source } from "../source";
import type { Job } from "../types";
import { ended } from "./progress";

const AGAIN = 1000; // ms
const PATIENCE = 2; // failures in a row before they are told

type Told = Job | { id: string; state: "lost" };

export class Jobs {
  known = $state.raw<Record<string, Job>>({});
  trouble = $state.raw<Problem>();
  #shown: readonly string[] = [];
  #closed = false;
  #failures = 0;
  #stream: EventSource | undefined;
  readonly #followed = new Set<string>(); // by the stream

  constructor(private readonly lost: (id: string) => void) {
    document.addEventListener("visibilitychange", this.#tune);
  }

  // Those with these ids and no others; what is not known of them is asked for.
  follow(ids: readonly string[]): void {
    this.#shown = ids;
    const kept = ids.map((id) => this.known[id]).filter((job) => job !== undefined);
    if (kept.length < Object.keys(this.known).length) this.known = Object.fromEntries(kept.map((job) => [job.id, job]));
    if (source.offline) for (const id of ids) void this.#read(id);
    else this.#tune();
  }

  // One that was just asked for. The stream begins anew: it may still tell the end of an earlier run of the same job.
  add(job: Job): void {
    if (this.#closed) return;
    if (!this.#shown.includes(job.id)) this.#shown = [job.id, ...this.#shown];
    this.#know(job);
    this.#quiet();
    this.#tune();
  }

  async stop(id: string): Promise<void> {
    this.trouble = undefined;
    try {
      await ask(paths.stop(id), { method: "POST" });
    } catch (problem) {
      this.trouble = problem as Problem;
    }
  }

  close(): void {
    this.#closed = true;
    document.removeEventListener("visibilitychange", this.#tune);
    this.#quiet();
  }

  // Opens the stream anew where it leaves out one that has not ended, and closes it where nobody needs it.
  readonly #tune = (): void => {
    const open = this.#shown.filter((id) => !this.known[id] || !ended(this.known[id]));
    if (this.#closed || document.hidden || source.offline || !open.length) this.#quiet();
    else if (!this.#stream || open.some((id) => !this.#followed.has(id))) this.#listen(open);
  };

  #listen(ids: readonly string[]): void {
    this.#quiet();
    const stream = (this.#stream = new EventSource(paths.events(ids)));
    for (const id of ids) this.#followed.add(id);
    stream.onmessage = ({ data }) => this.#hear(JSON.parse(data as string) as Told);
    stream.onerror = () => this.#fail(stream);
  }

  #hear(told: Told): void {
    if (this.#failures >= PATIENCE) this.trouble = undefined;
    this.#failures = 0;
    if (told.state === "lost") {
      this.#followed.delete(told.id);
      this.#shown = this.#shown.filter((id) => id !== told.id);
      this.lost(told.id);
    } else {
      if (ended(told)) this.#followed.delete(told.id);
      if (this.#shown.includes(told.id)) this.#know(told);
    }
    this.#tune();
  }

  // The browser tries again by itself, unless the answer was a refusal.
  #fail(stream: EventSource): void {
    this.#failures += 1;
    if (this.#failures >= PATIENCE) this.trouble = new Problem("The server does not answer.", "Is `convscope serve` still running?");
    if (stream.readyState !== EventSource.CLOSED) return;
    setTimeout(() => {
      if (this.#stream !== stream) return;
      this.#quiet();
      this.#tune();
    }, AGAIN);
  }

  #know(job: Job): void {
    this.known = { ...this.known, [job.id]: job };
  }

  #quiet(): void {
    this.#stream?.close();
    this.#stream = undefined;
    this.#followed.clear();
  }

  // From a file.
  async #read(id: string): Promise<void> {
    if (this.known[id]) return;
    const job = await source.json<Job>(paths.job(id)).catch(() => undefined);
    if (job && !this.#closed && this.#shown.includes(id)) this.#know(job);
  }
}
