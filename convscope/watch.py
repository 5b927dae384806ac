"""How long work tells of itself and hears that it shall stop: one narrow argument, silent by default."""


class Watch:
    """Told of progress; asked whether to stop. This one says nothing and never stops."""

    def say(self, text: str) -> None:
        """A sentence for the person who waits: an estimate, what was skipped, what comes next."""

    def progress(self, done: int, total: int, unit: str) -> None:
        """So many of so many units (images, steps) are finished."""

    def preview(self, result: object) -> None:
        """What is known so far: a result of the same kind, which can be drawn. Not called more often than is useful."""

    def stopped(self) -> bool:
        """Whether the work shall end now."""
        return False


class Passing(Watch):
    """Passes everything on to another one; what is made of it changes some of that."""

    def __init__(self, outer: Watch) -> None:
        self.outer = outer

    def say(self, text: str) -> None:
        """The same."""
        self.outer.say(text)

    def progress(self, done: int, total: int, unit: str) -> None:
        """The same."""
        self.outer.progress(done, total, unit)

    def preview(self, result: object) -> None:
        """The same."""
        self.outer.preview(result)

    def stopped(self) -> bool:
        """The same."""
        return self.outer.stopped()


SILENT = Watch()
