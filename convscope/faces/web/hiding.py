"""A square that the mouse drags over an image, and what the net says of the rest: one incremental forward a step."""

import time
from hashlib import sha256
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Body, Query, Request, Response
from jaxtyping import Float
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from torch import Tensor

from convscope.arrays import Box
from convscope.errors import BadOption
from convscope.faces.web.browsing import kept
from convscope.faces.web.live import LiveNet, best, probabilities
from convscope.faces.web.working import REFUSED, check_text, named
from convscope.models.incremental.engine import Geometry, Incremental
from convscope.models.net import Net
from convscope.models.occluders import Occluder, Positions, check_fit, make_occluder, window_sides
from convscope.models.prepared import to_pixels
from convscope.render.pixels import webp_bytes
from convscope.technique import refusal

Sides = tuple[int, int]  # height and width
Shown = Literal["zero", "mean", "grey", "blur", "noise"]
LONGEST = 40  # characters of a window or an image's number
Text = Annotated[
    str, Field(max_length=LONGEST), BeforeValidator(lambda given: str(given) if type(given) is int else given)
]
Short = Annotated[str, Query(max_length=LONGEST)]


class Square(BaseModel):
    """Where a square stands and what it shows; names and meanings are those of `convscope.occlusion`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    image: Annotated[Text, Field(description="a row of the atlas, or what an upload gave")]
    top: Annotated[int, Field(description="upper edge, px of the net's input")]
    left: Annotated[int, Field(description="left edge")]
    window: Annotated[Text, Field(description="its side, px; 24x40: height and width")] = "32"
    fill: Shown = "zero"
    seed: Annotated[int, Field(ge=0, lt=2**63, description='of the "noise"')] = 0


class Looked:
    """The net looking at one image: its clean values, and what squares of one size and fill share."""

    def __init__(self, net: Net, image: str, pixels: Float[Tensor, "1 3 height width"]) -> None:
        self.net, self.image = net, image
        self.engine = Incremental(net, pixels)
        self.clean = probabilities(self.engine.scores)
        self.planned: tuple[Sides, Geometry] | None = None
        self.filled: tuple[tuple[Sides, Shown, int], Occluder] | None = None

    def behind(self, square: Square, sides: Sides) -> Float[Tensor, " classes"]:
        """Probabilities with the square over the image."""
        if self.planned is None or self.planned[0] != sides:
            self.planned = sides, self.engine.geometry(everywhere(self.net.size, sides))
        wanted = sides, square.fill, square.seed
        if self.filled is None or self.filled[0] != wanted:
            self.filled = wanted, make_occluder(self.net, self.engine.pixels, square.fill, sides, square.seed)
        place = np.array([[square.top + sides[0] - 1, square.left + sides[1] - 1]])
        (found,) = self.engine.run_some(self.planned[1], self.filled[1], place)
        return probabilities(found.scores[0])


class Hiding:
    """Squares over images. The last image stays ready, so that a step costs less than a forward."""

    def __init__(self, live: LiveNet) -> None:
        self.live = live
        self.looked: Looked | None = None

    def look(self, square: Square) -> dict[str, Any]:
        """What the net says now and said before. NotLive, Unknown, BadOption, UnreadableImage."""
        net = self.live.net
        sides = sides_of(square.window, net.size)
        box = box_of(square, sides, net.size)
        with self.live.lock:
            began = time.perf_counter()
            looked = self.looking_at(square.image)
            now = looked.behind(square, sides)
            took = time.perf_counter() - began
        before = best(looked.clean)
        return {
            "top": best(now),
            "before": before,
            "now": [float(now[one]) for one, _ in before],
            "box": [int(edge) for edge in box],
            "milliseconds": round(1000 * took, 1),
        }

    def looking_at(self, image: str) -> Looked:
        """The image, looked at; the one before is let go first, so that two never need memory at once."""
        if self.looked is None or self.looked.image != image:
            with named("image"):
                pixels = to_pixels(self.live.pixels(image)[None])
                self.looked = None
                self.looked = Looked(self.live.net, image, pixels)
        return self.looked


def hiding(live: LiveNet) -> APIRouter:
    """POST /api/occlude and the picture of what a square shows."""
    routes, squares = APIRouter(prefix="/api", responses=REFUSED), Hiding(live)
    schema = {"requestBody": {"content": {"application/json": {"schema": Square.model_json_schema()}}}}

    @routes.post("/occlude", openapi_extra=schema)
    def occlude(body: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
        """An image behind a square: `top`, its most probable classes now, `before` without it, `now` of these."""
        _ = live.net
        check_text(body)
        try:
            square = Square.model_validate(body)
        except ValidationError as error:
            raise refusal("occlude", list(Square.model_fields), error) from None
        return squares.look(square)

    @routes.get("/occluder.webp", response_class=Response)
    def occluder(
        image: Short,
        request: Request,
        window: Short = "32",
        fill: Shown = "zero",
        seed: Annotated[int, Query(ge=0, lt=2**63)] = 0,
    ) -> Response:
        """What a square shows: a picture of the image's size, behind it; or one of its own size or colour, in it."""
        net = live.net
        sides = sides_of(window, net.size)
        shown = make_occluder(net, to_pixels(live.pixels(image)[None]), fill, sides, seed)
        content = webp_bytes((shown.pixels.permute(1, 2, 0) * 255).round().byte().numpy(), 100)
        return kept(request, content, "image/webp", sha256(content).hexdigest()[:32])

    return routes


def sides_of(window: str, size: Sides) -> Sides:
    """Height and width of a window that fits into the image; BadOption."""
    sides = window_sides(window)
    check_fit(sides, size)
    return sides


def box_of(square: Square, sides: Sides, size: Sides) -> Box:
    """What of the square lies inside the image; BadOption where nothing does."""
    for name, start, side, length in zip(("top", "left"), (square.top, square.left), sides, size, strict=True):
        if not -side < start < length:
            error = BadOption(f"at {name} {start} the square lies outside the image", f"{1 - side} to {length - 1}")
            error.field = name
            raise error
    return Box(square.top, square.left, square.top + sides[0], square.left + sides[1]).clipped(*size)


def everywhere(size: Sides, sides: Sides) -> Positions:
    """Every place where some of a square lies inside the image: one plan for all steps of the mouse."""
    tops, lefts = (np.arange(1 - side, length) for side, length in zip(sides, size, strict=True))
    return Positions(tops=tops, bottoms=tops + sides[0], lefts=lefts, rights=lefts + sides[1])
