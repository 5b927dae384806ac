"""The routes over the atlas: they need no network."""

from collections.abc import Callable
from functools import cached_property, lru_cache
from threading import Event
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request, Response

from convscope.atlas import Atlas
from convscope.faces.answers.arrays import pack_arrays
from convscope.faces.answers.images import ImageList
from convscope.faces.answers.layers import histogram_arrays, layer_answer, unit_arrays
from convscope.faces.answers.overview import overview
from convscope.faces.web.forms import Techniques, form_of
from convscope.faces.web.live import LiveNet
from convscope.registry import TECHNIQUES
from convscope.render.pixels import webp_bytes

KEPT = 64  # answers on layers that are kept
BYTES = "application/octet-stream"
NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"description": "there is no such thing; problem and hint"}}


class Desk:
    """The atlas and what was already answered of it."""

    def __init__(self, atlas: Atlas, live: LiveNet, note: str = "", techniques: Techniques = TECHNIQUES) -> None:
        self.atlas, self.live, self.note, self.techniques = atlas, live, note, techniques
        self.images = ImageList(atlas)
        self.layer: Callable[[str], dict[str, Any]] = lru_cache(KEPT)(lambda name: layer_answer(atlas, name))
        self.units: Callable[[str], bytes] = lru_cache(KEPT)(lambda name: pack_arrays(unit_arrays(atlas, name)))

    @cached_property
    def overview(self) -> dict[str, Any]:
        """What the page asks for first."""
        forms = [form_of(name, technique) for name, technique in self.techniques.items()]
        return overview(self.atlas, self.note, forms)

    @cached_property
    def mark(self) -> str:
        """Stands for this atlas in the tags of its pictures, since browsers keep them by address alone."""
        return self.atlas.store.mark

    def prepare(self, ended: Event) -> None:
        """Makes the answers on layers before anybody asks, as many as are kept, until the server ends."""
        for name in self.atlas.layers[:KEPT]:
            if ended.is_set():
                return
            self.layer(name)
            self.units(name)


def kept(request: Request, content: bytes, media: str, tag: str) -> Response:
    """An answer that the browser may keep: it asks whether the tag still holds, and then nothing is sent again."""
    headers = {"etag": f'"{tag}"', "cache-control": "private, no-cache"}
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=media, headers=headers)


def browsing(desk: Desk) -> APIRouter:
    """Routes of atlas, layers, units and images."""
    routes = APIRouter(prefix="/api", responses=NOT_FOUND)

    @routes.get("/atlas")
    def atlas() -> dict[str, Any]:
        """The net with its graph, the health of its layers, accuracy, confusions, the forms of all techniques."""
        return desk.overview

    @routes.get("/live")
    def live() -> dict[str, Any]:
        """Whether the network is on, opening, or off and why."""
        return desk.live.status()

    @routes.get("/layers/{name:path}/units.bin", response_class=Response)
    def units(name: str) -> Response:
        """Vitals and strongest patches of every unit, its middle, random directions: packed arrays."""
        return Response(desk.units(name), media_type=BYTES)

    @routes.get("/layers/{name:path}/histograms.bin", response_class=Response)
    def histograms(name: str) -> Response:
        """How many images by a unit's greatest activation: counts (U, 64) and edges (U, 2), packed arrays."""
        return Response(pack_arrays(histogram_arrays(desk.atlas, name)), media_type=BYTES)

    @routes.get("/layers/{name:path}")
    def layer(name: str) -> dict[str, Any]:
        """Vitals, filters with their verdict, maps of sample images."""
        return desk.layer(name)

    @routes.get("/images")
    def images(
        offset: Annotated[int, Query(ge=0, le=2**40)] = 0,
        count: Annotated[int, Query(ge=1, le=500)] = 120,
        label: str | None = None,
        predicted: Annotated[int | None, Query(ge=0, le=2**31 - 1)] = None,
        correct: bool | None = None,
        search: Annotated[str, Query(max_length=200)] = "",
    ) -> dict[str, Any]:
        """The images that fit, so many from an offset on."""
        return desk.images.select(offset, count, label, predicted, correct, search)

    @routes.get("/images/{image}")
    def image(image: str) -> dict[str, Any]:
        """One image: name, label, prediction, size of the original."""
        if image.startswith("upload-"):
            found = desk.live.upload(image)
            named = {"row": -1, "name": found.name, "label": None, "correct": None}
            best = {"predicted": found.top[0][0], "probability": found.top[0][1]}
            return named | best | {"height": found.height, "width": found.width, "top": found.top}
        return desk.images.full(desk.live.row(image))

    @routes.get("/images/{image}/picture", response_class=Response)
    def picture(image: str, request: Request) -> Response:
        """The image as the network sees it, WebP without loss."""
        if image.startswith("upload-"):
            return kept(request, webp_bytes(desk.live.pixels(image), 100), "image/webp", f"{desk.mark}-{image}")
        row = desk.live.row(image)
        tag = str(desk.atlas.images["content"][row].as_py())[:32]
        return kept(request, desk.atlas.store.packed(row), "image/webp", f"{desk.mark}-{tag}")

    @routes.get("/pictures", response_class=Response)
    def pictures(rows: Annotated[str, Query(max_length=500)]) -> Response:
        """Images as the network sees them, rows "3,17": the bytes of a WebP file each, as row3 …, packed arrays."""
        found = {f"row{row}": desk.atlas.store.packed(row) for row in map(desk.live.row, rows.split(","))}
        return Response(
            pack_arrays({name: np.frombuffer(one, np.uint8) for name, one in found.items()}), media_type=BYTES
        )

    @routes.get("/skipped")
    def skipped() -> list[list[str]]:
        """File and reason of everything that could not be read."""
        return desk.images.skipped()

    return routes
