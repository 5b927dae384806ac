"""A server over the tiny atlas, with its live network, in this process."""

import importlib
import pkgutil
import threading
import time
from collections.abc import Callable, Iterator

import anyio._core
import pytest
import torch
from starlette.testclient import TestClient

import convscope
from convscope import registry
from convscope.atlas import Atlas
from convscope.faces.web.app import make_app
from convscope.faces.web.live import LiveNet
from convscope.models.net import Net
from convscope.technique import SILENT, Watch, checked
from convscope.techniques.activations import Activations, activations
from tests.tiny_atlas import tiny_atlas, tiny_net

# Modules that are loaded when they are first asked for are rewritten as they load, by pytest and by jaxtyping, which
# Python 3.11 does not bear in two threads at once: so all are loaded here.
for package in (anyio._core, convscope):
    for part in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not part.name.endswith("__main__"):
            importlib.import_module(part.name)

BASE = "http://127.0.0.1:8000"
release = threading.Event()


@checked
def patient(net: Net, image: object, layer: str, *, steps: int = 1000, watch: Watch = SILENT) -> Activations:
    """Waits, shows a preview, and then gives the activations."""
    found = activations(net, image, layer)
    for step in range(steps):
        watch.progress(step, steps, "steps")
        watch.preview(found)
        if release.wait(0.01):
            break
    return found


@checked
def crashing(net: Net, image: object) -> Activations:
    """Raises what nobody expects."""
    raise RuntimeError("a fault <b>inside</b>")


TECHNIQUES = {**registry.TECHNIQUES, "patient": patient, "crashing": crashing}


@pytest.fixture(scope="session")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    return tiny_atlas(tmp_path_factory.mktemp("web"))


def opened(atlas: Atlas, net: Callable[[], Net] | None = tiny_net, **options: str) -> LiveNet:
    """The network behind the page, when it is on or has failed."""
    torch.set_num_threads(1)
    live = LiveNet(atlas, net, **options)
    live.open()
    return live


def until(holds: Callable[[], object], seconds: float = 60) -> None:
    """Waits until something holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture(scope="module")
def client(atlas: Atlas) -> Iterator[TestClient]:
    release.clear()
    with TestClient(make_app(atlas, opened(atlas), note="A note.", techniques=TECHNIQUES), BASE) as found:
        yield found


@pytest.fixture(scope="module")
def alone(atlas: Atlas) -> Iterator[TestClient]:
    """The atlas without its network."""
    live = opened(atlas, None, reason="the network 'tiny' was not given", hint="--net NAME")
    with TestClient(make_app(atlas, live), BASE) as found:
        yield found
