"""Codes of more layers, added to an atlas after its build.

The CS231n page maps «the 4096-dimensional vector right before the classifier», after its ReLU; any other layer can be
looked at too, pooled over its places or flattened.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, SkipValidation
from torch import Tensor

from convscope.errors import BuildStopped, DiskFull
from convscope.models.net import Net
from convscope.models.prepared import to_pixels
from convscope.passes.codes import LARGEST
from convscope.store.files import FULL, read_array, write_arrays
from convscope.store.kept import keep, place_of
from convscope.store.opened import ADDED, AtlasStore
from convscope.studies.mapping import behind_rectifier
from convscope.studies.vitals import code_way
from convscope.technique import SILENT, Result, Watch, checked

BATCH = 16  # images in one forward
PART = 512  # images whose codes are on the disk together: a killed run loses no more


@dataclass(frozen=True, eq=False)
class Codes(Result):
    """What an atlas keeps codes of."""

    net: str
    names: tuple[str, ...]  # a layer (the mean over its places), max(layer) or flat(layer)
    dimensions: tuple[int, ...]
    rectified: tuple[bool, ...]  # whether they come from behind a rectifier
    images: int

    @property
    def address(self) -> str:
        """As a title."""
        return f"codes of {self.net}"

    def arrays(self) -> dict[str, NDArray[Any]]:
        """names, dimensions and rectified of each."""
        known = {"names": self.names, "dimensions": self.dimensions, "rectified": self.rectified}
        return super().arrays() | {name: np.asarray(value) for name, value in known.items()}

    def lines(self) -> list[list[str]]:
        """One line each."""
        rows = zip(self.names, self.dimensions, self.rectified, strict=True)
        return [["codes", "dimension", "behind a rectifier"], *([n, str(d), "yes" if r else "no"] for n, d, r in rows)]


@checked
def codes(
    store: AtlasStore,
    net: Annotated[Net, SkipValidation],
    *,
    layer: Annotated[
        tuple[str, ...],
        Field(description='whose codes to add: a layer (the mean over its places), "max(layer)" or "flat(layer)"'),
    ] = (),
    watch: Annotated[Watch, SkipValidation] = SILENT,
) -> Codes:
    """Adds codes of layers to an atlas, without touching the rest, and tells of all that it keeps.

    net: the one of the build; BadOption for another one. The same call goes on after it was stopped. Raises
    UnknownLayer, BuildStopped, DiskFull.
    """
    store.check_net(net.name, net.fingerprint)
    wanted = [meant(net, name) for name in layer]
    missing = {name: (way, node) for name, way, node in wanted if name not in store.code_names}
    if missing:
        add(store, net, missing, watch)
    names = store.code_names
    return Codes(
        net=net.name,
        names=names,
        dimensions=tuple(int(store.codes(name).shape[1]) for name in names),
        rectified=tuple(behind_rectifier(store, name) for name in names),
        images=len(store.images),
    )


def meant(net: Net, text: str) -> tuple[str, str, str]:
    """The name under which codes are kept, how places are put together, and the layer. UnknownLayer."""
    way, inner = code_way(text)
    layer = net.layer(inner)
    name = layer.alias_of or layer.name
    return (name if way == "mean" or not layer.spatial else f"{way}({name})"), way, name


def add(store: AtlasStore, net: Net, missing: Mapping[str, tuple[str, str]], watch: Watch) -> None:
    """Runs all images through the net once, part after part, and keeps the codes; name → way and layer."""
    count = len(store.images)
    folders = {name: place_of(store.folder, ADDED, {"name": name}).with_suffix(".parts") for name in missing}
    try:
        for start in range(0, count, PART):
            stop = min(start + PART, count)
            lacking = {name: missing[name] for name in missing if not (folders[name] / f"{start}.npy").exists()}
            if lacking:
                parts = [pooled(net, store, lacking, row, min(row + BATCH, stop)) for row in range(start, stop, BATCH)]
                for number, name in enumerate(lacking):
                    own = f".{os.getpid()}.{start}"  # another process may do the same
                    write_arrays(folders[name], {own: np.concatenate([part[number] for part in parts])})
                    (folders[name] / f"{own}.npy").replace(folders[name] / f"{start}.npy")
            watch.progress(stop, count, "images")
            if watch.stopped():
                raise BuildStopped("stopped; what is done is kept", "the same command goes on")
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise DiskFull("no room for more codes", "make room; the same command goes on") from error
    for name, folder in folders.items():
        whole = np.concatenate([read_array(folder / f"{start}.npy") for start in range(0, count, PART)])
        why = keep(store.folder, ADDED, {"name": name}, {"name": name}, {"codes": whole})
        if why:
            raise DiskFull(f"the codes of {name} could not be kept: {why}", "make room; the same command goes on")
        shutil.rmtree(folder, ignore_errors=True)


def pooled(
    net: Net, store: AtlasStore, wanted: Mapping[str, tuple[str, str]], first: int, stop: int
) -> list[NDArray[np.float16]]:
    """Codes of a batch of images of the atlas, one table each."""
    pixels = to_pixels(np.stack([store.pixels(row) for row in range(first, stop)]))
    with torch.no_grad():
        found = net.outputs(pixels, sorted({layer for _, layer in wanted.values()}))
    return [as_codes(found[layer], way) for way, layer in wanted.values()]


def codes_of(net: Net, pixels: Tensor, layer: str, way: str) -> NDArray[np.float16]:
    """Codes (N, D) of pixels N×3×H×W in [0, 1]."""
    with torch.no_grad():
        return as_codes(net.outputs(pixels, [layer])[layer], way)


def as_codes(values: Tensor, way: str) -> NDArray[np.float16]:
    """A layer's values as vectors, as the build keeps them."""
    values = values.float()
    if values.ndim == 4:
        values = values.mean((2, 3)) if way == "mean" else values.amax((2, 3)) if way == "max" else values.flatten(1)
    return np.asarray(values.clamp(-LARGEST, LARGEST).cpu().numpy(), np.float16)
