"""Every error that Convscope raises on purpose: what is wrong, and what to do about it."""


class ConvscopeError(Exception):
    """A problem in plain words and, where there is one, a hint at its cure."""

    field = ""  # the option or argument that it is about, where that is known

    def __init__(self, problem: str, hint: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.problem}\n\nhint: {self.hint}" if self.hint else self.problem

    def __reduce__(self) -> tuple[type["ConvscopeError"], tuple[str, str]]:
        return type(self), (self.problem, self.hint)


class UnknownNet(ConvscopeError):
    """A network name that no source knows."""


class UnsuitableNet(ConvscopeError):
    """A network that cannot be exported, or does not map images to scores."""


class NoRule(ConvscopeError):
    """A method whose rule has no meaning on a network's activations."""


class BadWeights(ConvscopeError):
    """Weights that are unsafe, broken, not finite, or do not fit the network."""


class UnknownLayer(ConvscopeError):
    """A layer name that the network does not have."""


class BadAddress(ConvscopeError):
    """Text that does not name a layer, unit, place or class of the network."""


class UnreadableImage(ConvscopeError):
    """A file that is no image, or a broken or dangerous one."""


class NoImages(ConvscopeError):
    """A source of images in which no usable image was found."""


class BadOption(ConvscopeError):
    """An option that does not exist, or has a value that it may not have."""


class BadAtlas(ConvscopeError):
    """A folder that is no atlas, a broken one, or one of another format version."""


class AtlasInUse(ConvscopeError):
    """A folder that already holds an atlas, or an unfinished one, of other work."""


class BuildStopped(ConvscopeError):
    """A build that the user stopped; what was finished is kept."""


class DiskFull(ConvscopeError):
    """A build that could not write on; what was finished is kept."""
