"""Techniques as jobs: one queue a device, equal jobs computed once, results kept up to a bound."""

import hashlib
import json
import math
import sys
import threading
import time
import traceback
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from convscope.errors import ConvscopeError
from convscope.faces.web.drawing import Drawn, drawn_panels, weight
from convscope.faces.web.live import Unknown
from convscope.technique import Result
from convscope.watch import Watch

KEPT = 512 * 1024**2  # bytes of results and pictures
JOBS = 500
WAITING = 50  # jobs that may wait
PREVIEWS = 1.0  # seconds between two of them, at least
DRAWING = 5.0  # times as long as the last one took to draw: so they take at most a sixth of a run
PATIENCE = 2.0  # seconds that a running job has when the server ends

Work = Callable[[Watch], Result]


class Stopped(ConvscopeError):
    """A job that somebody stopped."""


class Busy(ConvscopeError):
    """A job that comes while too many wait."""


@dataclass(eq=False)
class Job:
    """One run of a technique. Every change raises `version`, which is what listeners look at."""

    id: str
    technique: str
    title: str
    work: Work | None = field(repr=False)  # until it has ended: it holds image and net
    asked: Mapping[str, Any] = field(default_factory=dict, repr=False)  # what the request gave, texts and numbers
    state: str = "waiting"  # running, done, failed, stopped
    done: int = 0
    total: int = 0
    unit: str = ""
    said: str = ""
    problem: str = ""
    hint: str = ""
    result: Result | None = field(default=None, repr=False)
    panels: list[Drawn] = field(default_factory=list, repr=False)
    began: float = 0.0
    ended: float = 0.0
    stop_asked: bool = False
    version: int = 0
    bytes: int = 0  # that it keeps in memory once it has ended, about
    previews: int = 0  # how many were drawn

    @property
    def ongoing(self) -> bool:
        """Whether something of it will still change."""
        return self.state in ("waiting", "running")

    def end(self, state: str) -> None:
        """The last change; what is not needed any more is let go."""
        self.work, self.ended = None, time.monotonic()
        self.state = state
        self.version += 1

    def described(self) -> dict[str, Any]:
        """As JSON."""
        plain = ("id", "technique", "title", "state", "done", "total", "unit", "said", "problem", "hint")
        seconds = (self.ended or time.monotonic()) - self.began if self.began else 0.0
        path = f"api/jobs/{self.id}/panels"
        marked = f"?preview={self.previews}" if self.ongoing else ""  # a preview's pictures change
        panels = [
            {
                key: f"{value}{marked}" if key == "picture" else value
                for key, value in one.described(f"{path}/{at}").items()
            }
            for at, one in enumerate(self.panels)
        ]
        known = {name: getattr(self, name) for name in plain}
        return known | {"asked": self.asked, "seconds": round(seconds, 2), "panels": panels}


class JobWatch(Watch):
    """Writes what a technique says into its job, and ends it where somebody asked for that."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.known: Result | None = None  # by the last preview: the result of a job that is stopped
        self.told = False  # whether the technique asked, and heard that it shall stop
        self.due = -math.inf  # the next preview

    def say(self, text: str) -> None:
        """The last sentence is shown."""
        self.job.said = text
        self._changed()

    def progress(self, done: int, total: int, unit: str) -> None:
        """Raises Stopped where the job is to end: a technique need not ask."""
        self.job.done, self.job.total, self.job.unit = done, total, unit
        self._changed()

    def preview(self, result: object) -> None:
        """Draws what is known so far, at most once a second, and so seldom that drawing slows nothing much.

        It does not raise Stopped: the progress that belongs to it comes with the next word.
        """
        self.known = result if isinstance(result, Result) else None
        began = time.monotonic()
        if began > self.due and not self.job.stop_asked:  # what is stopped is drawn at its end
            self.job.panels = drawn_panels(result, quick=True)
            self.job.previews += 1
            ended = time.monotonic()
            self.due = ended + max(PREVIEWS, DRAWING * (ended - began))
        self.job.version += 1

    def stopped(self) -> bool:
        """Whether somebody asked for it. What the technique then gives is what it has done so far."""
        self.told = self.job.stop_asked
        return self.told

    def _changed(self) -> None:
        self.job.version += 1
        if self.job.stop_asked and not self.told:
            raise Stopped("stopped", "run it again to begin anew")


class JobQueue:
    """The jobs of one device, one after the other in a thread of their own."""

    def __init__(self, kept: int = KEPT) -> None:
        self.kept = kept
        self.jobs: OrderedDict[str, Job] = OrderedDict()
        self.waiting: deque[Job] = deque()
        self.changed = threading.Condition()
        self.closed = False
        self.ended = threading.Event()  # streams of progress end with it
        self.thread = threading.Thread(target=self._run, name="jobs", daemon=True)
        self.thread.start()

    def submit(self, key: Mapping[str, Any], title: str, work: Work, asked: Mapping[str, Any] | None = None) -> Job:
        """A new job; or the one with an equal key, if that is waiting, running or done. Busy where too many wait."""
        text = json.dumps(key, sort_keys=True, default=str)
        name = hashlib.sha256(text.encode()).hexdigest()[:16]
        with self.changed:
            known = self.jobs.get(name)
            if known is not None and (known.state == "done" or (known.ongoing and not known.stop_asked)):
                self.jobs.move_to_end(name)
                return known
            if len(self.waiting) >= WAITING:
                raise Busy(f"{WAITING} jobs are waiting already", "stop some of them, or wait until some have ended")
            job = Job(name, str(key["technique"]), title, work, asked or {})
            self.jobs[name] = job
            self.jobs.move_to_end(name)
            self.waiting.append(job)
            self.changed.notify_all()
        return job

    def get(self, name: str) -> Job:
        """The job of that name; Unknown where it never was, or is no longer kept."""
        with self.changed:
            job = self.jobs.get(name)
            if job is None:
                raise Unknown(f"there is no job {name[:40]!r}", "results are kept up to a bound: run it again")
            self.jobs.move_to_end(name)
            return job

    def stop(self, job: Job) -> None:
        """Asks a job to end; one that waits ends at once."""
        with self.changed:
            if not job.ongoing:
                return
            job.stop_asked = True
            if job in self.waiting:
                self.waiting.remove(job)
                job.end("stopped")
            job.version += 1

    def close(self) -> None:
        """Ends the thread: what waits is stopped, what runs is asked to stop; one that does not listen runs on."""
        self.ended.set()
        with self.changed:
            self.closed = True
            while self.waiting:
                self.waiting.popleft().end("stopped")
            for job in self.jobs.values():
                job.stop_asked = job.stop_asked or job.ongoing
            self.changed.notify_all()
        self.thread.join(timeout=PATIENCE)

    def _run(self) -> None:
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.waiting or self.closed)
                if self.closed:
                    return
                job = self.waiting.popleft()
                job.state, job.began = "running", time.monotonic()
                job.version += 1
            perform(job)
            self._forget()

    def _forget(self) -> None:
        """Lets go of the oldest finished results beyond the bound."""
        with self.changed:
            total = sum(job.bytes for job in self.jobs.values())
            for name, job in list(self.jobs.items())[:-1]:
                if total <= self.kept and len(self.jobs) <= JOBS:
                    return
                if not job.ongoing:
                    total -= job.bytes
                    del self.jobs[name]


def perform(job: Job) -> None:
    """Runs a job; whatever happens in it becomes its answer, and the queue lives on."""
    assert job.work is not None
    watch, state = JobWatch(job), "failed"
    try:
        ended = run(job, watch)
        job.panels = [] if job.result is None else drawn_panels(job.result)
        state = ended
    except ConvscopeError as error:
        job.problem, job.hint = error.problem, error.hint
    except BaseException as error:  # noqa: BLE001  (a crash in a technique is an answer, even sys.exit)
        traceback.print_exc(file=sys.stderr)
        job.problem = f"{job.technique} failed: {type(error).__name__}: {str(error)[:400]}"
        job.hint = "the whole trace is in the terminal of `convscope serve`"
    if state == "failed":
        job.result = None
    job.bytes = weight(job.result, job.panels)
    job.end(state)


def run(job: Job, watch: JobWatch) -> str:
    """Sets the job's result and says how it ended. One that is stopped keeps what its last preview knew."""
    assert job.work is not None
    try:
        job.result = job.work(watch)
    except Stopped:
        job.result = watch.known
        return "stopped"
    return "stopped" if watch.told else "done"
