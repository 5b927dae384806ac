"""The map, the picture grid and the neighbours of images, for the page: they need no network."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from hashlib import sha256
from typing import Annotated, Any, TypeVar, get_args

import numpy as np
from fastapi import APIRouter, Body, Query, Request, Response
from numpy.typing import NDArray

from convscope.errors import UnknownLayer
from convscope.faces.answers.arrays import pack_arrays
from convscope.faces.answers.mapping import (
    code_list,
    grid_sizes,
    image_arrays,
    levels_of,
    neighbour_answers,
    numbers_of,
    tile_bytes,
    tile_picture,
)
from convscope.faces.web.browsing import BYTES, Desk, kept
from convscope.faces.web.forms import checked_options
from convscope.faces.web.jobs import Job, JobQueue, JobWatch
from convscope.faces.web.live import Unknown
from convscope.faces.web.working import REFUSED, check_text
from convscope.layouts.nearest import Nearest
from convscope.store.thumbnails import SIDE, Thumbnails
from convscope.studies.grid import Grid, Way, grid, kept_grid
from convscope.studies.mapping import Map, Method, finite_codes, kept_map
from convscope.studies.mapping import map as map_images
from convscope.studies.vitals import code_name
from convscope.watch import Passing, Watch

KEPT = {"map": 8, "grid": 8, "table": 2, "pixels": 1}  # of each kind, those that were used last
TOGETHER = 500  # images in one answer, at most
ROWS = 4000  # characters that name them
NOTHING = np.empty((0, 2), np.float32)
LAYERS = 300  # characters of a layer's name, at most

Kind = TypeVar("Kind")
Layer = Annotated[str | None, Query(max_length=LAYERS, description="whose codes; default: what enters the classifier")]
Seed = Annotated[int, Query(ge=0, lt=2**32)]
Perplexity = Annotated[float, Query(ge=1, le=1e6)]
Rows = Annotated[str, Query(min_length=1, max_length=ROWS, description="rows with commas between them")]


class Layouts:
    """The maps, grids and tables of codes of one atlas that were asked for last, and what its running jobs show."""

    def __init__(self, desk: Desk, queue: JobQueue) -> None:
        self.desk, self.queue, self.store = desk, queue, desk.atlas.store
        self.known: dict[str, OrderedDict[Any, Any]] = {
            kind: OrderedDict() for kind in KEPT
        }  # the last used at the end
        self.locks = {kind: threading.Lock() for kind in KEPT}
        self.shown: dict[str, NDArray[np.float32]] = {}  # by job: positions of its last preview

    def once(self, kind: str, key: Hashable, make: Callable[[], Kind | None]) -> Kind | None:
        """What was made under this key, or is made now, by one thread; None is not kept."""
        with self.locks[kind]:
            known = self.known[kind]
            found: Kind | None = known.pop(key, None) or make()
            if found is not None:
                known[key] = found
            while len(known) > KEPT[kind]:
                known.popitem(last=False)
            return found

    def layer(self, name: str | None) -> str:
        """The codes that are meant; UnknownLayer where there are none."""
        found = code_name(self.store, name)
        if found not in self.store.code_names:
            kept = ", ".join(self.store.code_names)
            raise UnknownLayer(
                f"the atlas keeps no codes of {found[:80]!r}", f"it keeps {kept}; `convscope codes` adds others"
            )
        return found

    def find(self, name: str, **options: Any) -> Map | None:
        """A map that the atlas keeps, or None."""
        return self.once("map", map_key(name, **options), lambda: kept_map(self.store, name, **options))

    def map(self, layer: str | None, **options: Any) -> Map:
        """A map that the atlas keeps; Unknown where it has to be computed first."""
        name = self.layer(layer)
        found = self.find(name, **options)
        if found is None:
            raise Unknown(
                f"the map of {name} is not computed yet", "POST /api/maps computes it, and the atlas keeps it"
            )
        return found

    def find_grid(self, name: str, way: Way) -> Grid | None:
        """A grid that the atlas keeps, or None."""
        return self.once("grid", (name, way), lambda: kept_grid(self.store, name, way=way))

    def grid(self, layer: str | None, way: Way) -> Grid:
        """A grid that the atlas keeps; Unknown where it has to be computed first."""
        name = self.layer(layer)
        found = self.find_grid(name, way)
        if found is None:
            raise Unknown(f"the grid of {name} is not computed yet", "POST /api/grids computes it, and its map first")
        return found

    def table(self, layer: str | None) -> Nearest:
        """The codes of all images, to be searched; or, for "", the pixels of their thumbnails."""

        def make() -> Nearest:
            return Nearest(finite_codes(self.store, layer) if layer else Thumbnails(self.store).vectors())

        found = self.once("table" if layer else "pixels", layer, make)
        assert found is not None
        return found

    def submit(self, name: str, study: Callable[..., Map | Grid], body: dict[str, Any]) -> Job:
        """A job of a study; an equal one that waits, runs or is done is the same job."""
        check_text(body)
        layer = body.get("layer")
        options = checked_options(name, study, {one: value for one, value in body.items() if one != "layer"})
        for part in ("layer", "begin"):
            if not isinstance(body.get(part), str | None):
                raise UnknownLayer(f"{part} is the name of a layer", f"codes are of {', '.join(self.store.code_names)}")
        chosen = self.layer(layer)
        if options.get("begin") is not None:
            options["begin"] = self.layer(options["begin"])
        key = {"technique": name, "layer": chosen, "options": options, "atlas": self.desk.mark}
        words = [chosen, *(f"{option} = {value}" for option, value in options.items())]
        asked = {"layer": chosen, **{one: value for one, value in options.items() if value is not None}}

        def remember(found: object) -> None:  # also where the atlas cannot be written to
            if isinstance(found, Map) and found.complete:
                self.once("map", map_key(chosen, **options), lambda: found)
            elif isinstance(found, Grid) and found.complete and options.keys() <= {"way"}:  # others: the study alone
                self.once("grid", (chosen, options.get("way", "assignment")), lambda: found)

        def work(watch: Watch) -> Map | Grid:
            found = study(self.store, chosen, **options, watch=Showing(watch, self.shown))
            remember(found)
            return found

        job = self.queue.submit(key, ", ".join(words), work, asked)
        if job.state == "done":  # long ago, perhaps
            remember(job.result)
        return job


def map_key(
    layer: str, method: str = "tsne", perplexity: float = 30.0, seed: int = 0, begin: str | None = None
) -> Hashable:
    """Tells maps apart."""
    return layer, method, perplexity, seed, begin


class Showing(Passing):
    """Passes on to a job's watch; what a preview shows is kept as positions, which the page draws itself."""

    def __init__(self, outer: Watch, shown: dict[str, NDArray[np.float32]]) -> None:
        super().__init__(outer)
        self.shown = shown

    def preview(self, result: object) -> None:
        """Not drawn on paper: the page asks for the positions, as often as it likes."""
        if isinstance(self.outer, JobWatch) and isinstance(result, Map):
            self.outer.known = result
            self.shown.clear()  # one job runs at a time
            self.shown[self.outer.job.id] = result.positions
        else:
            super().preview(result)


def mapping(desk: Desk, queue: JobQueue) -> APIRouter:
    """Routes of codes, maps, grids and neighbours."""
    routes, layouts = APIRouter(prefix="/api", responses=REFUSED), Layouts(desk, queue)
    store = desk.atlas.store

    @routes.get("/codes")
    def codes() -> list[dict[str, Any]]:
        """What there are codes of, the default first, and which of their maps and grids need not be computed."""
        pairs = [(name, method) for name in store.code_names for method in get_args(Method)]
        maps = [found for name, method in pairs if (found := layouts.find(name, method=method)) is not None]
        grids = [(name, way) for name in store.code_names for way in get_args(Way) if layouts.find_grid(name, way)]
        return code_list(store, maps, grids)

    @routes.post("/maps", status_code=202)
    def compute_map(body: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
        """{layer, method, perplexity, seed, begin} → a job, done when the atlas keeps the map."""
        return layouts.submit("map", map_images, body).described()

    @routes.get("/map")
    def numbers(
        layer: Layer = None, method: Method = "tsne", perplexity: Perplexity = 30.0, seed: Seed = 0,
        begin: Layer = None,
    ) -> dict[str, Any]:  # fmt: skip
        """The numbers of a map that is kept: how true it is, how alike neighbours are."""
        begun = None if begin is None else layouts.layer(begin)
        return numbers_of(layouts.map(layer, method=method, perplexity=perplexity, seed=seed, begin=begun))

    @routes.get("/map/positions.bin", response_class=Response)
    def positions(
        layer: Layer = None, method: Method = "tsne", perplexity: Perplexity = 30.0, seed: Seed = 0,
        begin: Layer = None,
    ) -> Response:  # fmt: skip
        """Its positions (N, 2) in the order of the images, y upwards: packed arrays."""
        begun = None if begin is None else layouts.layer(begin)
        found = layouts.map(layer, method=method, perplexity=perplexity, seed=seed, begin=begun)
        return Response(pack_arrays({"positions": found.positions}), media_type=BYTES)

    @routes.get("/jobs/{name}/positions.bin", response_class=Response)
    def shown(name: str) -> Response:
        """Where a job's map stands now, packed like that of a map; (0, 2) before its first preview."""
        job = queue.get(name)
        found = job.result.positions if isinstance(job.result, Map) else layouts.shown.get(job.id, NOTHING)
        return Response(pack_arrays({"positions": found}), media_type=BYTES)

    @routes.get("/images.bin", response_class=Response)
    def images() -> Response:
        """Label, prediction and verdict of every image, packed arrays; `labels` is JSON in UTF-8."""
        return Response(pack_arrays(image_arrays(desk.atlas)), media_type=BYTES)

    @routes.get("/rows")
    def rows_of(rows: Rows) -> list[dict[str, Any]]:
        """What a list says of these images, in their order."""
        return [desk.images.short(row) for row in wanted(rows)]

    @routes.get("/thumbnails", response_class=Response)
    def thumbnails(rows: Rows, side: Annotated[int, Query(ge=1, le=SIDE)] = SIDE) -> Response:
        """Small pictures (n, height, width, 3) of these images, the longer side at least so many px; packed arrays."""
        pictures = Thumbnails(store).at_least(side)[wanted(rows)]
        return Response(pack_arrays({"pictures": pictures}), media_type=BYTES)

    @routes.post("/grids", status_code=202)
    def compute_grid(body: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
        """{layer, way} → a job; it computes the map first, where the atlas keeps none."""
        return layouts.submit("grid", grid, body).described()

    @routes.get("/grid")
    def sizes(layer: Layer = None, way: Way = "assignment") -> dict[str, Any]:
        """Rows and columns, px of a cell at the largest level, px of its longer side at each, and numbers."""
        return grid_sizes(layouts.grid(layer, way))

    @routes.get("/grid/owners.bin", response_class=Response)
    def owners(layer: Layer = None, way: Way = "assignment") -> Response:
        """The image in each cell (rows, columns), -1 in an empty one: packed arrays."""
        return Response(pack_arrays({"owners": layouts.grid(layer, way).owners()}), media_type=BYTES)

    @routes.get("/grid/tiles/{level}/{column}_{row}.webp", response_class=Response)
    def tile(
        level: int, column: int, row: int, request: Request, layer: Layer = None, way: Way = "assignment"
    ) -> Response:
        """A tile of the grid: at each level a cell is twice as large as at the one before."""
        found, sides = layouts.grid(layer, way), levels_of(*store.pixels(0).shape[:2])
        if not (0 <= level < len(sides) and column >= 0 and row >= 0):
            raise Unknown("the grid has no such tile", f"its levels are 0 to {len(sides) - 1}, tiles count from 0")
        whole = sha256(found.cells.tobytes()).hexdigest()[:16]
        tag = f"{desk.mark}-{whole}-{level}-{column}-{row}"
        if request.headers.get("if-none-match") == f'"{tag}"':
            return kept(request, b"", "image/webp", tag)
        picture = tile_picture(found, sides[level], column, row)
        if picture is None:
            raise Unknown(
                "the grid has no such tile", f"it has {found.rows} rows and {found.columns} columns of images"
            )
        return kept(request, tile_bytes(picture), "image/webp", tag)

    @routes.get("/images/{image}/neighbours")
    def neighbours(image: str, layer: Layer = None, k: Annotated[int, Query(ge=1, le=100)] = 9) -> dict[str, Any]:
        """The nearest images by code and, as a control, by pixels; distances as the study has them."""
        row, name = desk.live.row(image), layouts.layer(layer)
        tables = layouts.table(name), layouts.table("")
        return next(neighbour_answers(name, *tables, np.array([row]), k))

    def wanted(rows: str) -> list[int]:
        """The rows that a text names, at most TOGETHER; Unknown."""
        return [desk.live.row(one) for one in rows.split(",")[:TOGETHER]]

    return routes
