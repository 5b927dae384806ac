"""A sanity check as panels: each method's maps as more and more of the network is random, and how alike they are."""

import numpy as np

from convscope.render import pixels
from convscope.render.figure import Panel, Tile, TileRow
from convscope.render.gradient import QUANTILE, high_end
from convscope.render.methods import NAMES
from convscope.render.panels import Curve, Series, Tiles
from convscope.techniques.sanity import SanityCheck

SIDE = 132.0  # CSS px of a map


def sanity_panels(result: SanityCheck) -> tuple[Panel, ...]:
    """The maps, method by method, and the curves of their similarity."""
    return (map_tiles(result), similarity_curve(result, "Rank correlation"), similarity_curve(result, "SSIM"))


def map_tiles(result: SanityCheck) -> Tiles:
    """One row a method: the trained network's map, then those of networks that are random further and further down."""
    picture = pixels.to_bytes(result.prepared.pixels[0].cpu().numpy().transpose(1, 2, 0))
    rows = [TileRow(result.name, "the image", (Tile(picture, footer=result.image),))]
    for number, method in enumerate(result.methods):
        tiles = []
        for level, values in enumerate(result.maps[number].double().numpy()):
            footer = "as trained"
            if level:
                likeness = result.spearman[number, level - 1]
                footer = f"{result.counts[level - 1]} random: " + ("flat" if np.isnan(likeness) else f"{likeness:.2f}")
            tiles.append(Tile(pixels.colour(values, False, (0.0, high_end(values))), footer=footer))
        rows.append(TileRow(capital(NAMES[method]), "", tuple(tiles)))
    told = [result.verdict(method).partition(": ")[2] for method in result.methods]  # behind the technique's name
    sentences = " ".join(f"{capital(NAMES[one])}: {words}" for one, words in zip(result.methods, told, strict=True))
    left_out = "".join(f" Left out: {reason}." for reason in result.refused)
    last = f"all {result.total}" if result.counts[-1] == result.total else f"{result.counts[-1]} of {result.total}"
    more = f", then more from the top down, at last {last} layers with weights"
    if len(result.counts) == 1:
        more = f", one of {result.total} layers with weights"
    caption = (
        f"{result.net} on {result.image}: would the maps of {result.name} notice that the network is random (Adebayo "
        f"et al. 2018)? Left the trained network; then the topmost layer, {result.layers[0]}, has random weights"
        f"{more}. Below each map: how many layers are "
        "random, and the rank correlation (Spearman, over the pixels) with the trained network's map. Magnitudes, the "
        f"greatest of the three colours; each map has its own scale, from 0 (black) to its {QUANTILE:.1%} quantile. "
        f"{sentences}{left_out}"
    )
    return Tiles(f"{result.name}: sanity check", tuple(rows), caption, SIDE, "", smooth=False)


def similarity_curve(result: SanityCheck, measure: str) -> Curve:
    """How alike the maps are to those of the trained network, over how many layers are random."""
    found = result.spearman if measure == "Rank correlation" else result.ssim
    counts = np.array([0, *result.counts], float)
    series = tuple(
        Series(capital(NAMES[method]), counts, np.concatenate([[1.0], found[number]]))
        for number, method in enumerate(result.methods)
    )
    words = "Spearman's rank correlation" if measure == "Rank correlation" else "Structural similarity"
    caption = (
        f"{words} of each map with the trained network's, one image and one draw of random weights (seed "
        f"{result.seed}). A method whose curve stays up here shows the image, whatever the network has learned."
    )
    return Curve(
        f"{measure} with the trained network's map", series, "layers that are random, from the top", measure, caption
    )


def capital(text: str) -> str:
    """With a capital letter first."""
    return text[:1].upper() + text[1:]
