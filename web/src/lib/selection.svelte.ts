// The one selection as state: it is read from the address and written to it, and every view follows it.

import { changed, format, parse, type Selection } from "./address";
import { source } from "./source";

class Chosen {
  now = $state.raw<Selection>(parse(globalThis.location?.hash || source.start));

  listen(): void {
    addEventListener("hashchange", () => {
      this.now = parse(location.hash || source.start);
    });
  }

  // Goes there, as a step that "back" undoes; quietly: in place of the present address.
  go(change: Partial<Selection>, quietly = false): void {
    const next = changed(this.now, change);
    const address = format(next);
    if (address === format(this.now)) return;
    history[quietly ? "replaceState" : "pushState"](null, "", address);
    this.now = next;
  }

  // An option of the present view; not a step of its own.
  set(name: string, value: string): void {
    this.go({ options: { ...this.now.options, [name]: value } }, true);
  }

  // The address of a change, for links.
  to(change: Partial<Selection>): string {
    return format(changed(this.now, change));
  }
}

export const chosen = new Chosen();
