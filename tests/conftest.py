"""What all tests share: the profile of laws, the order of files, a garbage collector that rests, the bundled network."""

import gc

import pytest
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

import convscope

# How long one example takes says more about the machine than about the code. The examples are the same each time, so
# that a change is red for what it changes; `make test-all` looks for new ones.
settings.register_profile("convscope", deadline=None, derandomize=True)
settings.register_profile("searching", deadline=None, derandomize=False)
settings.load_profile("convscope")


BROWSER = (
    "tests/browser/"  # one worker has all of it: one browser and one server, and the other worker a core of its own
)
LONG = (  # files that take long; what takes short fills the gap at the end
    "test_docs.py", "test_filters.py", "test_never_lost.py", "test_receptive.py", "test_synthesis.py", "test_demo.py",
    "test_outputs.py", "test_stream.py", "test_schema.py", "test_sanity.py", "test_localisation.py", "test_backward.py",
)  # fmt: skip


class Scheduling(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """A file's tests go to one worker, and those of the browser all to the same."""

    def _split_scope(self, nodeid: str) -> str:
        return BROWSER if nodeid.startswith(BROWSER) else str(super()._split_scope(nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Scheduling:
    """Whatever `--dist` says."""
    return Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files come first, so that no worker is left alone with one (`--no-loadscope-reorder` keeps this order)."""
    places = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: -1 if BROWSER in item.path.as_posix() else places.get(item.path.name, len(LONG)))


def pytest_collection_finish() -> None:
    """What is imported by now stays: looking through it again and again takes a third of the time of opening a net."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.fixture(scope="session")
def lite0() -> convscope.Net:
    """The bundled network with its real weights; nets are snapshots, so that one is enough for all tests of a process."""
    return convscope.load("efficientnet-lite0")
