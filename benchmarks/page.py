"""What the page costs on a large atlas: how soon it is there, what the server keeps, and the maps of an image."""

import argparse
import gzip
import http.client
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import quote, urlsplit

import numpy as np
import torch
from playwright.sync_api import Browser, Page, sync_playwright

import convscope
from benchmarks.enlarging import enlarged, photos_atlas
from convscope.faces.offline import path_part
from convscope.faces.web.app import BUILT
from convscope.models.prepared import to_pixels
from convscope.store.opened import AtlasStore
from tests.browser.conftest import CHROMIUM, QUIET
from tests.browser.served import Served

NET = "torchvision:resnet50"
IMAGES = 50_000
VISITS = 12  # layers, and as many units
PAUSE = 500  # ms between two visits
REQUESTS = 300  # pages after the visits, and as many again
PAINT, VISIT, GROWTH, SCRIPT = 1000, 300, 0.02, 500_000  # bars: ms, ms, a share, bytes
FORWARD, MORE = 1.2, 50  # the bar of maps: so many bare forwards, and so many ms
DRAWN = """
  const seen = (names) => [...document.querySelectorAll(names)].filter((element) => {
    const { top, bottom, width } = element.getBoundingClientRect();
    return width > 0 && top < innerHeight && bottom > 0;
  });
  const painted = (names) => {
    const found = seen(names);
    return found.length > 0 && found.every(({ dataset }) => "drawn" in dataset);
  };
  const ready = {
    net: () => seen("svg[aria-label^='The network from'] .front").length > 1,
    layer: () => painted(".wall canvas") && seen("main img").every(({ complete }) => complete),
    unit: () => painted("section[aria-label='patches'] canvas"),
  };
  // ms from `start` to the first of two frames in which a view is ready
  window.drawn = (view, start) => new Promise((done) => {
    let first = 0;
    const look = () => {
      const now = performance.now();
      if (!ready[view]()) first = 0;
      else if (first) return done(first - start);
      else first = now;
      requestAnimationFrame(look);
    };
    look();
  });
"""
GO = "([view, address]) => { const start = performance.now(); location.hash = address; return drawn(view, start); }"


class Client:
    """Requests to the server, each over a connection of its own: the server ends idle ones."""

    def __init__(self, address: str) -> None:
        self.connection = http.client.HTTPConnection(urlsplit(address).netloc)

    def get(self, path: str) -> bytes:
        """The body of an answer; RuntimeError where it is a refusal."""
        self.connection.request("GET", f"/api/{path}")
        answer = self.connection.getresponse()
        content = answer.read()
        self.connection.close()
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {content[:200]!r}")
        return content

    def wait_for_net(self) -> None:
        """Until the live network is on."""
        while b'"on"' not in (said := self.get("live")):
            if b'"off"' in said:
                raise RuntimeError(said.decode())
            time.sleep(0.2)


def settle(server: Served) -> None:
    """Waits until the server has prepared its answers: for a second it takes less than a tenth of a processor."""

    def seconds() -> float:
        fields = Path(f"/proc/{server.process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")

    before = -1.0
    while seconds() - before > 0.1:
        before = seconds()
        time.sleep(1)


def milliseconds(function: Callable[[], object]) -> float:
    """The time of one call."""
    start = time.perf_counter()
    function()
    return 1e3 * (time.perf_counter() - start)


def resident(server: Served) -> float:
    """The server's resident memory, MB."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def spread(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Layers evenly spaced through the depth, for layer pages and for unit pages; none is in both."""
    places = np.linspace(0, len(names) - 1, 2 * VISITS).round().astype(int).tolist()
    return [names[place] for place in places[::2]], [names[place] for place in places[1::2]]


def line(figure: str, measured: str, bar: str = "", reached: bool | None = None) -> None:
    """One line of the table."""
    print(f"| {figure} | {measured} | {bar} | {'' if reached is None else 'yes' if reached else 'NO'} |", flush=True)


def summary(times: Mapping[str, float]) -> str:
    """The median, and the worst with its name."""
    worst = max(times, key=lambda name: times[name])
    return f"median {statistics.median(times.values()):.0f} ms, worst {times[worst]:.0f} ms ({worst})"


@contextmanager
def fresh_page(browser: Browser) -> Iterator[Page]:
    """A page of a browser that has seen nothing yet."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.add_init_script(DRAWN)
    yield context.new_page()
    context.close()


def look(browser: Browser, address: str, store: AtlasStore) -> None:
    """First paint, then layers and units in turns, each for the first time in its browser."""
    paints, layers, units = {}, {}, {}
    for number in range(5):
        with fresh_page(browser) as page:
            page.goto(address)
            paints[f"number {number + 1}"] = page.evaluate("drawn('net', 0)")
    line("first useful paint, the graph of the net", summary(paints), f"< {PAINT} ms", max(paints.values()) < PAINT)
    dice = random.Random(0)
    with fresh_page(browser) as page:
        page.goto(address)
        page.wait_for_load_state("networkidle")
        for layer, other in zip(*spread(list(store.followed)), strict=True):
            unit = dice.randrange(store.followed[other][1])
            layers[layer] = page.evaluate(GO, ["layer", f"#/layer?layer={quote(layer)}"])
            page.wait_for_timeout(PAUSE)
            units[f"{other}:{unit}"] = page.evaluate(GO, ["unit", f"#/unit?layer={quote(other)}&unit={unit}"])
            page.wait_for_timeout(PAUSE)
    for view, times in (("layer", layers), ("unit", units)):
        line(f"any {view} page: {len(times)}", summary(times), f"< {VISIT} ms", max(times.values()) < VISIT)


def ask(client: Client, store: AtlasStore, dice: random.Random, count: int) -> None:
    """What pages of random layers and units ask for: the layer, its arrays and the pictures of a unit."""
    for _ in range(count):
        layer = dice.choice(list(store.followed))
        start, units = store.followed[layer]
        name = path_part(layer)
        client.get(f"layers/{name}")
        client.get(f"layers/{name}/units.bin")
        client.get(f"layers/{name}/histograms.bin")
        for row in store.array("strongest/rows")[start + dice.randrange(units)].tolist():
            if row >= 0:
                client.get(f"images/{row}/picture")


def maps(client: Client, net: convscope.Net, store: AtlasStore) -> None:
    """Activations of an image at early, middle and the last layers, in turns with the bare forward."""
    names = list(store.followed)
    middle = len(names) // 2
    for depth, chosen in {"early": names[:5], "middle": names[middle : middle + 5], "last": names[-5:]}.items():
        times: dict[str, list[tuple[float, float]]] = {"first": [], "repeated": []}
        for row, name in enumerate(chosen):
            asking = partial(client.get, f"maps?image={row}&layer={quote(name, safe='')}")
            bare = partial(net.scores, to_pixels(store.pixels(row)[None]))
            for turn in range(4):
                before, asked, after = (milliseconds(function) for function in (bare, asking, bare))
                times["repeated" if turn else "first"].append((asked, (before + after) / 2))
        for when, pairs in times.items():
            ours, forward = (statistics.median(column) for column in zip(*pairs, strict=True))
            bar = FORWARD * forward + MORE
            words = f"median {ours:.0f} ms, forward {forward:.0f} ms"
            line(f"maps of {depth} layers, {when} request", words, f"≤ {bar:.0f} ms", ours <= bar)


def measure(folder: Path, count: int) -> None:
    """Prints the table."""
    start = time.perf_counter()
    atlas = enlarged(photos_atlas(folder, NET), folder, count)
    seconds, store, weights = time.perf_counter() - start, AtlasStore(atlas), folder / "weights.pth"
    size = sum(path.stat().st_size for path in atlas.rglob("*") if path.is_file()) / 1e9
    print(f"{count:,} images, {len(store.followed)} layers of {NET}: {size:.1f} GB, made in {seconds:.0f} s")
    print("| figure | measured | bar | reached |\n|---|---|---|---|")
    net = convscope.load(NET, weights=weights)
    with Served(atlas, "--net", NET, "--weights", weights) as server, sync_playwright() as playwright:
        client, memory = Client(server.address), []
        line("the atlas at a glance, a server's first answer", f"{milliseconds(lambda: client.get('atlas')):.0f} ms")
        client.wait_for_net()
        settle(server)
        memory.append(resident(server))
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        look(browser, server.address, store)
        browser.close()
        memory.append(resident(server))
        dice = random.Random(1)
        for _ in range(2):
            ask(client, store, dice, REQUESTS)
            memory.append(resident(server))
        words = " → ".join(f"{megabytes:.0f}" for megabytes in memory)
        figure = f"the server's memory: started, after the visits, after {REQUESTS} random pages, and {REQUESTS} more"
        line(figure, f"{words} MB", f"at last ≤ {GROWTH:+.0%}", memory[3] <= memory[2] * (1 + GROWTH))
        with torch.no_grad():
            maps(client, net, store)
    script = b"".join(path.read_bytes() for path in sorted((BUILT / "assets").glob("*.js")))
    packed = len(gzip.compress(script))
    line("JavaScript, gzip", f"{packed / 1e3:.0f} kB", f"< {SCRIPT // 1000} kB", packed < SCRIPT)


def showing(count: int = IMAGES, keep: Path | None = None) -> None:
    """The whole measurement, in a folder that is kept, or in one that is removed."""
    with tempfile.TemporaryDirectory() as folder:
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
        measure(keep or Path(folder), count)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--keep", type=Path, help="a folder for the atlases, which another run takes as they are")
    options = parser.parse_args()
    torch.set_num_threads(1)
    showing(options.images, options.keep)
