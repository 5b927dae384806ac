"""The picture grid: every image in one cell, those that the network finds alike beside each other.

Karpathy 2014, t-SNE visualization of CNN codes («cnnembed»): images at their exact positions, or cells that take the
nearest unused image one after the other. Ours assigns all of them at once, so that the sum of squared distances to the
map is small (layouts/assignment.py), or sorts the codes themselves (layouts/sorting.py).
"""

import math
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from pydantic import Field, SkipValidation

from convscope.errors import BadOption
from convscope.layouts import assignment, sorting
from convscope.layouts.quality import dpq
from convscope.store.kept import find, keep
from convscope.store.opened import AtlasStore
from convscope.studies.mapping import finite_codes, key_of
from convscope.studies.mapping import map as map_images
from convscope.studies.vitals import code_name
from convscope.technique import SILENT, Result, Watch, checked

GRIDS = "grids"  # the folder in the atlas
FORMAT = 1  # of what is kept
NUMBERS = ("cost", "preservation")  # that are kept with it
Way = Literal["assignment", "greedy", "exact", "sorted"]


@dataclass(frozen=True, eq=False)
class Grid(Result):
    """The cell of each image."""

    net: str
    layer: str
    way: Way
    rows: int
    columns: int
    cells: Int[np.ndarray, "N 2"] = field(repr=False)  # (row, column) in the order of the images; -1: left out
    cost: float  # mean squared distance to the map, both scaled to the unit square; NaN of sorted ones
    preservation: float  # DPQ with power 16: 1 the nearest codes are beside each other, 0 by chance
    complete: bool  # False: its map was stopped
    size: int  # px of the picture's longer side, about
    labels: tuple[str | None, ...] = field(repr=False)
    store: AtlasStore = field(repr=False)

    @property
    def address(self) -> str:
        """What is shown, as a title."""
        return f"grid of {self.layer}"

    @property
    def images(self) -> int:
        """How many have a cell."""
        return int((self.cells[:, 0] >= 0).sum())

    def owners(self) -> Int[np.ndarray, "rows columns"]:
        """The image in each cell; -1 where it is empty."""
        found = np.full((self.rows, self.columns), -1)
        placed = np.flatnonzero(self.cells[:, 0] >= 0)
        found[tuple(self.cells[placed].T)] = placed
        return found

    def seams(self) -> tuple[Float[np.ndarray, "rows columns"], Float[np.ndarray, "rows columns"]]:
        """Distances of the codes across the border to the right and the one below; NaN where a cell is empty."""
        codes, owners = finite_codes(self.store, self.layer), self.owners()
        found = []
        for axis in (1, 0):
            other = np.roll(owners, -1, axis)
            both = (owners >= 0) & (other >= 0)
            both[(slice(None), -1) if axis else (-1, slice(None))] = False
            away = np.full(owners.shape, np.nan)
            away[both] = np.linalg.norm(codes[owners[both]] - codes[other[both]], axis=1)
            found.append(away)
        return found[0], found[1]

    def lines(self) -> list[list[str]]:
        """The numbers of the grid."""
        return [
            ["number", "value"],
            ["images", f"{self.images:,} of {len(self.cells):,}"],
            ["cells", f"{self.rows} × {self.columns}"],
            ["layer", self.layer],
            ["way", self.way],
            ["mean squared distance to the map", f"{self.cost:.4g}"],
            ["DPQ16", f"{self.preservation:.3f}"],
        ]


PLACED = {"assignment": assignment.assign, "greedy": assignment.fill, "exact": assignment.snap}


@checked
def grid(
    store: AtlasStore,
    layer: Annotated[str | None, Field(description="whose codes; default: what enters the classifier")] = None,
    *,
    way: Annotated[
        Way,
        Field(
            description='"assignment": all at once, each image in one cell; "greedy": each cell takes the '
            'nearest image left; "exact": where it lies on the map, first come first served; "sorted": by codes alone'
        ),
    ] = "assignment",
    aspect: Annotated[
        float, Field(gt=0, le=1e6, description="width by height of the whole grid, counted in cells")
    ] = 1.0,
    perplexity: Annotated[float, Field(ge=1, le=1e6, description="of the map")] = 30.0,
    seed: Annotated[int, Field(ge=0, lt=2**32, description="of the map")] = 0,
    size: Annotated[int, Field(ge=64, le=20_000, description="px of the picture's longer side, about")] = 2000,
    watch: Annotated[Watch, SkipValidation] = SILENT,
) -> Grid:
    """Every image in exactly one cell of a grid, alike ones beside each other ("exact" leaves some out).

    Kept in the atlas, as its map is; what is stopped is not. Raises UnknownLayer, UnreadableImage for codes that are no
    numbers, BadOption where there are too many to sort.
    """
    known = kept_grid(store, layer, way=way, aspect=aspect, perplexity=perplexity, seed=seed, size=size)
    if known is not None:
        return known
    codes = finite_codes(store, layer)
    rows, columns = shape_of(len(codes), aspect)
    if way == "sorted":
        if rows * columns > sorting.LARGEST:
            raise BadOption(f"sorting is for up to {sorting.LARGEST:,} images", 'way="assignment" is for any number')
        cells, cost, complete = sorting.sort(codes, rows, columns, seed, watch), math.nan, not watch.stopped()
    else:
        found = map_images(store, layer, perplexity=perplexity, seed=seed, watch=watch)
        down = np.stack([-found.positions[:, 1], found.positions[:, 0]], 1)  # (row, column), y upwards
        cells = PLACED[way](down, rows, columns, watch)
        cost, complete = assignment.mean_cost(down, cells, rows, columns), found.complete and not watch.stopped()
    placed = cells[:, 0] >= 0
    preservation = dpq(codes[placed], cells[placed], seed=seed) if placed.sum() > 1 else math.nan
    key = grid_key(store, layer, way, aspect, perplexity, seed)
    if complete:
        record = dict(zip(NUMBERS, (None if math.isnan(one) else one for one in (cost, preservation)), strict=True))
        why = keep(store.folder, GRIDS, key, record, {"cells": cells.astype(np.int32)})
        if why:
            watch.say(f"the grid is not kept in the atlas: {why}")
    return result(store, layer, way, aspect, cells, (cost, preservation), complete=complete, size=size)


def kept_grid(
    store: AtlasStore,
    layer: str | None = None,
    *,
    way: Way = "assignment",
    aspect: float = 1.0,
    perplexity: float = 30.0,
    seed: int = 0,
    size: int = 2000,
) -> Grid | None:
    """The grid with these options where the atlas keeps it, and None where it has to be computed. UnknownLayer."""
    key = grid_key(store, layer, way, aspect, perplexity, seed)
    record, arrays = find(store.folder, GRIDS, key) or ({}, {})
    count, shape = len(store.images), shape_of(len(store.images), aspect)
    try:
        cells = np.asarray(arrays["cells"], np.int64)
        cost, preservation = (math.nan if record[one] is None else float(record[one]) for one in NUMBERS)
    except (KeyError, TypeError, ValueError):  # there is none, or a damaged one: it is computed again
        return None
    if cells.shape != (count, 2):
        return None
    out = (cells == -1).all(1)  # only "exact" leaves images out, and never all of them
    placed = cells[~out]
    whole = (placed >= 0).all() and (placed < shape).all() and len(placed) >= (1 if way == "exact" else count)
    if not whole or len(np.unique(placed @ (shape[1], 1))) < len(placed):
        return None
    return result(store, layer, way, aspect, cells, (cost, preservation), complete=True, size=size)


def grid_key(
    store: AtlasStore, layer: str | None, way: Way, aspect: float, perplexity: float, seed: int
) -> dict[str, Any]:
    """Under which a grid is kept."""
    source = key_of(store, layer, "tsne", perplexity, seed, None)
    if way == "sorted":  # by codes alone
        source = {"layer": source["layer"], "seed": seed}
    return {"format": FORMAT, "atlas": store.mark, "way": way, "aspect": aspect, "map": source}


def result(
    store: AtlasStore,
    layer: str | None,
    way: Way,
    aspect: float,
    cells: NDArray[np.int64],
    numbers: tuple[float, float],
    *,
    complete: bool,
    size: int,
) -> Grid:
    """A grid of all images of the atlas; numbers: cost and preservation."""
    rows, columns = shape_of(len(cells), aspect)
    return Grid(
        net=str(store.manifest["net"]["name"]),
        layer=code_name(store, layer),
        way=way,
        rows=rows,
        columns=columns,
        cells=cells,
        cost=numbers[0],
        preservation=numbers[1],
        complete=complete,
        size=size,
        labels=tuple(store.images["label"].to_pylist()),
        store=store,
    )


def shape_of(count: int, aspect: float) -> tuple[int, int]:
    """Rows and columns of a grid with so many cells or a few more, as near to an aspect as can be."""
    columns = min(max(1, round(math.sqrt(count * aspect))), count)
    rows = -(-count // columns)
    return rows, -(-count // rows)
