"""A localisation as one picture: image with box, saliency, the seeds of the colour models, the object cut out."""

import numpy as np

from convscope.render import pixels
from convscope.render.figure import Panel, Tile, TileRow
from convscope.render.gradient import QUANTILE, high_end
from convscope.render.panels import Scale, Tiles
from convscope.render.pixels import Pixels
from convscope.techniques.localisation import Localisation

SIDE = 216.0  # CSS px of a tile
GREYED = (0.3, 0.4)  # darkest grey and range of greys below the seeds and around the object
FOREGROUND, BACKGROUND = (240, 146, 48), (74, 156, 240)  # orange and blue, as of the signed colours


def localisation_panels(result: Localisation) -> tuple[Panel, ...]:
    """Four steps from left to right: the image with the box, what the score rests on, seeds, the object."""
    picture = pixels.to_bytes(result.prepared.pixels[0].cpu().numpy().transpose(1, 2, 0))
    values = result.map.double().numpy()
    scale = Scale((0.0, high_end(values)), False, values)
    footer = f"the object: {result.share:.0%} of the image" if result.box else "no object found"
    tiles = (
        Tile(picture, box=result.input_box, footer="the image and the box" if result.box else "the image"),
        Tile(pixels.colour(values, False, scale.limits), footer="saliency"),
        Tile(seed_picture(result, picture), footer="seeds: orange object, blue background"),
        Tile(np.where(result.mask[..., None], picture, greyed(picture)), footer=footer),
    )
    subtitle = f"score {result.score:.3g}" if result.probability is None else f"p = {result.probability:.2g}"
    title = f"{result.name}: localisation"
    row = TileRow(result.name, subtitle, tiles)
    return (Tiles(title, (row,), caption(result), SIDE, "|gradient|", smooth=False, scale=scale),)


def caption(result: Localisation) -> str:
    """What the four pictures show, with the box on the original image."""
    mean = "" if result.crops == 1 else f", the mean over {result.crops} crops (corners, centre, mirrored)"
    blur = f", smoothed over {result.blur:g} px" if result.blur else ""
    if result.box:
        box = ", ".join(f"{edge:.0f}" for edge in result.box)
        end = f"Its box on the original image (top, left, bottom, right): {box} px."
    else:
        end = f"There is no box: {result.reason}."
    return (
        f"{result.net} on {result.image}: where {result.name} is (Simonyan et al. 2014, section 3.2). Saliency is the "
        f"greatest |gradient| of the three colours{mean}{blur}; black is 0, the lightest colour its {QUANTILE:.1%} "
        f"quantile. Pixels above its {result.foreground:.0%} quantile (orange) give the colours of the object, pixels "
        f"up to its {result.background:.0%} quantile (blue) those of the background, five Gaussians each. A "
        "graph cut parts the image by these colours; the object is its largest connected piece. No box was learnt, "
        f"and what has the object's colours and touches it comes along. {end}"
    )


def seed_picture(result: Localisation, picture: Pixels) -> Pixels:
    """The image in greys, on it the seeds."""
    shown = greyed(picture)
    shown[result.seeds < 0] = BACKGROUND
    shown[result.seeds > 0] = FOREGROUND
    return shown


def greyed(picture: Pixels) -> Pixels:
    """The image in greys of little contrast, on which both dark and light things in colour stand out."""
    light = picture.astype(np.float64) @ np.array([0.299, 0.587, 0.114]) / 255
    return pixels.to_bytes(np.repeat((GREYED[0] + GREYED[1] * light)[..., None], 3, axis=2))
