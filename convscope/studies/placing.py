"""A new photo among the images of an atlas: where it lies on their map, and which of them are most like it.

New points are drawn to their nearest neighbours, which stay where they are (Poličar, Stražar & Zupan 2023, Embedding to
reference t-SNE space addresses batch effects in single-cell classification, Machine Learning 112).
"""

from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from pydantic import Field, SkipValidation

from convscope.layouts.nearest import Nearest
from convscope.layouts.tsne import place as place_points
from convscope.models.net import Net
from convscope.models.prepared import ImageLike, Prepared, name_of
from convscope.store.opened import AtlasStore
from convscope.store.thumbnails import Thumbnails, small
from convscope.studies.codes import codes_of, meant
from convscope.studies.mapping import Map, finite_codes
from convscope.studies.mapping import map as map_images
from convscope.studies.neighbours import ranking
from convscope.studies.vitals import code_name
from convscope.technique import SILENT, Result, Watch, checked


@dataclass(frozen=True, eq=False)
class Placed(Result):
    """A photo on the map of an atlas, and its nearest images by code and by pixels, the nearest first."""

    image: str  # the file's name; "an array" or the like where there is none
    position: Float[np.ndarray, " 2"]  # x to the right, y upwards, as the map's
    rows: NDArray[np.int64]  # (k,) by code
    distances: NDArray[np.float64]
    pixel_rows: NDArray[np.int64]  # (k,) by the pixels of small pictures
    pixel_distances: NDArray[np.float64]  # root mean square difference of them, 0 to 1
    map: Map = field(repr=False)
    prepared: Prepared = field(repr=False)

    @property
    def address(self) -> str:
        """What is placed, as a title."""
        return f"{self.image} among {len(self.map.positions):,} images"

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The numbers, and the positions of the images that it lies among."""
        return super().arrays() | {"positions": self.map.positions, "layer": np.asarray(self.map.layer)}

    def lines(self) -> list[list[str]]:
        """Both lists beside each other."""
        return ranking(self.map.store, self.rows, self.distances, self.pixel_rows, self.pixel_distances)


@checked
def place(
    store: AtlasStore,
    net: Annotated[Net, SkipValidation],
    image: Annotated[ImageLike, SkipValidation, Field(description="an image file")],
    *,
    k: Annotated[int, Field(ge=1, description="how many neighbours")] = 9,
    layer: Annotated[str | None, Field(description="whose codes; default: what enters the classifier")] = None,
    perplexity: Annotated[float, Field(ge=1, le=1e6, description="of the map")] = 30.0,
    seed: Annotated[int, Field(ge=0, lt=2**32, description="of the map")] = 0,
    watch: Annotated[Watch, SkipValidation] = SILENT,
) -> Placed:
    """Where a new photo lies on the map of an atlas, and the images that are most like it by code and by pixels.

    net: the one of the build; BadOption for another one. Raises UnreadableImage, UnknownLayer.
    """
    store.check_net(net.name, net.fingerprint)
    prepared = net.prepare(image)
    codes = finite_codes(store, layer)
    _, way, node = meant(net, code_name(store, layer))
    code = codes_of(net, prepared.pixels, node, way).astype(np.float32)
    found = map_images(store, layer, perplexity=perplexity, seed=seed, watch=watch)
    rows, away = Nearest(codes).search(code, k)
    thumbnails = Thumbnails(store, watch)
    pixels, level = thumbnails.vectors(), thumbnails.at_least(16)
    seen = (prepared.pixels[0].permute(1, 2, 0) * 255).round().byte().cpu().numpy()
    own = small(seen, (level.shape[1], level.shape[2])).reshape(1, -1).astype(np.float32) / 255
    pixel_rows, pixel_away = Nearest(pixels).search(own, k)
    return Placed(
        image=name_of(image),
        position=place_points(codes, found.positions, code)[0],
        rows=rows[0],
        distances=away[0],
        pixel_rows=pixel_rows[0],
        pixel_distances=pixel_away[0] / np.sqrt(pixels.shape[1]),
        map=found,
        prepared=prepared,
    )
