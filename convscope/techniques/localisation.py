"""Where the object is that a class score rests on: saliency gives its colours, a graph cut its outline and its box.

Simonyan, Vedaldi & Zisserman 2014, Deep Inside Convolutional Networks, section 3.2 (arXiv:1312.6034): the network was
trained on classes alone, never on boxes. The cut is that of Rother, Kolmogorov & Blake 2004, GrabCut, in OpenCV, run
once and with fixed colour models, which is what the paper does.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int8, UInt8
from numpy.typing import NDArray
from pydantic import Field, SkipValidation
from torch import Tensor

from convscope.arrays import Box
from convscope.errors import BadAddress, BadOption
from convscope.models.backward import send_back
from convscope.models.net import Net
from convscope.models.prepared import ImageLike, Prepared, name_of
from convscope.models.starts import address_of, begin, title_of
from convscope.models.targets import Single, is_several
from convscope.models.ten_crops import mean_over_crops
from convscope.technique import SILENT, Result, Watch, checked

STEPS = 5  # of fitting a colour model after its k-means; with none it depends more on where that began
PARTS, NUMBERS = 5, 13  # Gaussians of a colour model in OpenCV; weight, mean and covariance of each


@dataclass(frozen=True, eq=False)
class Localisation(Result):
    """The box and the outline of the object that a score rests on, and what they were found from."""

    net: str
    image: str  # the file's name; "an array" or the like where there is none
    target: str  # address
    name: str  # the same as a title
    score: float  # of a unit its activation
    probability: float | None  # None of a unit
    map: Float[Tensor, "height width"] = field(repr=False)  # the greatest |gradient| of the three colours, smoothed
    seeds: Int8[np.ndarray, "height width"] = field(repr=False)  # 1 of the foreground, -1 of the background, 0 neither
    mask: Bool[np.ndarray, "height width"] = field(repr=False)  # the largest connected piece of the foreground
    box: Box | None  # around the mask, px of the original image; None where nothing was found
    input_box: Box | None  # the same in px of the net's input
    share: float  # of the net's input that the mask covers
    reason: str  # why there is no box, else ""
    crops: int  # over which the map is the mean
    foreground: float  # quantile of the map above which a pixel is a seed of the foreground
    background: float  # quantile up to which it is one of the background
    blur: float  # standard deviation of the smoothing, px of the net's input
    seed: int
    prepared: Prepared = field(repr=False)

    @property
    def address(self) -> str:
        """What is located, as a title."""
        return self.name

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The numbers by name, boxes as (4,), NaN where nothing was found."""
        boxes = {"box": self.box, "input_box": self.input_box}
        return {**super().arrays(), **{name: np.array(box or (np.nan,) * 4, float) for name, box in boxes.items()}}

    def lines(self) -> list[list[str]]:
        """The target, its score, its box on the original image, and how much of the input the mask covers."""
        heads = ["target", "score", "probability", "box (top, left, bottom, right)", "share of the image"]
        box = ", ".join(f"{edge:.1f}" for edge in self.box) if self.box else f"none: {self.reason}"
        probability = "" if self.probability is None else f"{self.probability:.3g}"
        return [heads, [self.name, f"{self.score:.4g}", probability, box, f"{self.share:.1%}"]]


@checked
def localise(
    net: Net,
    image: Annotated[ImageLike, SkipValidation, Field(description="an image file")],
    target: Annotated[
        Single | None,
        SkipValidation,
        Field(description='a class by name or index, or a unit "layer:17@5,2"; default: the most probable class'),
    ] = None,
    *,
    crops: Annotated[
        Literal[1, 10],
        Field(
            description="1: the image itself; 10: the mean over its corners and centre, enlarged by 8/7, and mirrored"
        ),
    ] = 10,
    foreground: Annotated[
        float, Field(gt=0, lt=1, description="quantile of the map above which pixels give the object's colours")
    ] = 0.95,
    background: Annotated[
        float, Field(gt=0, lt=1, description="quantile of the map up to which pixels give the background's colours")
    ] = 0.3,
    blur: Annotated[
        float,
        Field(ge=0, le=64, description="standard deviation of a Gaussian that smooths the map first, px; the paper: 0"),
    ] = 2.0,
    seed: Annotated[int, Field(ge=0, lt=2**31, description="of where the colour models begin")] = 0,
    watch: Annotated[Watch, SkipValidation] = SILENT,
) -> Localisation:
    """Where the object of a class is: its box and outline, from what the class score rests on and from colours.

    Where nothing is found, `box` is None and `reason` says why. Raises UnreadableImage, BadAddress, UnknownLayer,
    BadOption.
    """
    if background > foreground:
        raise BadOption(
            f"localise: the background's quantile, {background:g}, is above the foreground's, {foreground:g}",
            "a pixel cannot be a seed of both: the paper has background=0.3, foreground=0.95",
        )
    if is_several(target):
        raise BadAddress("an object is localised for one target", "ask for one after the other")
    prepared, asked = begin(net, image, target)
    sent = send_back(net, prepared.pixels, asked, "gradient", watch)
    (start,) = sent.starts
    maps = sent.signals.abs().amax(1)
    if crops > 1:
        maps = mean_over_crops(net, prepared.pixels, asked, sent.starts, watch=watch)
    found = smoothed(maps[0], blur)
    seeds = find_seeds(found.double().numpy(), foreground, background)
    pixels = (prepared.pixels[0].permute(1, 2, 0).cpu().numpy() * 255).round().astype(np.uint8)
    mask, reason = segment(pixels, seeds, seed)
    box = bounding_box(mask)
    return Localisation(
        net=net.name,
        image=name_of(image),
        target=address_of(net, start),
        name=title_of(net, start),
        score=sent.values[0],
        probability=sent.probabilities[0],
        map=found,
        seeds=seeds,
        mask=mask,
        box=prepared.placement.to_original(box) if box else None,
        input_box=box,
        share=float(mask.mean()),
        reason=reason,
        crops=crops,
        foreground=foreground,
        background=background,
        blur=blur,
        seed=seed,
        prepared=prepared,
    )


def smoothed(values: Tensor, blur: float) -> Tensor:
    """A map, smoothed by a Gaussian of that standard deviation, px."""
    if blur == 0:
        return values
    from scipy.ndimage import gaussian_filter

    return torch.from_numpy(gaussian_filter(values.numpy(), blur, mode="nearest"))


def find_seeds(
    values: Float[np.ndarray, "height width"], foreground: float, background: float
) -> Int8[np.ndarray, "height width"]:
    """1 above the one quantile of a map, -1 up to the other, else 0.

    Equal values are all on one side: where most of a map is 0 that is the background, and a flat map has no foreground.
    """
    high, low = np.quantile(values, [foreground, background])
    seeds: NDArray[np.int8] = (values > high).astype(np.int8) - (values <= low).astype(np.int8)
    return seeds


def segment(
    pixels: UInt8[np.ndarray, "height width 3"], seeds: Int8[np.ndarray, "height width"], seed: int
) -> tuple[Bool[np.ndarray, "height width"], str]:
    """The object that has the colours of the foreground's seeds, in one piece; if there is none, why."""
    nothing = np.zeros(seeds.shape, bool)
    if not (seeds > 0).any():
        return nothing, "the saliency map is flat, so no pixel stands out"
    import cv2  # noqa: F401  before the thread begins

    # OpenCV's random generator belongs to its thread: in a thread of its own, that of the caller stays as it is
    with ThreadPoolExecutor(1) as own:
        models = own.submit(colour_models, pixels, seeds, seed).result()
    mask = largest_piece(cut(pixels, *models))
    return mask, "" if mask.any() else "no pixel looks more like the foreground's seeds than like the background's"


def colour_models(
    pixels: UInt8[np.ndarray, "height width 3"], seeds: Int8[np.ndarray, "height width"], seed: int
) -> tuple[Float[np.ndarray, "1 numbers"], Float[np.ndarray, "1 numbers"]]:
    """Mixtures of five Gaussians of the colours of the background's and the foreground's seeds, in OpenCV's layout.

    From the seeds alone: they are laid side by side as a picture of one row, so that no other pixel counts.
    """
    import cv2

    row = np.concatenate([pixels[seeds < 0], pixels[seeds > 0]])[None]
    labels = np.repeat([cv2.GC_BGD, cv2.GC_FGD], [(seeds < 0).sum(), (seeds > 0).sum()]).astype(np.uint8)[None]
    background, foreground = np.zeros((1, PARTS * NUMBERS)), np.zeros((1, PARTS * NUMBERS))
    cv2.setRNGSeed(seed)
    cv2.grabCut(row, labels, (0, 0, 0, 0), background, foreground, STEPS, cv2.GC_INIT_WITH_MASK)
    return background, foreground


def cut(
    pixels: UInt8[np.ndarray, "height width 3"],
    background: Float[np.ndarray, "1 numbers"],
    foreground: Float[np.ndarray, "1 numbers"],
) -> Bool[np.ndarray, "height width"]:
    """Which pixels are foreground: the least cost of colours that fit badly and of edges that follow no contrast.

    Every pixel is free, seeds too. The colour models stay as they are.
    """
    import cv2

    labels = np.full(pixels.shape[:2], cv2.GC_PR_BGD, np.uint8)
    models = background.copy(), foreground.copy()
    cv2.grabCut(np.ascontiguousarray(pixels), labels, (0, 0, 0, 0), *models, 1, cv2.GC_EVAL_FREEZE_MODEL)
    mask: NDArray[np.bool_] = labels == cv2.GC_PR_FGD
    return mask


def largest_piece(mask: Bool[np.ndarray, "height width"]) -> Bool[np.ndarray, "height width"]:
    """The largest connected piece (of eight neighbours, as in the cut); of equal ones the first in reading order."""
    import cv2

    count, pieces, numbers, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count == 1:  # the first one is all that is outside
        return mask
    largest: NDArray[np.bool_] = pieces == 1 + int(numbers[1:, cv2.CC_STAT_AREA].argmax())
    return largest


def bounding_box(mask: Bool[np.ndarray, "height width"]) -> Box | None:
    """The smallest box around a mask, px; None of an empty one."""
    if not mask.any():
        return None
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return Box(float(rows[0]), float(columns[0]), float(rows[-1] + 1), float(columns[-1] + 1))
