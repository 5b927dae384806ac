// A part of the page as a PNG, on its own paper: figures and captions, without what one can press.

import { domToBlob } from "modern-screenshot";
import { Problem } from "./problem";

const MARGIN = "28px";
const TALLEST = 16_000; // px that a canvas may have
const SHARP = 2; // device px a CSS px, where the view is not too tall for it

export async function photograph(part: HTMLElement): Promise<Blob> {
  part.classList.add("photographed");
  const words = [...part.querySelectorAll("select")].map((select) => {
    const chosen = document.createElement("span");
    chosen.textContent = select.selectedOptions[0]?.textContent ?? "";
    select.after(chosen);
    return chosen;
  });
  try {
    const scale = Math.min(SHARP, TALLEST / part.scrollHeight);
    if (scale < 0.5) throw new Problem("This view is too tall for one picture.", "Save it as HTML, or show fewer units.");
    const backgroundColor = getComputedStyle(document.documentElement).backgroundColor;
    return await domToBlob(part, { scale, backgroundColor, style: { margin: "0", padding: MARGIN }, font: false });
  } finally {
    for (const word of words) word.remove();
    part.classList.remove("photographed");
  }
}
