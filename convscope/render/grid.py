"""A grid as panels: all images, and the seams between them."""

import numpy as np

from convscope.render.figure import Panel
from convscope.render.mosaic import grid_picture, seams_picture
from convscope.render.panels import Overlay
from convscope.studies.grid import Grid

WAYS = {
    "assignment": "each in one cell so that the sum of squared distances to the map is small",
    "greedy": "each cell in reading order takes the nearest image on the map that is left (Karpathy's «filled»)",
    "exact": "where they lie on the map, first come first served (Karpathy's «exact»)",
    "sorted": "sorted by their codes alone (linear assignment sorting, Barthel et al. 2023)",
}


def grid_panels(grid: Grid) -> tuple[Panel, ...]:
    """The images, and the same with seams."""
    caption = (
        f"{grid.images:,} of {len(grid.cells):,} images on {grid.rows} × {grid.columns} cells by the codes of "
        f"{grid.layer} ({grid.net}): {WAYS[grid.way]}.{preserved(grid)}"
        f"{'' if grid.complete else ' It was stopped before it was done.'}"
    )
    side = grid.size / 2
    whole = Overlay(f"{grid.layer}: grid of {grid.images:,} images", grid_picture(grid, grid.size), caption, side=side)
    picture, away = seams_picture(grid, grid.size)
    reach = f", black near, white {np.max(away):.3g} apart" if away.size else ""
    words = f"The borders are coloured by the distance of the whole codes on both sides{reach}: bright seams are jumps."
    return (whole, Overlay(f"{grid.layer}: seams", picture, words, side=side))


def preserved(grid: Grid) -> str:
    """How well neighbours are kept, where there is something to keep."""
    if np.isnan(grid.preservation):
        return ""
    return f" DPQ {grid.preservation:.2f} (1: the nearest codes are beside each other, 0: by chance)."
