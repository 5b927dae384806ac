"""The page's present view as one file that opens without a server."""

import asyncio
from typing import Annotated
from urllib.parse import unquote

from fastapi import APIRouter, FastAPI, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.types import Message, Scope

from convscope.errors import BadOption
from convscope.faces.offline import Recorded, offline_page
from convscope.faces.web.browsing import Desk

LARGEST = 256 * 1024**2  # bytes of one file


class View(BaseModel):
    """The address of a view and the paths of all that it showed."""

    address: Annotated[str, Field(max_length=4000, pattern="^#/")] = "#/net"
    paths: Annotated[list[Annotated[str, Field(max_length=4000, pattern="^api/")]], Field(max_length=5000)]


def saving(app: FastAPI, desk: Desk) -> APIRouter:
    """POST /api/export: the same answers that the view had, in one HTML file."""
    routes, gate = APIRouter(prefix="/api"), asyncio.Lock()  # one file at a time: each is held whole in memory

    @routes.post("/export", response_class=Response)
    async def export(view: View) -> Response:
        """One HTML file of a view; what it did not ask for is not in it."""
        title = f"{desk.atlas.store.manifest['net']['name']} · Convscope"
        async with gate:
            recorded = await record(app, view)
            page = await run_in_threadpool(lambda: offline_page(title, recorded).encode())
        headers = {"content-disposition": 'attachment; filename="convscope.html"'}
        return Response(page, media_type="text/html", headers=headers)

    return routes


async def record(app: FastAPI, view: View) -> Recorded:
    """The answers to a view's paths. BadOption where they are too much for one file."""
    recorded = Recorded(view.address)
    for path in dict.fromkeys(view.paths):
        if path.split("?")[0].endswith("/events") or path == "api/live":
            continue
        status, media, content = await answer(app, path)
        if status != 200:
            continue
        await run_in_threadpool(recorded.add, path, media, content)  # packing takes long: others are answered meanwhile
        if recorded.kept > LARGEST:
            raise BadOption("this view is too large for one file", "choose fewer units, or take a picture of it")
    return recorded


async def answer(app: FastAPI, path: str) -> tuple[int, str, bytes]:
    """Status, media type and body of the app's own answer to GET /path."""
    plain, _, query = path.partition("?")
    scope: Scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": f"/{unquote(plain)}", "raw_path": f"/{plain}".encode(), "query_string": query.encode(),
        "root_path": "", "headers": [], "server": ("127.0.0.1", 0), "client": ("127.0.0.1", 0),
    }  # fmt: skip
    status, media = 500, ""
    parts: list[bytes] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status, media
        if message["type"] == "http.response.start":
            status = message["status"]
            headers: dict[bytes, bytes] = dict(message["headers"])
            media = headers.get(b"content-type", b"").decode().split(";")[0]
        else:
            parts.append(message.get("body", b""))

    await app(scope, receive, send)
    return status, media, b"".join(parts)
