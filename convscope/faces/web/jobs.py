"""Techniques as jobs: one queue a device, equal jobs computed once, results kept up to a bound."""

import hashlib
import json
import sys
import threading
import time
import traceback
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from convscope.errors import ConvscopeError
from convscope.faces.web.live import Unknown
from convscope.render.draw import draw
from convscope.render.figure import Panel
from convscope.render.pixels import png_bytes
from convscope.render.scales import colours_of, rescaled
from convscope.technique import Result
from convscope.watch import Watch

KEPT = 512 * 1024**2  # bytes of results and pictures
JOBS = 500
PREVIEWS = 1.0  # seconds between two of them
DRAWING = threading.Lock()  # fonts and charts are drawn by one thread at a time

Work = Callable[[Watch], Result]


class Stopped(ConvscopeError):
    """A job that somebody stopped."""


@dataclass(eq=False)
class Drawn:
    """A panel with its picture for light paper, 2 device px a CSS px."""

    panel: Panel
    size: tuple[float, float]  # width and height, CSS px
    png: bytes

    def described(self, path: str) -> dict[str, Any]:
        """As JSON, with the paths of picture and numbers."""
        colours = colours_of(self.panel)
        return {
            "kind": self.panel.kind,
            "title": self.panel.title,
            "caption": self.panel.caption,
            "width": self.size[0],
            "height": self.size[1],
            "picture": f"{path}.png",
            "numbers": f"{path}.json",
            "scale": None
            if colours is None
            else {
                "quantity": colours.quantity,
                "low": colours.low,
                "high": colours.high,
                "signed": colours.signed,
            },
        }


def drawn(panel: Panel) -> Drawn:
    """A panel, drawn."""
    picture = panel.picture(2.0)
    return Drawn(panel, (picture.width / 2, picture.height / 2), png_bytes(picture))


@dataclass(eq=False)
class Job:
    """One run of a technique. Every change raises `version`, which is what listeners look at."""

    id: str
    technique: str
    title: str
    work: Work = field(repr=False)
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
    previews: int = 0  # how many were drawn

    @property
    def ongoing(self) -> bool:
        """Whether something of it will still change."""
        return self.state in ("waiting", "running")

    @property
    def bytes(self) -> int:
        """What it keeps in memory, about."""
        arrays = self.result.arrays().values() if self.result is not None else ()
        return sum(array.nbytes for array in arrays) + sum(len(one.png) for one in self.panels)

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
        return {name: getattr(self, name) for name in plain} | {"seconds": round(seconds, 2), "panels": panels}


class JobWatch(Watch):
    """Writes what a technique says into its job, and ends it where somebody asked for that."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.previewed = 0.0

    def say(self, text: str) -> None:
        """The last sentence is shown."""
        self.job.said = text
        self._changed()

    def progress(self, done: int, total: int, unit: str) -> None:
        """Raises Stopped where the job is to end: a technique need not ask."""
        self.job.done, self.job.total, self.job.unit = done, total, unit
        self._changed()

    def preview(self, result: object) -> None:
        """Draws what is known so far, at most once a second."""
        if time.monotonic() - self.previewed > PREVIEWS:
            with DRAWING:
                self.job.panels = [drawn(panel) for panel in draw(result)]
            self.job.previews += 1
            self.previewed = time.monotonic()
        self._changed()

    def stopped(self) -> bool:
        """Whether somebody asked for it."""
        return self.job.stop_asked

    def _changed(self) -> None:
        self.job.version += 1
        if self.job.stop_asked:
            raise Stopped("stopped", "run it again to begin anew")


class JobQueue:
    """The jobs of one device, one after the other in a thread of their own."""

    def __init__(self, kept: int = KEPT) -> None:
        self.kept = kept
        self.jobs: OrderedDict[str, Job] = OrderedDict()
        self.waiting: deque[Job] = deque()
        self.changed = threading.Condition()
        self.closed = False
        self.thread = threading.Thread(target=self._run, name="jobs", daemon=True)
        self.thread.start()

    def submit(self, key: Mapping[str, Any], title: str, work: Work) -> Job:
        """A new job; or the one with an equal key, if that is waiting, running or done."""
        text = json.dumps(key, sort_keys=True, default=str)
        name = hashlib.sha256(text.encode()).hexdigest()[:16]
        with self.changed:
            known = self.jobs.get(name)
            if known is not None and (known.ongoing or known.state == "done") and not known.stop_asked:
                self.jobs.move_to_end(name)
                return known
            job = Job(name, str(key["technique"]), title, work)
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
                job.state = "stopped"
            job.version += 1

    def close(self) -> None:
        """Ends the thread after asking what runs to stop."""
        with self.changed:
            self.closed = True
            for job in self.jobs.values():
                job.stop_asked = job.stop_asked or job.ongoing
            self.waiting.clear()
            self.changed.notify_all()
        self.thread.join(timeout=5)

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
    state = "failed"
    try:
        job.result = job.work(JobWatch(job))
        with DRAWING:
            job.panels = [drawn(panel) for panel in draw(job.result)]
        state = "done"
    except Stopped:
        state = "stopped"
    except ConvscopeError as error:
        job.problem, job.hint = error.problem, error.hint
    except Exception as error:  # noqa: BLE001  (a crash in a technique is an answer)
        traceback.print_exc(file=sys.stderr)
        job.problem = f"{job.technique} failed: {type(error).__name__}: {str(error)[:400]}"
        job.hint = "the whole trace is in the terminal of `convscope serve`"
    job.ended = time.monotonic()
    job.state = state
    job.version += 1


def panel_png(one: Drawn, dark: bool, low: float | None, high: float | None) -> bytes:
    """A panel's picture on light or dark paper, and on another scale where one is given."""
    if low is None or high is None:
        if not dark:
            return one.png
        with DRAWING:
            return png_bytes(one.panel.picture(2.0, True))
    with DRAWING:
        return png_bytes(rescaled(one.panel, low, high).picture(2.0, dark))
