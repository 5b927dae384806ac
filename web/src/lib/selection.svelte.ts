// The one selection as state: it is read from the address and written to it, and every view follows it.

import { changed, format, parse, type Selection } from "./address";
import { source } from "./source";

class Chosen {
  now = $state.raw<Selection>(parse(globalThis.location?.hash || source.start));
  scroll = 0; // where the page that one comes back to was left; 0 for a new one

  listen(): void {
    history.scrollRestoration = "manual";
    addEventListener("popstate", ({ state }) => {
      this.scroll = (state as { scroll?: number } | null)?.scroll ?? 0;
      this.now = parse(location.hash || source.start);
    });
    // Links inside the page are steps like any other, so that the place that is left is kept.
    addEventListener("click", (event) => {
      const link = (event.target as Element | null)?.closest?.("a");
      const address = link?.getAttribute("href");
      if (!address?.startsWith("#/") || event.defaultPrevented || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
      event.preventDefault();
      this.#visit(parse(address), false);
    });
  }

  // Goes there, as a step that "back" undoes; quietly: in place of the present address.
  go(change: Partial<Selection>, quietly = false): void {
    this.#visit(changed(this.now, change), quietly);
  }

  // An option of the present view; not a step of its own.
  set(name: string, value: string): void {
    this.go({ options: { ...this.now.options, [name]: value } }, true);
  }

  // The address of a change, for links.
  to(change: Partial<Selection>): string {
    return format(changed(this.now, change));
  }

  #visit(next: Selection, quietly: boolean): void {
    const address = format(next);
    if (address === format(this.now)) return;
    if (quietly) history.replaceState(history.state, "", address);
    else {
      history.replaceState({ scroll: scrollY }, "");
      history.pushState(null, "", address);
      this.scroll = 0;
    }
    this.now = next;
  }
}

export const chosen = new Chosen();
