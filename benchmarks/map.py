"""The map and the grid beside openTSNE's defaults, scikit-learn's t-SNE, exact assignment and RasterFairy.

Codes are those of the demo's regions by EfficientNet-Lite0, repeated with noise up to the number that is asked for;
points for grids the t-SNE of scikit-learn's 1,797 digits, for larger numbers repeated with noise.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.optimize import linear_sum_assignment

import convscope
from convscope.faces.answers.mapping import levels_of, tile_bytes, tile_picture, tiles_of
from convscope.faces.demo import cut_regions
from convscope.layouts.assignment import assign, centres, costs, fill, mean_cost, scaled
from convscope.layouts.nearest import Nearest
from convscope.layouts.quality import dpq, quality
from convscope.layouts.sorting import sort
from convscope.layouts.tsne import embed
from convscope.studies.grid import Grid, shape_of
from tests.kinds import NEAREST, kinds_of_things, same_kind

NOISE = 0.3  # of a number's own spread, of repeated codes and digits
EXACT_10000 = 84.9785  # squared cost of an exact assignment of the 10,000 points below, by scipy …
EXACT_SECONDS = 1_051  # … in so many …
GREEDY_10000 = 0.050439  # … and the mean one of greedy filling, by which these very points are known


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds and result."""
    begun = time.perf_counter()
    found = function()
    return time.perf_counter() - begun, found


def real_atlas() -> convscope.Atlas:
    """That of the demo's regions."""
    folder = Path("demo")
    if not (folder / "atlas" / "manifest.json").exists():
        folder = Path(tempfile.mkdtemp())
        cut_regions(folder / "regions")
        convscope.build(folder / "regions", "efficientnet-lite0", folder / "atlas")
    return convscope.open_atlas(folder / "atlas")


def repeated(table: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """So many rows: the table's own, then the same with noise again and again."""
    generator = np.random.default_rng(0)
    spread = NOISE * table.std(0)
    parts = [table]
    while sum(map(len, parts)) < count:
        parts.append(table + generator.normal(size=table.shape).astype(np.float32) * spread)
    return np.concatenate(parts)[:count].astype(np.float32)


def divergence(codes: NDArray[np.float32], positions: NDArray[np.floating]) -> float:
    """Kullback-Leibler divergence under one affinity matrix: perplexity 30, exact neighbours of the raw codes."""
    from openTSNE.affinity import joint_probabilities_nn

    near, away = Nearest(codes).among_themselves(90)
    weights = joint_probabilities_nn(near, away, [30], n_jobs=torch.get_num_threads()).tocoo()
    places = np.asarray(positions, np.float64)
    squares = np.square(places).sum(1)
    total = 0.0
    for start in range(0, len(places), 500):
        block = places[start : start + 500]
        total += float(
            (1 / (1 + np.maximum(squares[start : start + 500, None] + squares - 2 * block @ places.T, 0))).sum()
        )
    total -= len(places)
    likeness = 1 / (1 + np.square(places[weights.row] - places[weights.col]).sum(1)) / total
    return float((weights.data * np.log(weights.data / likeness)).sum())


def mapping(count: int, rivals: bool) -> None:
    """Prints time, divergence and recall of ours and of the rivals."""
    codes = repeated(np.asarray(real_atlas().codes(), np.float32), count)
    print(f"t-SNE of {count:,} × {codes.shape[1]} codes; {torch.get_num_threads()} threads")
    print("method | seconds | ÷ openTSNE's defaults | divergence (one affinity matrix) | 10-nearest recall")
    methods: dict[str, Callable[[], Any]] = {}
    if rivals:
        import openTSNE
        from sklearn import manifold

        threads = torch.get_num_threads()
        theirs = openTSNE.TSNE(n_jobs=threads, random_state=0)
        methods["openTSNE, its defaults"] = lambda: np.asarray(theirs.fit(codes))
        methods["scikit-learn"] = lambda: manifold.TSNE(random_state=0, n_jobs=threads).fit_transform(codes)
    methods["convscope"] = lambda: embed(codes).positions
    first = float("nan")
    for name, method in methods.items():
        seconds, positions = timed(method)
        first = seconds if name.startswith("openTSNE") else first
        recall = quality(codes, np.asarray(positions, np.float32)).recall
        cells = f"{name} | {seconds:.1f} | {seconds / first:.2f} | {divergence(codes, positions):.4f} | {recall:.3f}"
        print(cells, flush=True)
    print(
        f"memory of this process at most: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GB",
        flush=True,
    )


def digits(count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A map of so many digits, and the digits themselves."""
    from openTSNE import TSNE
    from sklearn.datasets import load_digits

    table = load_digits().data.astype(np.float32)
    generator = np.random.default_rng(0)
    rounds = -(-count // len(table))
    parts = [table + (generator.normal(0, 1, table.shape) if turn else 0) for turn in range(rounds)]
    whole = np.concatenate(parts)[:count]
    return np.asarray(TSNE(n_jobs=1, random_state=0).fit(whole), np.float64), whole


def gridding(count: int, exactly: bool) -> None:
    """Prints time and cost of the assignment, and its quality, beside greedy filling and an exact assignment."""
    points, vectors = digits(count)
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    best = float("nan")
    if count == 10_000 and np.isclose(
        mean_cost(points, fill(points, rows, columns), rows, columns), GREEDY_10000, 1e-4
    ):
        best = EXACT_10000 / count  # another openTSNE, or another machine, gives other points
        print(f"the optimum of these points was computed once, by scipy, in {EXACT_SECONDS:,} s")
    print(f"grid of {count:,} points on {rows} × {columns} cells")
    print("way | seconds | mean squared cost | ÷ the optimum | DPQ16")
    if exactly:
        matrix = costs(scaled(points), centres(rows, columns))
        seconds, (_, chosen) = timed(lambda: linear_sum_assignment(matrix))
        cells = np.stack(np.divmod(chosen, columns), 1)
        best = mean_cost(points, cells, rows, columns)
        print(f"scipy, exact | {seconds:.1f} | {best:.6f} | 1 | {dpq(vectors, cells):.3f}", flush=True)
    ways: dict[str, Callable[..., NDArray[np.int64]]] = {"convscope": assign}
    if count <= 10_000:  # of 50,000 RasterFairy was not done after minutes
        ways |= {"RasterFairy": raster_fairy, "greedy (cnnembed)": fill}
    for name, way in ways.items():
        try:
            seconds, cells = timed(lambda way=way: way(points, rows, columns))
        except ImportError:
            print(f"{name} | is not installed here (pip install rasterfairy)", flush=True)
            continue
        assert len(np.unique(cells, axis=0)) == len(points), f"{name} puts several points into one cell"
        cost = mean_cost(points, cells, rows, columns)
        print(f"{name} | {seconds:.1f} | {cost:.6f} | {cost / best:.3f} | {dpq(vectors, cells):.3f}", flush=True)


def raster_fairy(points: NDArray[np.float64], rows: int, columns: int) -> NDArray[np.int64]:
    """Its cells (row, column); it knows NumPy by names that were taken away in 2023, so they are lent to it."""
    from rasterfairy import transformPointCloud2D

    old = {"float": float, "int": int}
    for name, kind in old.items():
        setattr(np, name, kind)
    try:
        found, _ = transformPointCloud2D(points, target=(rows, columns))
    finally:
        for name in old:
            delattr(np, name)
    return np.asarray(found, np.int64)


def sorting() -> None:
    """Prints the quality of linear assignment sorting of 32 × 32 colours."""
    colours = np.random.default_rng(3).integers(0, 256, (1024, 3)).astype(float)
    seconds, cells = timed(lambda: sort(colours, 32, 32))
    print(f"sorting of 32 × 32 colours: {seconds:.1f} s, DPQ16 {dpq(colours, cells):.3f} (bar 0.94)", flush=True)


def kinds() -> None:
    """Prints how often the nearest images, from other photos alone, show the same kind of thing."""
    with tempfile.TemporaryDirectory() as folder:
        images = kinds_of_things(Path(folder) / "kinds")
        made = convscope.build(images, "efficientnet-lite0", Path(folder) / "atlas", layers=["conv_head"])
        codes, pixels, chance = same_kind(made)
    print(
        f"{NEAREST} nearest of another photo show the same kind of thing: by code {codes:.0%}, by pixels {pixels:.0%}, "
        f"by chance {chance:.0%}",
        flush=True,
    )


class Repeated(Grid):
    """A grid of more images than its atlas has: the same ones again and again."""

    def owners(self) -> NDArray[np.int64]:
        """The image in each cell."""
        found = super().owners()
        return np.where(found >= 0, found % len(self.store.images), -1)


def tiles(count: int = 50_000, each: int = 30) -> None:
    """Prints how long a tile takes at every level of a grid of so many images, the first of a level apart."""
    rows, columns = shape_of(count, 1.0)
    some = real_atlas().grid()
    parts = {one.name: getattr(some, one.name) for one in fields(some)}
    cells = np.stack(np.divmod(np.arange(count), columns), 1)
    found = Repeated(**parts | {"rows": rows, "columns": columns, "cells": cells})
    generator, medians, slowest = np.random.default_rng(0), [], 0.0
    for side in levels_of(*found.store.pixels(0).shape[:2]):
        known = tiles_of(found, side)
        wanted = [known[at] for at in generator.integers(0, len(known), each + 1)]
        spent = [timed(lambda at=at, side=side: tile_bytes(shown(found, side, *at)))[0] * 1000 for at in wanted][1:]
        medians.append(float(np.median(spent)))
        slowest = max(slowest, *spent)
    print(
        f"tiles of a grid of {count:,} (the demo's images repeated), {len(medians)} levels, {each} tiles each: "
        f"medians {min(medians):.0f} to {max(medians):.0f} ms, the slowest {slowest:.0f} ms (bar 50), without HTTP",
        flush=True,
    )


def shown(found: Grid, side: int, column: int, row: int) -> Image.Image:
    """A tile that there is."""
    picture = tile_picture(found, side, column, row)
    assert picture is not None
    return picture


def maps() -> None:
    """What `make bench` runs."""
    mapping(10_000, rivals=True)
    gridding(1_797, exactly=True)
    gridding(10_000, exactly=False)
    sorting()
    tiles()
    kinds()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--maps", nargs="*", type=int, default=[10_000])
    parser.add_argument("--grids", nargs="*", type=int, default=[1_797, 10_000])
    parser.add_argument("--alone", action="store_true", help="without the rivals")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    for number in given.maps:
        mapping(number, rivals=not given.alone)
    for number in given.grids:
        gridding(number, exactly=number < 3_000)
    sorting()
    tiles()
    kinds()
