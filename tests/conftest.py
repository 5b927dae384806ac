"""What all tests share: the profile of laws, the order of files, a garbage collector that rests, the bundled network."""

import gc

import pytest
from hypothesis import settings

import convscope

# How long one example takes says more about the machine than about the code. The examples are the same each time, so
# that a change is red for what it changes; `make test-all` looks for new ones.
settings.register_profile("convscope", deadline=None, derandomize=True)
settings.register_profile("searching", deadline=None)
settings.load_profile("convscope")


LONG = (  # files that take long; what takes short fills the gap at the end
    "test_docs.py", "test_serve_page.py", "test_filters.py", "test_sanity.py", "test_localisation.py", "test_receptive.py",
    "test_never_lost.py", "test_occlude_page.py", "test_projections_page.py", "test_outputs.py", "test_stream.py", "test_backward.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files come first, so that no worker is left alone with one (`--no-loadscope-reorder` keeps this order)."""
    places = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.name, len(LONG)))


def pytest_collection_finish() -> None:
    """What is imported by now stays: looking through it again and again takes a third of the time of opening a net."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.fixture(scope="session")
def lite0() -> convscope.Net:
    """The bundled network with its real weights; nets are snapshots, so that one is enough for all tests of a process."""
    return convscope.load("efficientnet-lite0")
