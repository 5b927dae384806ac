// Whether the page is dark: pictures of results come for both, and canvases draw their words in the page's ink.

class Paper {
  dark = $state(false);

  constructor() {
    const query = globalThis.matchMedia?.("(prefers-color-scheme: dark)");
    if (!query) return;
    this.dark = query.matches;
    query.addEventListener("change", ({ matches }) => {
      this.dark = matches;
    });
  }
}

export const paper = new Paper();
