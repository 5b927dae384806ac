"""The images that the network finds most like one, and beside them those whose pixels are.

Krizhevsky, Sutskever & Hinton 2012, ImageNet Classification with Deep CNNs, section 6.1 and figure 4: images nearest by
their code are alike in kind though far apart in pixels.
"""

from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from convscope.errors import BadAddress
from convscope.layouts.nearest import Nearest
from convscope.store.opened import AtlasStore
from convscope.store.thumbnails import Thumbnails
from convscope.studies.mapping import finite_codes
from convscope.studies.vitals import code_name
from convscope.technique import Result, checked


@dataclass(frozen=True, eq=False)
class Neighbours(Result):
    """The nearest images by code and by pixels, the nearest first; distances are Euclidean."""

    net: str
    layer: str  # whose codes
    image: int  # row in atlas.images
    uri: str
    rows: NDArray[np.int64]  # (k,) by code
    distances: NDArray[np.float64]
    pixel_rows: NDArray[np.int64]  # (k,) by the pixels of small pictures
    pixel_distances: NDArray[np.float64]  # root mean square difference of them, 0 to 1
    images: int
    labels: tuple[str | None, ...] = field(repr=False)
    store: AtlasStore = field(repr=False)

    @property
    def address(self) -> str:
        """What they are neighbours of, as a title."""
        return f"neighbours of {self.uri.rsplit('/', 1)[-1]}"

    def lines(self) -> list[list[str]]:
        """Both lists beside each other."""
        return ranking(self.store, self.rows, self.distances, self.pixel_rows, self.pixel_distances)


def ranking(
    store: AtlasStore,
    rows: NDArray[np.int64],
    distances: NDArray[np.float64],
    pixel_rows: NDArray[np.int64],
    pixel_distances: NDArray[np.float64],
) -> list[list[str]]:
    """Neighbours by code and by pixels beside each other, with their files."""
    uris = store.images["uri"]
    lines = [["rank", "by code", "distance", "by pixels", "difference"]]
    pairs = zip(rows.tolist(), distances, pixel_rows.tolist(), pixel_distances, strict=True)
    for rank, (row, away, other, far) in enumerate(pairs, 1):
        lines.append([str(rank), uris[row].as_py(), f"{away:.4g}", uris[other].as_py(), f"{far:.4g}"])
    return lines


@checked
def neighbours(
    store: AtlasStore,
    image: Annotated[int | str, Field(description="its number in the atlas, or its id or the end of its path")],
    k: Annotated[int, Field(ge=1, description="how many")] = 9,
    layer: Annotated[str | None, Field(description="whose codes; default: what enters the classifier")] = None,
) -> Neighbours:
    """The images whose codes are nearest to an image's, and beside them those whose pixels are: the control.

    Raises BadAddress where the atlas has no such image, UnknownLayer.
    """
    row = find_row(store, image)
    codes = finite_codes(store, layer)
    pixels = Thumbnails(store).vectors()
    (near, away), (others, far) = (Nearest(table).others(np.array([row]), k) for table in (codes, pixels))
    return Neighbours(
        net=str(store.manifest["net"]["name"]),
        layer=code_name(store, layer),
        image=row,
        uri=str(store.images["uri"][row].as_py()),
        rows=near[0],
        distances=away[0],
        pixel_rows=others[0],
        pixel_distances=far[0] / np.sqrt(pixels.shape[1]),
        images=len(store.images),
        labels=tuple(store.images["label"].to_pylist()),
        store=store,
    )


def find_row(store: AtlasStore, image: int | str) -> int:
    """The row of an image by its number, its id, or the end of its path; BadAddress."""
    count, uris = len(store.images), [str(uri) for uri in store.images["uri"].to_pylist()]
    if isinstance(image, str):
        ids: list[str] = store.images["id"].to_pylist()
        for known in (ids, uris):  # an id may look like a number
            if image in known:
                return known.index(image)
    if isinstance(image, int) or image.isdecimal():
        if 0 <= int(image) < count:
            return int(image)
        raise BadAddress(f"the atlas has no image {image}", f"images are numbered 0 to {count - 1}")
    named = [row for row, uri in enumerate(uris) if uri.rsplit("/", 1)[-1] == image]  # "1.png" is not "11.png"
    found = named or [row for row, uri in enumerate(uris) if uri.endswith(image)]
    if len(found) == 1:
        return found[0]
    if found:
        raise BadAddress(f"{len(found)} images end in {image!r}", "give more of the path, or the number")
    raise BadAddress(f"no image of the atlas ends in {image!r}", f"or give a number, 0 to {count - 1}")
