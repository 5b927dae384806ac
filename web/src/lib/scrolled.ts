// Scrolls to where a page was left, as soon as it is tall enough again.

const PATIENCE = 2000; // ms

export function scrolled(top: number): () => void {
  scrollTo(0, top);
  if (top === 0) return () => {};
  const end = performance.now() + PATIENCE;
  let frame = 0;
  let stopped = false;
  const stop = () => {
    stopped = true;
    cancelAnimationFrame(frame);
    for (const event of ["wheel", "touchstart", "keydown"]) removeEventListener(event, stop);
  };
  const again = () => {
    if (stopped) return;
    scrollTo(0, top);
    if (Math.abs(scrollY - top) < 2 || performance.now() > end) stop();
    else frame = requestAnimationFrame(again);
  };
  for (const event of ["wheel", "touchstart", "keydown"]) addEventListener(event, stop, { passive: true });
  frame = requestAnimationFrame(again);
  return stop;
}
