"""The watcher of the command line: words and a progress bar with rate and time left, on stderr."""

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from convscope.watch import Watch


class Bar(Watch):
    """Use it in a `with`; without a terminal it writes a line every few seconds instead of a bar."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.console = Console(file=sys.stderr, highlight=False)
        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[unit]}"),
            TextColumn("{task.fields[rate]}"), TimeRemainingColumn(), TextColumn("left"),
        )  # fmt: skip
        self.bar = Progress(*columns, console=self.console, disable=not self.console.is_terminal)
        self.task: TaskID | None = None
        self.unit = ""
        self.first = 0.0, 0  # when this unit began, and how much was done before
        self.last_line = 0.0
        self.shown: object = None  # what is known so far

    def __enter__(self) -> "Bar":
        self.bar.start()
        self.started = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def say(self, text: str) -> None:
        """A sentence above the bar."""
        self.console.print(text, markup=False, soft_wrap=True)
        self.started = time.monotonic()

    def preview(self, result: object) -> None:
        """Kept for somebody who stops it."""
        self.shown = result

    def progress(self, done: int, total: int, unit: str) -> None:
        """Moves the bar."""
        now = time.monotonic()
        if unit != self.unit:  # another stage; what was done before this run does not count
            self.unit, self.first = unit, (now, done)
            if self.task is not None:
                self.bar.remove_task(self.task)
                self.task = None
        begun, before = self.first
        rate = (done - before) / max(now - begun, 1e-9)
        words = f"{rate:.1f}/s" if done > before else ""
        if not self.console.is_terminal:
            if done > before and (now - self.last_line > 5 or done == total):
                left = f", {(total - done) / rate:.0f} s left" if rate > 0 and done < total else ""
                self.console.print(f"{self.title}: {done:,} of {total:,} {unit}, {words}{left}", markup=False)
                self.last_line = now
            return
        if self.task is None:
            self.task = self.bar.add_task(self.title, total=total, unit=unit, rate=words)
        self.bar.update(self.task, completed=done, total=total, rate=words)
