"""Whether a method's pictures notice that the network is random: the sanity check beside every map.

Adebayo et al. 2018, Sanity Checks for Saliency Maps (arXiv:1810.03292). The weights are randomised from the top
downwards, and the maps compared with that of the trained network. Nie, Zhang & Patel 2018 (arXiv:1805.07039) say why
deconvnet and guided backprop barely change: they recover the image.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from pydantic import Field, SkipValidation
from torch import Tensor

from convscope.errors import BadAddress, BadOption, NoRule
from convscope.models.backward import RULES, Method, send_back
from convscope.models.net import Net
from convscope.models.prepared import ImageLike, Prepared, name_of
from convscope.models.randomised import randomised, weighted_layers
from convscope.models.starts import address_of, begin, title_of
from convscope.models.targets import Single, is_several
from convscope.technique import SILENT, Result, Watch, checked

HARDLY, CLEARLY = 0.9, 0.7  # rank correlations: from here on a map hardly changes; below it it clearly does


@dataclass(frozen=True, eq=False)
class SanityCheck(Result):
    """Maps of the trained network and of networks that are random from the top down, and how alike they are."""

    net: str
    image: str  # the file's name; "an array" or the like where there is none
    target: str  # address
    name: str  # the same as a title
    methods: tuple[Method, ...]
    refused: tuple[str, ...]  # why a method is left out
    layers: tuple[str, ...]  # down to which the network is random, at each level
    counts: tuple[int, ...]  # how many layers with weights that are; a stopped check has fewer levels
    total: int  # how many layers with weights there are: a convolution and its BatchNorm are one, shared ones too
    maps: Float[Tensor, "methods levels_and_trained height width"] = field(repr=False)  # the trained network's first
    spearman: Float[np.ndarray, "methods levels"]  # rank correlation of the maps with the trained network's
    ssim: Float[np.ndarray, "methods levels"]  # structural similarity of them, each divided by its greatest value
    seed: int
    prepared: Prepared = field(repr=False)

    @property
    def address(self) -> str:
        """What the maps are of, as a title."""
        return self.name

    def verdict(self, method: Method) -> str:
        """One plain sentence on what the change, or its absence, means for a method."""
        row = self.spearman[self.methods.index(method)]
        first, last = float(row[0]), float(row[-1])
        name = method.replace("_", " ")
        down = "all of it" if self.counts[-1] == self.total else f"all down to {self.layers[-1]}"
        told = "it is flat" if np.isnan(last) else f"{last:.2f}"
        further = f", with {down} {told}" if len(row) > 1 else ""
        top = f"with {self.layers[0]} random its map correlates {first:.2f} with before"
        if np.isnan(first):
            return f"{name}: one of its maps is flat, so nothing can be compared."
        if first >= HARDLY:
            least = float(np.min(row))  # NaN, a flat map, is none
            rest = f", and at least {least:.2f} however much is random" if len(row) > 1 and least >= HARDLY else ""
            return f"{name}: {top}{rest}: it shows the image's structure rather than what this target rests on."
        if first <= CLEARLY:
            return f"{name}: {top}{further}: it does depend on what the network has learned."
        return f"{name}: {top}{further}: it depends in part on what the network has learned."

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The numbers by name."""
        known = {"target": self.target, "methods": self.methods, "layers": self.layers, "counts": self.counts}
        return super().arrays() | {name: np.array(value) for name, value in known.items()}

    def lines(self) -> list[list[str]]:
        """Of each level how alike the maps are, method by method."""
        heads = [f"{method} {measure}" for method in self.methods for measure in ("Spearman", "SSIM")]
        rows = [["random down to", "layers", *heads]]
        for level, layer in enumerate(self.layers):
            pairs = np.stack([self.spearman[:, level], self.ssim[:, level]], 1).ravel()
            rows.append([layer, f"{self.counts[level]} of {self.total}", *(f"{value:.3f}" for value in pairs)])
        return rows


@checked
def sanity_check(
    net: Net,
    image: Annotated[ImageLike, SkipValidation, Field(description="an image file")],
    target: Annotated[
        Single | None,
        SkipValidation,
        Field(description='a class by name or index, or a unit "layer:17@5,2"; default: the most probable class'),
    ] = None,
    *,
    methods: Annotated[tuple[Method, ...], Field(min_length=1, description="whose maps are checked")] = (
        "saliency", "deconvnet", "guided_backprop",
    ),
    levels: Annotated[int, Field(ge=1, description="networks that are random further and further down")] = 6,
    seed: Annotated[int, Field(ge=0, lt=2**62, description="of the random weights")] = 0,
    watch: Annotated[Watch, SkipValidation] = SILENT,
) -> SanityCheck:  # fmt: skip
    """How much a method's map changes as the network's weights are made random from the top downwards.

    The first level randomises the topmost layer with weights alone, the last one (of several) all of them, shared
    weights once: He's normal weights, biases 0, normalisations as they begin, scales 1. Methods without a rule on this
    network are left out, and why is said; stopping keeps the levels that are done. Raises UnreadableImage, BadAddress,
    UnknownLayer, BadOption; NoRule where no method is left.
    """
    if is_several(target):
        raise BadAddress("a sanity check is of one target", "ask for one after the other")
    prepared, (loose,) = begin(net, image, target)
    chosen, refused, trained = list[Method](), list[str](), list[Tensor]()
    start = loose
    for method in dict.fromkeys(methods):
        try:
            sent = send_back(net, prepared.pixels, [loose], RULES[method])
        except NoRule as error:
            refused.append(error.problem)
            continue
        start = sent.starts[0]  # the place that is strongest on the trained network
        chosen.append(method)
        trained.append(sent.signals[0].abs().amax(0))
    if not chosen:
        raise NoRule(refused[0], 'methods=("saliency",) works on every network')
    layers = weighted_layers(net, start.layer.node)
    if not layers:
        raise BadOption(f"no weights lie below {start.layer.name}", "choose a target further up")
    counts, done = level_counts(len(layers), levels), list[list[Tensor]]()

    def result() -> SanityCheck:
        maps = [[first, *(level[place] for level in done)] for place, first in enumerate(trained)]
        return SanityCheck(
            net=net.name,
            image=name_of(image),
            target=address_of(net, start),
            name=title_of(net, start),
            methods=tuple(chosen),
            refused=tuple(refused),
            layers=tuple(layers[count - 1].name for count in counts[: len(done)]),
            counts=tuple(counts[: len(done)]),
            total=len(layers),
            maps=torch.stack([torch.stack(found) for found in maps]),
            spearman=np.array([[rank_correlation(found[0], one) for one in found[1:]] for found in maps]),
            ssim=np.array([[structural_similarity(found[0], one) for one in found[1:]] for found in maps]),
            seed=seed,
            prepared=prepared,
        )

    try:
        for count in counts:
            random = randomised(net, layers[:count], seed)
            signals = [send_back(random, prepared.pixels, [start], RULES[method]).signals[0] for method in chosen]
            done.append([signal.abs().amax(0) for signal in signals])
            told = watch.stopped()  # who has been told is not stopped in the middle of a word
            watch.progress(len(done), len(counts), "random networks")
            if told or watch.stopped():
                break
            if len(done) < len(counts):
                watch.preview(result())
    except KeyboardInterrupt:
        if not done:
            raise
        watch.say(f"stopped: {len(done)} of {len(counts)} random networks are done, the others are left out")
    return result()


def level_counts(total: int, levels: int) -> list[int]:
    """How many layers are random at each level: one, then evenly more, at last all."""
    return sorted({1 + round((total - 1) * level / max(levels - 1, 1)) for level in range(levels)})


def rank_correlation(one: Tensor, other: Tensor) -> float:
    """Spearman's, over all pixels; NaN where a map is flat."""
    first, second = (ranks(values.numpy().ravel()) for values in (one, other))
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


def ranks(values: NDArray[Any]) -> NDArray[np.float64]:
    """From the least on, equal ones with the mean of theirs (scipy.stats has it too, and takes seconds to import)."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[place], np.float64)


def structural_similarity(one: Tensor, other: Tensor) -> float:
    """SSIM of two maps, each divided by its greatest value."""
    from skimage.metrics import structural_similarity as similarity

    scaled = [(values / values.max().clamp_min(1e-30)).double().numpy() for values in (one, other)]
    side = min(7, min(one.shape) - (min(one.shape) + 1) % 2)  # an odd window that fits
    return float(similarity(*scaled, data_range=1.0, win_size=side))  # type: ignore[no-untyped-call]
