"""Jobs that are stopped on the way: what is done stays."""

import io
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from convscope.atlas import Atlas
from convscope.faces.web import drawing, jobs
from convscope.faces.web.jobs import JobQueue
from convscope.faces.web.working import brief
from convscope.models.incremental.engine import Incremental
from convscope.technique import Result
from convscope.techniques.activations import activations
from convscope.watch import Watch
from tests.tiny_atlas import SIZE, tiny_net
from tests.web.conftest import until
from tests.web.test_working import finished


@dataclass(frozen=True, eq=False)
class Found(Result):
    """What is done so far."""

    values: np.ndarray


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Iterator[JobQueue]:
    panels = drawing.drawn_panels(activations(tiny_net(), Image.new("RGB", SIZE[::-1]), "1"))
    monkeypatch.setattr(jobs, "drawn_panels", lambda *_, **__: panels)
    found = JobQueue()
    yield found
    found.close()


def steps(watch: Watch, asks: bool, previews: bool, reached: threading.Event) -> Result:
    """A technique that keeps what it has done, and asks or does not."""
    found = Found(np.full(1000, np.nan))
    for step in range(1000):
        found.values[step] = step
        if previews:
            watch.preview(found)
        if not asks:
            watch.progress(step + 1, 1000, "steps")
        if step > 3:
            reached.set()
        if asks and watch.stopped():
            watch.say("what follows the answer is not cut off")
            break
        threading.Event().wait(0.002)
    return found


@pytest.mark.parametrize(("asks", "previews"), [(True, True), (True, False), (False, True), (False, False)])
def test_a_stopped_job_keeps_what_is_done(queue: JobQueue, asks: bool, previews: bool) -> None:
    reached = threading.Event()
    job = queue.submit({"technique": "steps"}, "", lambda watch: steps(watch, asks, previews, reached))
    assert reached.wait(60)
    queue.stop(job)
    until(lambda: not job.ongoing)
    assert (job.state, job.problem) == ("stopped", "")
    if not asks and not previews:  # it never said what it has
        assert (job.result, job.panels) == (None, [])
        return
    assert isinstance(job.result, Found)
    assert 3 < np.isfinite(job.result.values).sum() < 1000
    assert job.panels
    assert job.bytes > job.result.values.nbytes
    assert queue.submit({"technique": "steps"}, "", lambda watch: steps(watch, True, True, reached)) is not job


def test_one_that_asks_and_goes_through_is_done(queue: JobQueue) -> None:
    def asking(watch: Watch) -> Result:
        assert not watch.stopped()
        return Found(np.zeros(3))

    job = queue.submit({"technique": "asking"}, "", asking)
    until(lambda: not job.ongoing)
    assert job.state == "done"


def test_a_result_that_cannot_be_drawn_is_a_failure_stopped_or_not(
    queue: JobQueue, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> list[object]:
        raise ValueError("no pen")

    monkeypatch.setattr(jobs, "drawn_panels", broken)
    job = queue.submit({"technique": "quick"}, "", lambda _: Found(np.zeros(3)))
    until(lambda: not job.ongoing)
    assert (job.state, job.result) == ("failed", None)
    assert "no pen" in job.problem
    assert "no pen" in capfd.readouterr().err


def test_previews_leave_time_for_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a preview takes to draw, at most a sixth of the time is spent on them."""
    clock = [0.0]
    monkeypatch.setattr(jobs.time, "monotonic", lambda: clock[0])

    def slow(*_: object, **__: object) -> list[object]:
        clock[0] += 2.0
        return []

    monkeypatch.setattr(jobs, "drawn_panels", slow)
    watch = jobs.JobWatch(jobs.Job("a", "a", "", None))
    for _ in range(1000):
        watch.preview(Found(np.zeros(3)))
        clock[0] += 0.1
    drawing_time = 2.0 * watch.job.previews
    assert watch.job.previews > 3
    assert drawing_time <= clock[0] / 6 + 2.0


def test_a_stopped_map_shows_what_is_done(client: TestClient, atlas: Atlas) -> None:
    """The real technique through the real routes; only its batches are slowed."""
    body = {"image": "3", "window": "6", "stride": 1, "fill": "grey"}
    slowed = Incremental.run

    def run(self: Incremental, *given: object) -> Iterator[object]:
        for found in slowed(self, *given):  # type: ignore[arg-type]
            yield found
            threading.Event().wait(0.3)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Incremental, "run", run)
        started = client.post("/api/run/occlusion", json=body).json()
        assert started["asked"] == body
        until(lambda: client.get(f"/api/jobs/{started['id']}").json()["done"] > 0)
        client.post(f"/api/jobs/{started['id']}/stop")
        job = finished(client, started)
    assert job["state"] == "stopped"
    assert 0 < job["done"] < job["total"]
    assert job["panels"]
    saved = np.load(io.BytesIO(client.get(f"/api/jobs/{job['id']}/result.npz").content))
    done = saved["label"] >= 0
    assert done.sum() == job["done"]
    np.testing.assert_array_equal(np.isfinite(saved["probability"]), done)
    row, column = np.argwhere(done)[-1]
    step = {
        "image": "3",
        "top": int(saved["tops"][row]),
        "left": int(saved["lefts"][column]),
        "window": "6",
        "fill": "grey",
    }
    found = client.post("/api/occlude", json=step).json()
    np.testing.assert_allclose(saved["probability"][row, column], found["now"][0], atol=1e-4)
    again = finished(client, client.post("/api/run/occlusion", json=body).json())
    assert (again["state"], again["done"]) == ("done", again["total"])


def test_a_job_repeats_only_short_words_and_finite_numbers() -> None:
    given = {
        "image": "3",
        "units": ["a"],
        "boost": float("nan"),
        "more": float("inf"),
        "long": "x" * 999,
        "stride": 4,
        "flag": True,
    }
    assert brief(given) == {"image": "3", "stride": 4, "flag": True}
