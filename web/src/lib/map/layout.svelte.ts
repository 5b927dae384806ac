// What has to be computed once: it is asked for, and where the atlas has none, a job is started and followed.

import { paths } from "../api";
import { unpack } from "../arrays";
import { Jobs } from "../image/jobs.svelte";
import { ended } from "../image/progress";
import { ask, send, source, type Problem } from "../source";
import type { Job } from "../types";

export interface Wanted<Found> {
  kept: () => Promise<boolean>; // whether there is one, or it has to be computed
  read: () => Promise<Found>;
  start: string; // path of the job's POST
  body: Record<string, unknown>;
}

export class Layout<Found> {
  found = $state.raw<Found>();
  trouble = $state.raw<Problem>();
  asked = $state(false); // whether it is not yet known whether there is one
  #id = $state("");
  #wanted: Wanted<Found> | undefined;
  readonly #jobs = new Jobs(() => {
    this.#id = "";
  });

  readonly job = $derived<Job | undefined>(this.#jobs.known[this.#id]);
  readonly running = $derived(this.job !== undefined && !ended(this.job));
  readonly stopped = $derived(this.job?.state === "stopped" && this.found === undefined);

  // What is wanted from now on; nothing comes of what was wanted before.
  async want(wanted: Wanted<Found>): Promise<void> {
    this.#wanted = wanted;
    this.#id = "";
    this.#jobs.follow([]);
    [this.found, this.trouble, this.asked] = [undefined, undefined, true];
    try {
      const kept = source.offline || (await wanted.kept());
      if (wanted !== this.#wanted) return;
      await (kept ? this.#read() : this.start());
    } catch (problem) {
      if (wanted === this.#wanted) this.trouble = problem as Problem;
    } finally {
      if (wanted === this.#wanted) this.asked = false;
    }
  }

  async start(): Promise<void> {
    const wanted = this.#wanted;
    if (!wanted) return;
    this.trouble = undefined;
    try {
      const job = (await (await send(wanted.start, wanted.body)).json()) as Job;
      if (wanted !== this.#wanted) return;
      this.#jobs.follow([job.id]);
      this.#jobs.add(job);
      this.#id = job.id;
    } catch (problem) {
      if (wanted === this.#wanted) this.trouble = problem as Problem;
    }
  }

  stop(): void {
    if (this.job && this.running) void this.#jobs.stop(this.job.id);
  }

  // To be called when the job has ended.
  async finish(): Promise<void> {
    if (this.job?.state === "done" && this.found === undefined) await this.#read();
  }

  close(): void {
    this.#wanted = undefined;
    this.#jobs.close();
  }

  async #read(): Promise<void> {
    const wanted = this.#wanted;
    if (!wanted) return;
    try {
      const found = await wanted.read();
      if (wanted === this.#wanted) this.found = found;
    } catch (problem) {
      if (wanted === this.#wanted) this.trouble = problem as Problem;
    }
  }
}

// The positions that a running job shows; undefined before the first ones.
export async function showing(id: string): Promise<Float32Array | undefined> {
  const positions = unpack(await (await ask(paths.showing(id))).arrayBuffer())["positions"]?.values;
  return positions?.length ? (positions as Float32Array) : undefined;
}
