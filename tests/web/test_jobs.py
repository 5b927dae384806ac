"""The queue of jobs: whatever a technique does, the next one runs."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import convscope
from convscope.faces.web.drawing import weight
from convscope.faces.web.jobs import WAITING, Busy, JobQueue
from convscope.faces.web.working import changes
from convscope.technique import Result
from convscope.watch import Watch
from tests.tiny_atlas import tiny_net
from tests.web.conftest import until


@pytest.fixture
def queue() -> Iterator[JobQueue]:
    found = JobQueue()
    yield found
    found.close()
    assert not found.thread.is_alive()


def quick(watch: Watch) -> Result:
    """A result at once."""
    return convscope.filters(tiny_net(), "1", watch=watch)


@pytest.mark.parametrize("error", [SystemExit(3), GeneratorExit(), KeyboardInterrupt(), MemoryError()])
def test_nothing_that_a_technique_raises_ends_the_queue(
    queue: JobQueue, error: BaseException, capfd: pytest.CaptureFixture[str]
) -> None:
    def ending(_: Watch) -> Result:
        raise error

    job = queue.submit({"technique": "ending"}, "", ending)
    until(lambda: not job.ongoing)
    assert job.state == "failed"
    assert job.problem.startswith(f"ending failed: {type(error).__name__}")
    assert type(error).__name__ in capfd.readouterr().err
    assert queue.thread.is_alive()


def test_an_ended_job_keeps_its_result_alone(queue: JobQueue) -> None:
    job = queue.submit({"technique": "filters"}, "", quick)
    until(lambda: job.state == "done")
    assert job.work is None
    assert job.result is not None
    arrays = sum(array.nbytes for array in job.result.arrays().values())
    pictures = sum(len(one.png) for one in job.panels)
    assert job.bytes == weight(job.result, job.panels) >= arrays + pictures
    assert job.bytes <= 4 * (arrays + pictures) + 2**22  # each array counts once


def test_so_many_jobs_may_wait_and_the_end_stops_them() -> None:
    queue, release = JobQueue(), threading.Event()

    def patient(watch: Watch) -> Result:
        release.wait(30)
        return quick(watch)

    running = queue.submit({"technique": "patient"}, "", patient)
    until(lambda: running.state == "running")
    jobs = [queue.submit({"technique": "patient", "seed": seed}, "", patient) for seed in range(WAITING)]
    with pytest.raises(Busy) as error:
        queue.submit({"technique": "patient", "seed": -1}, "", patient)
    assert error.value.hint
    assert queue.submit({"technique": "patient", "seed": 3}, "", patient) is jobs[3]
    threading.Timer(0.1, release.set).start()
    queue.close()
    assert {job.state for job in jobs} == {"stopped"}
    assert all(job.work is None for job in jobs)
    until(lambda: not running.ongoing)


def test_one_that_was_done_before_it_heard_counts(queue: JobQueue) -> None:
    release = threading.Event()

    def deaf(_: Watch) -> Result:
        release.wait(30)
        return quick(Watch())

    job = queue.submit({"technique": "deaf"}, "", deaf)
    until(lambda: job.state == "running")
    queue.stop(job)
    release.set()
    until(lambda: not job.ongoing)
    assert job.state == "done"
    assert queue.submit({"technique": "deaf"}, "", deaf) is job


def run(work: Coroutine[Any, Any, list[str]]) -> list[str]:
    """Runs it in a thread of its own: the browser's tests may have left a loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def test_streams_tell_the_last_state_and_end_with_the_server(queue: JobQueue) -> None:
    release = threading.Event()

    def patient(watch: Watch) -> Result:
        release.wait(30)
        return quick(watch)

    job = queue.submit({"technique": "patient"}, "", patient)
    until(lambda: job.state == "running")

    async def told() -> list[str]:
        return [line async for line in changes(queue, [job.id])]

    threading.Timer(0.2, queue.ended.set).start()
    assert '"state": "running"' in run(told())[-1]
    queue.ended.clear()
    threading.Timer(0.2, release.set).start()
    assert '"state": "done"' in run(told())[-1]


def test_arrays_that_result_and_panels_share_count_once() -> None:
    found = convscope.filters(tiny_net(), "1")
    assert weight(found, []) == sum(array.nbytes for array in found.arrays().values())
    assert weight(None, []) == 0
