"""Whatever is sent, in whatever shape the OpenAPI schema allows or forbids, no answer is a 5xx."""

import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from urllib.request import urlopen

import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error

from convscope.atlas import Atlas
from convscope.faces.web.app import make_app
from convscope.faces.web.serve import listen
from tests.web.conftest import TECHNIQUES, opened, release, until

ROUTES = 20  # at least
JOBS = ("/api/maps", "/api/grids")  # what they are sent starts work, as nearly all of it is right


def ongoing(address: str) -> bool:
    """Whether a job waits or runs."""
    with urlopen(f"{address}/api/jobs") as answer:
        return any(job["state"] in ("waiting", "running") for job in json.load(answer))


@pytest.fixture(scope="module")
def address(atlas: Atlas) -> Iterator[str]:
    """A real server on a free port."""
    release.set()
    listening = listen("127.0.0.1", None)
    app = make_app(atlas, opened(atlas), techniques=TECHNIQUES)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    until(lambda: server.started)
    until(lambda: "opening" not in {one.name for one in threading.enumerate()})  # Hypothesis is for one thread
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join()
    listening.close()


def test_no_answer_is_a_server_error(address: str) -> None:
    """Every route that the schema lists, with values that fit and values that do not."""
    schema = schemathesis.openapi.from_url(f"{address}/api/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) >= ROUTES
    count = 0
    for operation in operations:
        if operation.path.endswith("/events"):
            continue  # it is answered until its job ends; there are jobs only by chance
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):

            @settings(
                max_examples=5, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )  # fmt: skip
            @given(case=operation.as_strategy(generation_mode=mode))
            def sent(case: schemathesis.Case) -> None:
                nonlocal count
                count += 1
                answer = case.call(timeout=60)
                if case.operation.path in JOBS:
                    until(lambda: not ongoing(address))  # Hypothesis is for one thread
                case.validate_response(answer, checks=[not_a_server_error])
                if answer.status_code >= 400 and answer.headers.get("content-type") == "application/json":
                    assert "problem" in answer.json()

            with suppress(Unsatisfiable):  # nothing can be wrong where nothing is sent
                sent()
    assert count > 200
