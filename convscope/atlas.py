"""An atlas: what a build leaves, and the studies of it, as one object."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from convscope.errors import BadOption
from convscope.models.address import Address
from convscope.models.load import load
from convscope.models.net import Net
from convscope.models.prepared import ImageLike
from convscope.passes.build import build_atlas
from convscope.store.opened import AtlasStore
from convscope.studies.codes import Codes, codes
from convscope.studies.exemplars import Exemplars, exemplars
from convscope.studies.grid import Grid, grid
from convscope.studies.health import Health, health
from convscope.studies.mapping import Map
from convscope.studies.mapping import map as map_images
from convscope.studies.neighbours import Neighbours, neighbours
from convscope.studies.placing import Placed, place
from convscope.studies.projections import Projections, projections
from convscope.studies.vitals import Vitals, kept_codes, vitals
from convscope.watch import SILENT, Watch

if TYPE_CHECKING:
    from convscope.data.sources import Source


class Atlas:
    """The images of a build as a network saw them, and what it made of them. Needs neither network nor originals."""

    def __init__(self, folder: str | Path) -> None:
        self.store = AtlasStore(folder)

    @property
    def folder(self) -> Path:
        """Where it is."""
        return self.store.folder

    @property
    def images(self) -> pa.Table:
        """One row per image: id, uri, label, predicted, probability, correct, …"""
        return self.store.images

    @property
    def skipped(self) -> pa.Table:
        """uri and reason of every file that could not be read."""
        return self.store.skipped

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers whose units were followed, in the order of computation."""
        return tuple(self.store.followed)

    def pixels(self, row: int) -> NDArray[np.uint8]:
        """H×W×3, 0–255: an image as the network saw it."""
        return self.store.pixels(row)

    def exemplars(self, address: str | Address, **options: Any) -> Exemplars:
        """The patches that excite a unit most, best first; k=9, directions=2. See convscope.studies.exemplars."""
        return exemplars(self.store, address, **options)

    def projections(self, net: Net, address: str | Address, **options: Any) -> Projections:
        """A unit's strongest patches with what a deconvnet sends back from each, or a page of a layer's units.

        net: the one of the build; units=(), k=9, method="deconvnet". See convscope.studies.projections.
        """
        return projections(self.store, net, address, **options)

    def vitals(self, layer: str) -> Vitals:
        """How alive the units of a layer are: arrays over its units. See convscope.studies.vitals."""
        return vitals(self.store, layer)

    def health(self) -> Health:
        """The whole net at a glance: dead units, sparsity and locality through depth. See convscope.studies.health."""
        return health(self.store)

    def map(self, layer: str | None = None, **options: Any) -> Map:
        """All images in the plane by their codes, with numbers; kept in the atlas.

        method="tsne" or "pca", seed=0, perplexity=30, begin=None. See convscope.studies.mapping.
        """
        return map_images(self.store, layer, **options)

    def grid(self, layer: str | None = None, **options: Any) -> Grid:
        """Every image in one cell of a grid. way="assignment", aspect=1. See convscope.studies.grid."""
        return grid(self.store, layer, **options)

    def neighbours(self, image_id: int | str, k: int = 9, layer: str | None = None) -> Neighbours:
        """The k nearest images by code and by pixels. image_id: its row, id or the end of its path."""
        return neighbours(self.store, image_id, k, layer)

    def place(self, net: Net, image: ImageLike, **options: Any) -> Placed:
        """Where a new photo lies on the map, and its neighbours. k=9, layer=None. See convscope.studies.placing."""
        return place(self.store, net, image, **options)

    def add_codes(self, net: Net, *layers: str, watch: Watch = SILENT) -> Codes:
        """Adds codes of more layers: the mean over places, or of "max(layer)", "flat(layer)". See studies.codes."""
        return codes(self.store, net, layer=layers, watch=watch)

    @property
    def code_layer(self) -> str:
        """The layer whose values are the images' codes: the one before the classifier."""
        return str(self.store.manifest["folds"]["codes"]["layers"][0])

    def codes(self, layer: str | None = None) -> NDArray[np.float16]:
        """(N, D) the codes of the images in the order of `images`, maps as their mean over places. UnknownLayer.

        layer: one that the build kept codes of (codes=…); by default the one before the classifier.
        """
        return kept_codes(self.store, self.code_layer if layer is None else layer)

    def __repr__(self) -> str:
        net = self.store.manifest["net"]["name"]
        return f"Atlas({str(self.folder)!r}: {len(self.images)} images, net {net!r}, {len(self.layers)} layers)"


def open_atlas(folder: str | Path) -> Atlas:
    """Opens a finished atlas; it is data, and opening it runs nothing. BadAtlas."""
    return Atlas(folder)


def build(
    images: "Source",
    net: Net | str,
    out: str | Path = "atlas",
    *,
    engine: Literal["local", "ray"] = "local",
    layers: Sequence[str] | None = None,
    limit: int | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    k: int = 9,
    directions: int = 16,
    codes: Sequence[str] = (),
    full_decode: bool = False,
    overwrite: bool = False,
    watch: Watch = SILENT,
) -> Atlas:
    """Reads images through a net, once, and leaves an atlas.

    images: folder, glob, list of paths, CSV or Parquet of path and label, or a dataset. net: a Net, or a name for
    `load`. layers: whose units to follow (default: every rectified layer and the output). limit: a random sample of
    so many images, drawn with `seed`. k: patches kept per unit. directions: random directions a layer, as the control.
    codes: layers whose codes are kept beside those before the classifier. full_decode: every JPEG with all its pixels;
    otherwise large ones are decoded at 1/2, 1/4 or 1/8 of their size where twice what the net resizes to remains.
    The same call goes on after it was stopped.
    Raises NoImages, AtlasInUse, UnknownLayer, BuildStopped, DiskFull.
    """
    found = load(net) if isinstance(net, str) else net
    if not isinstance(found, Net):
        raise BadOption(f"net is a Net or a name, not a {type(net).__name__}", "convscope.Net(module, …) makes one")
    folder = build_atlas(
        images, found, out, engine=engine, layers=layers, limit=limit, batch_size=batch_size, seed=seed, k=k,
        directions=directions, codes=codes, full_decode=full_decode, overwrite=overwrite, watch=watch,
    )  # fmt: skip
    return Atlas(folder)
