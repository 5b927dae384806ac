// The jobs that are shown, each followed until it ends.

import { paths } from "../api";
import { ask, Problem, source } from "../source";
import type { Job } from "../types";
import { ended } from "./progress";

const AGAIN = 1000; // ms

export class Jobs {
  known = $state.raw<Record<string, Job>>({});
  readonly #streams = new Map<string, EventSource>();
  readonly #asked = new Set<string>();

  constructor(private readonly lost: (id: string) => void) {}

  // Those with these ids, as far as they are known; the others are asked for.
  follow(ids: readonly string[]): void {
    for (const id of this.#streams.keys()) if (!ids.includes(id)) this.#close(id);
    for (const id of ids) {
      source.note(paths.job(id));
      const job = this.known[id];
      if (!job || (!ended(job) && !this.#streams.has(id))) this.#ask(id);
    }
  }

  add(job: Job): void {
    this.known = { ...this.known, [job.id]: job };
    if (ended(job)) this.#close(job.id);
    else if (!source.offline && !this.#streams.has(job.id)) this.#listen(job.id);
  }

  async stop(id: string): Promise<void> {
    await ask(paths.stop(id), { method: "POST" });
  }

  close(): void {
    for (const id of [...this.#streams.keys()]) this.#close(id);
  }

  async #ask(id: string): Promise<void> {
    if (this.#asked.has(id)) return;
    this.#asked.add(id);
    try {
      this.add(source.offline ? await source.json<Job>(paths.job(id)) : ((await (await ask(paths.job(id))).json()) as Job));
    } catch (problem) {
      if (problem instanceof Problem && [404, 410].includes(problem.status)) this.lost(id);
    } finally {
      this.#asked.delete(id);
    }
  }

  #listen(id: string): void {
    const stream = new EventSource(paths.events(id));
    this.#streams.set(id, stream);
    stream.onmessage = ({ data }) => this.add(JSON.parse(data as string) as Job);
    stream.onerror = () => {
      if (stream.readyState !== EventSource.CLOSED) return; // it tries again by itself
      setTimeout(() => {
        if (this.#streams.get(id) !== stream) return;
        this.#close(id);
        this.#ask(id);
      }, AGAIN);
    };
  }

  #close(id: string): void {
    this.#streams.get(id)?.close();
    this.#streams.delete(id);
  }
}
