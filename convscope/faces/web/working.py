"""The routes that need the live network: uploads, maps, fields, weights, and techniques as jobs."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Query, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from convscope.errors import BadOption, ConvscopeError, UnreadableImage
from convscope.faces.answers.arrays import pack_arrays
from convscope.faces.web.browsing import BYTES, NOT_FOUND, Desk, kept
from convscope.faces.web.drawing import Drawn, file_of, panel_png
from convscope.faces.web.forms import SELECTED, Techniques, checked_options, parameters, schema_of
from convscope.faces.web.guard import LARGEST
from convscope.faces.web.jobs import Job, JobQueue
from convscope.faces.web.live import Unknown, need
from convscope.models.address import OUTPUT
from convscope.technique import Result
from convscope.watch import Watch

BEAT = 0.1  # seconds between two looks at a job
ALIVE = 15.0  # seconds after which a silent stream says that it is still there
LONGEST = 10_000  # characters that name jobs
BRIEF = 200  # characters of what a job repeats of its request
FORMS = {"png": "image/png", "html": "text/html", "npz": BYTES}
REFUSED: dict[int | str, dict[str, Any]] = {
    **NOT_FOUND,
    409: {"description": "the network is off, or still opening; problem and hint"},
    422: {"description": "something in the request is wrong; problem and hint"},
}


def working(desk: Desk, queue: JobQueue, techniques: Techniques) -> APIRouter:
    """Routes of the live network and its jobs."""
    routes = APIRouter(prefix="/api", responses=REFUSED)
    live, gate = desk.live, asyncio.Lock()  # one picture at a time is decoded, since each takes much memory

    @routes.post("/uploads", openapi_extra={"requestBody": {"content": {"image/*": {}}}})
    async def upload(request: Request, name: Annotated[str, Query(max_length=300)] = "image") -> dict[str, Any]:
        """An image file as the body; gives the text that stands for it, and its most probable classes."""
        if int(request.headers.get("content-length", LARGEST + 1)) <= LARGEST:
            await request.body()  # small ones need not wait to be read
        async with gate:
            content = await request.body()
            if not content:
                raise UnreadableImage("nothing was sent", "send the bytes of an image file as the body")
            image, found = await run_in_threadpool(live.add, content, name)
        return {"image": image, "name": name, "height": found.height, "width": found.width, "top": found.top}

    @routes.get("/maps", response_class=Response)
    def maps(image: str, layer: str) -> Response:
        """Every activation of a layer for an image: maps (C, H, W), packed arrays."""
        return Response(pack_arrays({"maps": live.maps(image, layer)}), media_type=BYTES)

    @routes.get("/fields", response_class=Response)
    def fields(layer: str, unit: Annotated[int, Query(ge=0, le=2**31)] = 0) -> Response:
        """What each row and column of a unit's map sees: rows (H, 2), columns (W, 2) in px of the input, packed."""
        return Response(pack_arrays(live.fields(layer, unit)), media_type=BYTES)

    @routes.get("/weights")
    def weights(layer: str, unit: Annotated[int, Query(ge=0, le=2**31)]) -> dict[str, Any]:
        """The kernels that feed a unit, the strongest first."""
        return live.weights(layer, unit)

    for name, technique in techniques.items():
        schema = {"requestBody": {"content": {"application/json": {"schema": schema_of(name, technique)}}}}
        route = routes.post(f"/run/{name}", status_code=202, openapi_extra=schema, name=f"run {name}")
        route(runner(desk, queue, techniques, name))

    @routes.post("/run/{name}", status_code=202, include_in_schema=False)
    def nothing(name: str) -> None:
        raise Unknown(f"there is no technique {name[:40]!r}", f"there are {', '.join(techniques)}")

    @routes.get("/jobs")
    def jobs() -> list[dict[str, Any]]:
        """All jobs that are kept, the oldest first."""
        return [job.described() for job in list(queue.jobs.values())]

    @routes.get("/jobs/events", response_class=StreamingResponse)
    def events_of_several(ids: Annotated[str, Query(min_length=1, max_length=LONGEST)]) -> StreamingResponse:
        """Several jobs in one stream, ids with commas between them: each at every change, until all have ended."""
        return stream(queue, list(dict.fromkeys(ids.split(","))))

    @routes.get("/jobs/{name}")
    def job(name: str) -> dict[str, Any]:
        """A job: its state, progress, and the panels of its result."""
        return queue.get(name).described()

    @routes.post("/jobs/{name}/stop")
    def stop(name: str) -> dict[str, Any]:
        """Asks a job to end."""
        found = queue.get(name)
        queue.stop(found)
        return found.described()

    @routes.get("/jobs/{name}/events", response_class=StreamingResponse)
    def events(name: str) -> StreamingResponse:
        """Server-sent events, the job as JSON at every change, until it has ended."""
        return stream(queue, [queue.get(name).id])

    @routes.get("/jobs/{name}/panels/{number}.png", response_class=Response)
    def panel(
        name: str,
        number: int,
        request: Request,
        dark: bool = False,
        low: Annotated[float | None, Query(allow_inf_nan=False)] = None,
        high: Annotated[float | None, Query(allow_inf_nan=False)] = None,
    ) -> Response:
        """A panel's picture; dark=1 for dark paper, low and high for another scale."""
        content = panel_png(panel_of(queue, name, number), dark, low, high)
        return kept(request, content, "image/png", sha256(content).hexdigest()[:32])

    @routes.get("/jobs/{name}/panels/{number}.json")
    def numbers(name: str, number: int) -> dict[str, Any]:
        """The numbers behind a panel."""
        found: dict[str, Any] = panel_of(queue, name, number).panel.numbers()
        return found

    @routes.get("/jobs/{name}/result.{form}", response_class=Response)
    def saved(name: str, form: Literal["png", "html", "npz"]) -> Response:
        """The whole result as a picture, a page or its arrays."""
        result = queue.get(name).result
        if result is None:
            raise Unknown(f"the job {name[:40]!r} has no result", "it has not ended, or ended without one")
        headers = {"content-disposition": f'attachment; filename="{queue.get(name).technique}.{form}"'}
        return Response(file_of(result, form), media_type=FORMS[form], headers=headers)

    return routes


def submit(desk: Desk, queue: JobQueue, techniques: Techniques, name: str, body: dict[str, Any]) -> Job:
    """Checks a request against the technique's own signature, and puts it into the queue."""
    technique, net = techniques[name], desk.live.net
    check_text(body)
    known = parameters(technique)
    strange = [given for given in body if given in SELECTED and given not in known]
    options = checked_options(name, technique, {key: value for key, value in body.items() if key not in strange})
    given: dict[str, Any] = {}
    key: dict[str, Any] = {"technique": name, "net": net.fingerprint, "options": options}
    for part in (part for part in known if part in SELECTED):
        if part not in body and known[part].default is not known[part].empty:
            continue
        with named(part):
            text = need(body, part)
            if part.startswith("image"):
                given[part] = desk.live.picture(text)
                key[part] = sha256(given[part].tobytes()).hexdigest(), given[part].filename
            else:
                given[part] = key[part] = text
            if part == "layer":
                net.layer(text)
    supplied: dict[str, Any] = {"atlas": desk.atlas.folder} if "atlas" in known and fits(desk, given) else {}
    words = [str(getattr(value, "filename", value)) for value in given.values()]
    words += [f"{option} = {value}" for option, value in options.items() if value != known[option].default]

    def work(watch: Watch) -> Result:
        more = {"watch": watch} if "watch" in known else {}
        first = {part: net if part == "net" else given[part] for part in known if part == "net" or part in given}
        result: Result = technique(**first, **options, **supplied, **more)
        return result

    return queue.submit(key, ", ".join(words), work, brief(body))


def brief(body: Mapping[str, Any]) -> dict[str, Any]:
    """The texts and numbers of a request, as JSON may repeat them: no long ones, and none that are not finite."""
    kinds = (str, int, float)
    return {
        name: value
        for name, value in body.items()
        if isinstance(value, kinds) and len(str(value)) <= BRIEF and str(value) not in ("nan", "inf", "-inf")
    }


def check_text(body: dict[str, Any]) -> None:
    """BadOption where a text holds half a character (a lone surrogate): no answer could repeat it."""
    try:
        json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise BadOption(
            "a text of the request is no Unicode", "send the body as UTF-8, with whole characters"
        ) from error


@contextmanager
def named(field: str) -> Iterator[None]:
    """Problems in it are those of this field of the request."""
    try:
        yield
    except ConvscopeError as error:
        error.field = field
        raise


def fits(desk: Desk, given: Mapping[str, Any]) -> bool:
    """Whether the atlas can tell which units of the asked layer are dead."""
    net, store = desk.live.net, desk.atlas.store
    layer = net.layer(given.get("layer", OUTPUT))
    first = layer.alias_of or layer.name
    return first in store.followed and layer.node is not net.output_layer.node and layer.rectified


def stream(queue: JobQueue, names: list[str]) -> StreamingResponse:
    """The changes of jobs as server-sent events."""
    return StreamingResponse(
        changes(queue, names), media_type="text/event-stream", headers={"cache-control": "no-store"}
    )


async def changes(queue: JobQueue, names: list[str]) -> AsyncIterator[str]:
    """Each job at every change, until all have ended or the server ends. A listener that goes away ends only this."""
    told: dict[str, tuple[Job, int, bool]] = {}
    following, quiet = list(names), 0.0
    while True:
        quiet += BEAT
        for name in list(following):
            job = queue.jobs.get(name) or (told[name][0] if name in told else None)  # a stopped one may run again
            now = None if job is None else (job, job.version, job.ongoing)
            if now is None or not now[2]:
                following.remove(name)
            if job is None or now != told.get(name):
                quiet = 0.0
                answer = {"id": name, "state": "lost"} if job is None else job.described()
                yield f"data: {json.dumps(answer)}\n\n"
            if now is not None:
                told[name] = now
        if not following or queue.ended.is_set():
            return
        if quiet > ALIVE:
            quiet = 0.0
            yield ": still here\n\n"
        await asyncio.sleep(BEAT)


def panel_of(queue: JobQueue, name: str, number: int) -> Drawn:
    """A panel of a job; Unknown."""
    panels = queue.get(name).panels
    if not 0 <= number < len(panels):
        raise Unknown(f"the job {name[:40]!r} has {len(panels)} panels, so {number} is none", "they count from 0")
    return panels[number]


def runner(desk: Desk, queue: JobQueue, techniques: Techniques, name: str) -> Callable[..., dict[str, Any]]:
    """The route of one technique."""

    def run(body: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
        """{image, layer, …options} → a job: waiting, running, or done where an equal one was."""
        return submit(desk, queue, techniques, name, body).described()

    return run
