// A part of the page as a PNG, on its own paper, two device px a CSS px.

import { domToBlob } from "modern-screenshot";

const MARGIN = "28px";

export async function photograph(part: HTMLElement): Promise<Blob> {
  const paper = getComputedStyle(document.documentElement).backgroundColor;
  return domToBlob(part, { scale: 2, backgroundColor: paper, style: { margin: "0", padding: MARGIN }, font: false });
}
