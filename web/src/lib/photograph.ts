// A part of the page as a PNG, on its own paper, two device px a CSS px.

import { domToBlob } from "modern-screenshot";

const MARGIN = "28px";

export async function photograph(part: HTMLElement): Promise<Blob> {
  part.classList.add("photographed");
  const paper = getComputedStyle(document.documentElement).backgroundColor;
  try {
    return await domToBlob(part, { scale: 2, backgroundColor: paper, style: { margin: "0", padding: MARGIN }, font: false });
  } finally {
    part.classList.remove("photographed");
  }
}
