"""Class models as panels: the images, and how their scores climbed."""

import math

import numpy as np

from convscope.models.address import OUTPUT, Address
from convscope.render import pixels
from convscope.render.figure import Panel, Tile, TileRow
from convscope.render.panels import Curve, Series, Tiles
from convscope.techniques.synthesis import ClassModel

ACROSS, SIDE, SINGLE = 4, 200.0, 320.0  # images in a row; CSS px of one of several, and of a single one
CURVES = 8  # at most
RECIPES = {
    "fourier": "Fourier coefficients of equal weight and decorrelated colours, under random shifts, turns and scales, "
    "by Adam (Olah et al. 2017; Lucid)",
    "yosinski": "ascent with decay and a blur every fourth step (Yosinski et al. 2015)",
    "simonyan": "ascent of the score less the squared norm, from the mean image (Simonyan et al. 2014)",
}


def class_model_panels(result: ClassModel) -> tuple[Panel, ...]:
    """The images, and the traces of their ascent."""
    return (model_tiles(result), trace_curve(result))


def model_tiles(result: ClassModel) -> Tiles:
    """One image a target; what lies outside a unit's receptive field is cut off."""
    images = result.pixels.reshape(-1, *result.pixels.shape[-3:]).double().numpy()
    tiles = []
    for number, image in enumerate(images):
        top, left, bottom, right = (round(edge) for edge in result.boxes[number])
        part = image[:, top:bottom, left:right] if bottom > top and right > left else image
        tiles.append(Tile(pixels.to_bytes(part.transpose(1, 2, 0)), footer=footer(result, number)))
    rows = tuple(TileRow("", "", tuple(tiles[at : at + ACROSS])) for at in range(0, len(tiles), ACROSS))
    classes = [Address.parse(one).layer == OUTPUT for one in result.targets]
    cut = "" if all(classes) else " Images of units are cropped to all that they can see."
    caption = (
        f"What {result.net} answers to most, made from no image: {RECIPES[result.recipe]}, {result.steps} steps, seed "
        f"{result.seed}. Below {'each image' if len(tiles) > 1 else 'the image'} what it is of, and the score (logit; "
        f"of a unit what enters its rectifier) that the network gives it as it is drawn.{cut}"
        f"{' ' if result.reason else ''}{result.reason}"
    )
    return Tiles(head(result), rows, caption, SINGLE if len(tiles) == 1 else SIDE, "", smooth=True)


def head(result: ClassModel) -> str:
    """What the images are of."""
    return f"{result.address}: class model" if len(result.names) == 1 else f"{len(result.names)} class models"


def footer(result: ClassModel, number: int) -> str:
    """Name, score and probability of one target."""
    address, score = Address.parse(result.targets[number]), f"{result.scores[number]:.3g}"
    if math.isnan(result.probabilities[number]):
        return f"{address.layer}:{address.unit}, {score}"
    return f"{result.names[number]}, score {score}"


def trace_curve(result: ClassModel) -> Curve:
    """The score at each step."""
    traces = result.trace.reshape(-1, result.steps).double().numpy()
    steps = np.arange(1, result.steps + 1, dtype=float)
    series = tuple(
        Series(footer(result, number).rsplit(",", 1)[0], steps, one) for number, one in enumerate(traces[:CURVES])
    )
    seen = "of the image as it was shifted, turned and scaled" if result.recipe == "fourier" else "of the image"
    classes = all(Address.parse(one).layer == OUTPUT for one in result.targets)
    what = "score" if classes else "score (of a unit what enters its rectifier)"
    some = f" The first {CURVES} of {len(traces)} are drawn." if len(traces) > CURVES else ""
    caption = f"The {what} {seen} in each step; it is to climb.{some}"
    return Curve("The ascent", series, "step", "score (logit)" if classes else "score", caption)
