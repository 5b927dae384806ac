// What there are codes of. It is asked anew each time: which maps are kept changes.

import { paths } from "../api";
import { recording } from "../recording.svelte";
import { ask, source } from "../source";
import type { Code } from "./numbers";

export async function asked(): Promise<Code[]> {
  source.note(paths.codes);
  if (source.offline) return source.json<Code[]>(paths.codes);
  return recording.wait(ask(paths.codes).then((answer) => answer.json() as Promise<Code[]>));
}

// The ones that an address names; the default where it names none.
export const codeOf = (codes: readonly Code[], name: string | undefined): Code | undefined => codes.find((code) => code.name === name) ?? codes[0];
