"""What a unit's strongest patches send back to the pixels, for the page to draw below them."""

from collections import OrderedDict
from typing import Annotated

from fastapi import APIRouter, Query, Response

from convscope.faces.answers.arrays import pack_arrays
from convscope.faces.answers.patches import PATCHES
from convscope.faces.answers.projections import projection_arrays
from convscope.faces.web.browsing import BYTES
from convscope.faces.web.live import LiveNet
from convscope.faces.web.working import REFUSED
from convscope.models.address import Address
from convscope.models.backward import Method
from convscope.studies.exemplars import find_unit
from convscope.studies.projections import projections

KEPT = 16  # answers, each of up to nine pictures of the net's size

Asked = tuple[str, int, Method, int]  # layer, unit, method, k


class Projecting:
    """The projections that were asked for last; one is computed at a time."""

    def __init__(self, live: LiveNet) -> None:
        self.live = live
        self.kept: OrderedDict[Asked, bytes] = OrderedDict()  # the last made at the end

    def answer(self, layer: str, unit: int, method: Method, k: int) -> bytes:
        """Packed arrays, see `projection_arrays`. NotLive, UnknownLayer, BadAddress, NoRule."""
        net, store = self.live.net, self.live.atlas.store
        name, unit = find_unit(store, Address(layer, unit))
        asked: Asked = (name, unit, method, k)
        known = self.kept.get(asked)
        if known is not None:
            return known
        with self.live.lock:
            if asked not in self.kept:  # else another page asked for the same, and was first
                found = projections(store, net, Address(name, unit), k=k, method=method)
                self.kept[asked] = pack_arrays(projection_arrays(found))
            answer = self.kept[asked]
            while len(self.kept) > KEPT:
                self.kept.popitem(last=False)
        return answer


def projecting(live: LiveNet) -> APIRouter:
    """GET /api/projections."""
    routes, made = APIRouter(prefix="/api", responses=REFUSED), Projecting(live)

    @routes.get("/projections", response_class=Response)
    def of_unit(
        layer: str,
        unit: Annotated[int, Query(ge=0, le=2**31)],
        method: Method = "deconvnet",
        k: Annotated[int, Query(ge=1, le=PATCHES)] = PATCHES,
    ) -> Response:
        """What each of a unit's strongest patches sends back: picture0 … (h, w, 3), rows, values, boxes, packed."""
        return Response(made.answer(layer, unit, method, k), media_type=BYTES)

    return routes
