"""The map: all images in the plane, those that the network finds alike close together.

Karpathy 2014, t-SNE visualization of CNN codes; van der Maaten & Hinton 2008, Visualizing Data using t-SNE (JMLR 9).
The vectors are the codes of a layer, by default what enters the classifier, after its ReLU, as CS231n asks.
"""

from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from pydantic import Field, SkipValidation

from convscope.errors import BadOption, UnreadableImage
from convscope.layouts.quality import K, Quality, purity, quality, sample
from convscope.layouts.tsne import embed, principal
from convscope.store.kept import find, keep
from convscope.store.opened import AtlasStore
from convscope.store.thumbnails import Thumbnails
from convscope.studies.vitals import code_name, code_way, kept_codes
from convscope.technique import SILENT, Result, Watch, checked

MOST = 100_000  # images that are laid out; where there are more, the others are placed among a sample of so many
FORMAT = 2  # of what is kept
LAYOUTS = "layouts"  # its folder in the atlas
QUIET = frozenset(["flatten", "mean", "adaptive_avg_pool2d", "avg_pool2d", "max_pool2d", "dropout", "view", "squeeze"])
Method = Literal["tsne", "pca"]
NO_TRUTH: dict[str, Any] = {"recall": None, "trustworthiness": None, "distances": None, "sample": 0}
NO_NUMBERS: dict[str, Any] = {  # of a map on the way
    "truth": NO_TRUTH, "pixels": NO_TRUTH,
    "purity": {"codes": None, "map": None, "pixels": None, "chance": None, "images": 0},
}  # fmt: skip


@dataclass(frozen=True)
class Purity:
    """How often the nearest images have the same label, and how often they would by chance."""

    codes: float  # among the nearest by code
    map: float  # among the nearest on the map
    pixels: float  # among the nearest by the pixels of small pictures: the control
    chance: float
    images: int  # whose neighbours were looked at


@dataclass(frozen=True, eq=False)
class Map(Result):
    """Where each image lies, and how true that is to the codes."""

    net: str
    layer: str
    dimension: int  # of the codes
    rectified: bool  # whether they come from behind a rectifier
    method: Method
    perplexity: float  # that was used: at most a third of the other images
    seed: int
    begun: str  # the layer whose map this one began with; "" for principal components
    positions: Float[np.ndarray, "N 2"] = field(repr=False)  # in the order of atlas.images; x to the right, y upwards
    laid_out: int  # images that were laid out; the others were placed among them
    divergence: float  # Kullback-Leibler's, of t-SNE; NaN of principal components
    complete: bool  # False: it was stopped, and is as far as it came
    truth: Quality  # to the codes
    pixel_truth: Quality  # the same map, to the pixels of small pictures
    purity: Purity
    labels: tuple[str | None, ...] = field(repr=False)
    store: AtlasStore = field(repr=False)

    @property
    def address(self) -> str:
        """What is mapped, as a title."""
        return f"map of {self.layer}"

    def arrays(self) -> dict[str, NDArray[Any]]:
        """positions (N, 2), and the numbers."""
        numbers = {f"map to pixels, {name}": np.asarray(value) for name, value in asdict(self.pixel_truth).items()}
        numbers |= {f"purity of {name}": np.asarray(value) for name, value in asdict(self.purity).items()}
        numbers |= {f"map to codes, {name}": np.asarray(value) for name, value in asdict(self.truth).items()}
        return super().arrays() | numbers

    def lines(self) -> list[list[str]]:
        """The numbers of the map."""
        pairs = [
            ("images", f"{len(self.positions):,}"), ("layer", self.layer), ("dimension", str(self.dimension)),
            ("behind a rectifier", "yes" if self.rectified else "no"), ("method", self.method),
            ("Kullback-Leibler divergence", f"{self.divergence:.4g}"),
            (f"{K}-nearest recall, of codes", f"{self.truth.recall:.3f}"),
            (f"{K}-nearest recall, of pixels", f"{self.pixel_truth.recall:.3f}"),
            ("trustworthiness, of codes", f"{self.truth.trustworthiness:.3f}"),
            ("trustworthiness, of pixels", f"{self.pixel_truth.trustworthiness:.3f}"),
            ("correlation of distances, of codes", f"{self.truth.distances:.3f}"),
            ("same label among the nearest: codes", f"{self.purity.codes:.3f}"),
            ("same label among the nearest: map", f"{self.purity.map:.3f}"),
            ("same label among the nearest: pixels", f"{self.purity.pixels:.3f}"),
            ("same label by chance", f"{self.purity.chance:.3f}"),
        ]  # fmt: skip
        return [["number", "value"], *(list(pair) for pair in pairs)]


@checked
def map(
    store: AtlasStore,
    layer: Annotated[str | None, Field(description="whose codes; default: what enters the classifier")] = None,
    *,
    method: Annotated[Method, Field(description='"tsne", or "pca": the first two principal components')] = "tsne",
    perplexity: Annotated[float, Field(ge=1, le=1e6, description="how many neighbours count, about")] = 30.0,
    seed: Annotated[int, Field(ge=0, lt=2**32, description="of start and samples")] = 0,
    begin: Annotated[
        str | None, Field(description="a layer whose map this one begins with, so that both can be compared")
    ] = None,
    watch: Annotated[Watch, SkipValidation] = SILENT,
) -> Map:
    """All images in the plane by their codes, and how true that is; kept in the atlas, so that it is computed once.

    One that is stopped is shown as far as it came, and not kept. Raises UnknownLayer, UnreadableImage for codes that
    are no numbers.
    """
    known = kept_map(store, layer, method=method, perplexity=perplexity, seed=seed, begin=begin)
    if known is not None:
        return known
    codes, key = finite_codes(store, layer), key_of(store, layer, method, perplexity, seed, begin)
    Thumbnails(store, watch)  # before the long part, so that one that is stopped needs nothing more
    start = None if begin is None else map(store, begin, perplexity=perplexity, seed=seed, watch=watch).positions

    def show(positions: NDArray[np.floating]) -> None:
        watch.preview(preview(store, key, positions, rows))

    rows = sample(len(codes), MOST, seed)
    if method == "pca":
        positions, divergence, complete = principal(codes, seed).astype(np.float32), float("nan"), True
    else:
        others = np.setdiff1d(np.arange(len(codes)), rows)
        layout = embed(
            codes[rows], perplexity=perplexity, seed=seed, start=None if start is None else start[rows],
            others=codes[others] if len(others) else None, watch=watch, preview=show,
        )  # fmt: skip
        positions, divergence, complete = layout.positions, layout.divergence, layout.complete
        positions = in_order(positions, rows, others, len(codes))
    record = {"divergence": None if np.isnan(divergence) else divergence, "laid_out": len(rows)}
    record |= measured(store, codes, positions, seed, watch) if complete else NO_NUMBERS
    if complete:
        why = keep(store.folder, LAYOUTS, key, record, {"positions": positions})
        if why:
            watch.say(f"the map is not kept in the atlas: {why}")
    return result(store, key, positions, record, complete)


def kept_map(
    store: AtlasStore,
    layer: str | None = None,
    *,
    method: Method = "tsne",
    perplexity: float = 30.0,
    seed: int = 0,
    begin: str | None = None,
) -> Map | None:
    """The map with these options where the atlas keeps it, and None where it has to be computed. BadOption."""
    key = key_of(store, layer, method, perplexity, seed, begin)
    known = find(store.folder, LAYOUTS, key)
    positions = None if known is None else known[1].get("positions")
    if known is None or positions is None or positions.shape != (len(store.images), 2):
        return None
    try:
        return result(store, key, np.asarray(positions), known[0], True) if np.isfinite(positions).all() else None
    except (KeyError, TypeError, AttributeError):  # a damaged record: it is computed again
        return None


def key_of(
    store: AtlasStore, layer: str | None, method: Method, perplexity: float, seed: int, begin: str | None
) -> dict[str, Any]:
    """Under which a map is kept. BadOption."""
    name = code_name(store, layer)
    key = {"format": FORMAT, "atlas": store.mark, "layer": name, "method": method}
    key |= {"perplexity": perplexity, "seed": seed, "begin": None if begin is None else code_name(store, begin)}
    if method == "pca":
        key |= {"perplexity": None, "begin": None}
        if begin is not None:
            raise BadOption("principal components begin with nothing", 'leave begin out, or method="tsne"')
    return key


def in_order(
    positions: NDArray[np.float32], rows: NDArray[np.int64], others: NDArray[np.int64], count: int
) -> NDArray[np.float32]:
    """Positions of a sample, then of the others, in the order of the images; the middle for those not placed yet."""
    found = np.zeros((count, 2), np.float32)
    found[np.concatenate([rows, others])[: len(positions)]] = positions
    return found


def measured(
    store: AtlasStore, codes: NDArray[np.float32], positions: NDArray[np.float32], seed: int, watch: Watch
) -> dict[str, Any]:
    """The numbers of a map, as JSON keeps them."""
    watch.say("comparing neighbours on the map with those of codes and pixels")
    pixels = Thumbnails(store, watch).vectors()
    labels = store.images["label"].to_pylist()
    alike = [purity(one, labels, seed=seed) for one in (codes, positions, pixels)]
    shares = Purity(alike[0][0], alike[1][0], alike[2][0], alike[0][1], alike[0][2])
    truth, pixel_truth = quality(codes, positions, seed), quality(pixels, positions, seed)
    found = {"truth": asdict(truth), "pixels": asdict(pixel_truth), "purity": asdict(shares)}
    return {
        name: {part: None if value != value else value for part, value in one.items()}  # NaN is no JSON
        for name, one in found.items()
    }


def result(
    store: AtlasStore, key: dict[str, Any], positions: NDArray[np.float32], record: dict[str, Any], complete: bool
) -> Map:
    """A map with its numbers; NaN where it has none."""
    numbers: dict[str, dict[str, Any]] = {
        name: {part: float("nan") if value is None else value for part, value in record[name].items()}
        for name in ("truth", "pixels", "purity")
    }
    divergence = record["divergence"]
    return Map(
        net=str(store.manifest["net"]["name"]),
        layer=key["layer"],
        dimension=int(kept_codes(store, key["layer"]).shape[1]),
        rectified=behind_rectifier(store, key["layer"]),
        method=key["method"],
        perplexity=float("nan") if key["perplexity"] is None else min(key["perplexity"], (record["laid_out"] - 1) / 3),
        seed=key["seed"],
        begun=key["begin"] or "",
        positions=positions,
        laid_out=record["laid_out"],
        divergence=float("nan") if divergence is None else divergence,
        complete=complete,
        truth=Quality(**numbers["truth"]),
        pixel_truth=Quality(**numbers["pixels"]),
        purity=Purity(**numbers["purity"]),
        labels=tuple(store.images["label"].to_pylist()),
        store=store,
    )


def preview(store: AtlasStore, key: dict[str, Any], positions: NDArray[np.floating], rows: NDArray[np.int64]) -> Map:
    """The map as it is on the way, without numbers."""
    count = len(store.images)
    record = {"divergence": None, "laid_out": len(rows), **NO_NUMBERS}
    placed = in_order(positions.astype(np.float32), rows, np.empty(0, np.int64), count)
    return result(store, key, placed, record, False)


def finite_codes(store: AtlasStore, layer: str | None) -> Float[np.ndarray, "N D"]:
    """The codes in single precision; UnreadableImage names the first image whose code is no number."""
    codes = np.asarray(kept_codes(store, code_name(store, layer)), np.float32)
    wrong = np.flatnonzero(~np.isfinite(codes).all(1))
    if len(wrong):
        uri = store.images["uri"][int(wrong[0])].as_py()
        raise UnreadableImage(
            f"the code of image {wrong[0]} ({uri}) is not finite, and of {len(wrong) - 1} more",
            "build the atlas again: it is damaged, or its network gives NaN",
        )
    return codes


def behind_rectifier(store: AtlasStore, layer: str) -> bool:
    """Whether a layer's values come from a rectifier, perhaps through pools and flattening."""
    record = store.layers.get(code_way(layer)[1])
    while record is not None and not record["rectified"]:
        if record["kind"] not in QUIET or len(record["inputs"]) != 1:
            return False
        record = store.layers.get(record["inputs"][0])
    return record is not None
