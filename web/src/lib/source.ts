// Where answers come from: the server, or an offline file that holds the ones its view needs.

import { paths } from "./api";
import { unpack, type Arrays } from "./arrays";
import { Problem } from "./problem";
import { recording } from "./recording.svelte";
import { select } from "./select";
import type { ImagePage } from "./types";

export interface Source {
  readonly offline: boolean;
  json<T>(path: string): Promise<T>;
  arrays(path: string): Promise<Arrays>;
  url(path: string): string; // of a picture
  note(path: string): void; // it is a part of the view, though it is asked for elsewhere
  readonly start: string; // the address to open at where none is given
}

export { Problem };

export interface Recorded {
  start: string; // the address that the file opens at
  answers: Record<string, unknown>;
  files: Record<string, string>; // path → data: URL
}

class Server implements Source {
  readonly offline = false;
  readonly start = "#/net";
  readonly #kept = new Map<string, Promise<unknown>>();

  json<T>(path: string): Promise<T> {
    return this.#once(path, (answer) => answer.json()) as Promise<T>;
  }

  arrays(path: string): Promise<Arrays> {
    return this.#once(path, async (answer) => unpack(await answer.arrayBuffer())) as Promise<Arrays>;
  }

  url(path: string): string {
    recording.note(path);
    return path;
  }

  note(path: string): void {
    recording.note(path);
  }

  // An atlas does not change, so an answer is kept; at most KEPT of them, the oldest are forgotten.
  #once(path: string, read: (answer: Response) => Promise<unknown>): Promise<unknown> {
    recording.note(path);
    const known = this.#kept.get(path);
    if (known) return known;
    const found = recording.wait(ask(path).then(read));
    if (path !== paths.live) {
      this.#kept.set(path, found);
      found.catch(() => this.#kept.delete(path));
      if (this.#kept.size > KEPT) this.#kept.delete(this.#kept.keys().next().value as string);
    }
    return found;
  }
}

const KEPT = 60;

class Offline implements Source {
  readonly offline = true;
  readonly start: string;

  constructor(private readonly recorded: Recorded) {
    this.start = recorded.start;
  }

  async json<T>(path: string): Promise<T> {
    if (path === paths.live) return { state: "off", reason: "This is a file without its network.", hint: "", device: "" } as T;
    const [all, query] = path.split("?", 2);
    const images = this.recorded.answers["api/images"] as ImagePage[] | undefined;
    if (images && all === "api/images") return select(images, new URLSearchParams(query)) as T;
    if (images && all === "api/rows") {
      const rows = (new URLSearchParams(query).get("rows") ?? "").split(",").map(Number);
      return rows.flatMap((row) => images.find((image) => image.row === row) ?? []) as T;
    }
    const one = images?.find(({ row }) => path === paths.image(row));
    if (one) return one as T;
    if (!(path in this.recorded.answers)) throw new Problem("This is not in the file.", "`convscope serve ATLAS` shows everything.");
    return this.recorded.answers[path] as T;
  }

  async arrays(path: string): Promise<Arrays> {
    const url = this.recorded.files[path];
    if (!url) throw new Problem("This is not in the file.", "`convscope serve ATLAS` shows everything.");
    const bytes = Uint8Array.from(atob(url.slice(url.indexOf(",") + 1)), (character) => character.charCodeAt(0));
    const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return unpack(await new Response(plain).arrayBuffer());
  }

  url(path: string): string {
    return this.recorded.files[path] ?? "data:,";
  }

  note(): void {
    void recording.round;
  }
}

export const UNREACHABLE = "unreachable"; // event: the server did not answer

// The answer to a request, or a Problem with the server's own words.
export async function ask(path: string, options: RequestInit = {}): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    if (options.signal?.aborted) throw error;
    globalThis.dispatchEvent?.(new Event(UNREACHABLE));
    throw new Problem("The server does not answer.", "Is `convscope serve` still running?");
  }
  if (answer.ok) return answer;
  const said = (await answer.json().catch(() => ({}))) as { problem?: string; hint?: string };
  throw new Problem(said.problem ?? `The server answered ${answer.status}.`, said.hint ?? "", answer.status);
}

export const send = (path: string, body: unknown): Promise<Response> =>
  ask(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });

const element = globalThis.document?.getElementById("recorded");
export const source: Source = element ? new Offline(JSON.parse(element.textContent ?? "{}") as Recorded) : new Server();
