"""The server as an ASGI app: the routes, the built page, errors as answers, the guard before all of it."""

import sys
import threading
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.staticfiles import StaticFiles

from convscope import __version__, registry
from convscope.atlas import Atlas
from convscope.errors import BadAddress, BadAtlas, BadOption, ConvscopeError, UnknownLayer, UnreadableImage
from convscope.faces.offline import BUILT
from convscope.faces.web.browsing import Desk, browsing
from convscope.faces.web.forms import Techniques
from convscope.faces.web.guard import Guard
from convscope.faces.web.hiding import hiding
from convscope.faces.web.jobs import Busy, JobQueue
from convscope.faces.web.live import LiveNet, NotLive, Unknown
from convscope.faces.web.mapping import mapping
from convscope.faces.web.projecting import projecting
from convscope.faces.web.saving import saving
from convscope.faces.web.working import working

STATUS: dict[type[ConvscopeError], int] = {
    Unknown: 404, UnknownLayer: 404, BadAddress: 404, NotLive: 409, BadOption: 422, UnreadableImage: 422,
    BadAtlas: 410, Busy: 409,
}  # fmt: skip
NOT_BUILT = "the page is not built here: `make web` in a checkout builds it, `pip install` of a wheel brings it"


def make_app(
    atlas: Atlas,
    live: LiveNet,
    *,
    note: str = "",
    host: str = "127.0.0.1",
    token: str = "",
    techniques: Techniques = registry.TECHNIQUES,
    queue: JobQueue | None = None,
) -> Guard:
    """The server of one atlas, with its guard. Its job queue ends when the app shuts down."""
    desk, jobs = Desk(atlas, live, note, techniques), queue or JobQueue()

    def begin() -> None:
        with suppress(Exception):  # whoever asks for it is told
            _ = desk.overview  # what the page asks for first, before the network takes the processor
        live.open()
        with suppress(Exception):
            desk.prepare(jobs.ended)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        threading.Thread(target=begin, name="opening", daemon=True).start()
        yield
        jobs.close()

    app = FastAPI(
        title="Convscope", version=__version__, openapi_url="/api/openapi.json", docs_url=None, redoc_url=None,
        lifespan=lifespan,
    )  # fmt: skip
    app.include_router(working(desk, jobs, techniques))
    app.include_router(hiding(live))
    app.include_router(projecting(live))
    app.include_router(mapping(desk, jobs))
    app.include_router(browsing(desk))
    app.include_router(saving(app, desk))
    answer_errors(app)
    add_page(app)
    return Guard(app, host, token)


def add_page(app: FastAPI) -> None:
    """The built page, and nothing else from the disk."""

    @app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    def page() -> Response:
        if not (BUILT / "index.html").is_file():
            return Response(NOT_BUILT, 404, media_type="text/plain")
        return FileResponse(BUILT / "index.html", headers={"cache-control": "no-cache"})

    app.mount("/assets", StaticFiles(directory=BUILT / "assets", check_dir=False), "assets")


def answer_errors(app: FastAPI) -> None:
    """Every problem is an answer with problem and hint."""

    def problem(_: Request, error: ConvscopeError) -> JSONResponse:
        status = next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 422)
        said = {"problem": error.problem, "hint": error.hint} | ({"field": error.field} if error.field else {})
        return JSONResponse(said, status)

    def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"] if part not in ("query", "body", "path"))
        return JSONResponse({"problem": f"{field or 'the request'}: {first['msg']}", "hint": "", "field": field}, 422)

    def missing(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"problem": str(error.detail), "hint": ""}, error.status_code, error.headers)

    async def crash(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
        try:
            return await call(request)
        except ClientDisconnect:
            return Response(status_code=400)
        except Exception as error:  # noqa: BLE001  (a fault of ours is an answer, and the server lives on)
            traceback.print_exc(file=sys.stderr)
            words = f"{type(error).__name__}: {str(error)[:300]}"
            return JSONResponse({"problem": words, "hint": "the whole trace is in the terminal of the server"}, 500)

    handlers: Any = {ConvscopeError: problem, RequestValidationError: invalid, HTTPException: missing}
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)
    app.middleware("http")(crash)
