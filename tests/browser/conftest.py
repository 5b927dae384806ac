"""A real Chromium; the report of a tiny atlas on disk; the real demo atlas behind a real server."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

import convscope
from convscope.atlas import Atlas
from convscope.faces.report import write_report
from convscope.store.workspace import is_atlas
from tests.browser.served import Served
from tests.photos import cut_some
from tests.tiny_atlas import tiny_atlas, tiny_net

CHROMIUM = shutil.which("chromium")
expect.set_options(timeout=20_000)  # on a busy machine
HERE = ("file:", "data:", "blob:", "http://127.0.0.1:")
QUIET = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
REFUSED = "the server responded with a status of 422"  # the browser itself says so, where that is what is tested
SCREENSHOTS = Path(__file__).parents[2] / "screenshots"  # of the last run, to be looked at


@pytest.fixture(scope="session")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    return tiny_atlas(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def report(atlas: Atlas, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(
        atlas, tmp_path_factory.mktemp("report") / "report.html", net=tiny_net(), trials=2, note="A note."
    )


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An atlas of regions of real photos through the real network: one for all workers, made by the first that asks."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder = shared / "demo"
    with (shared / "demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_atlas(folder / "atlas"):
            cut_some(folder / "regions", ("astronaut", "chelsea", "coffee", "rocket"), 8)
            convscope.build(folder / "regions", "efficientnet-lite0", folder / "atlas")
    return folder / "atlas"


@pytest.fixture(scope="session")
def served(demo: Path) -> Iterator[str]:
    """The address of a server over the demo atlas."""
    with Served(demo) as server:
        yield server.address


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no chromium here: apt-get install chromium")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield found
        found.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """Pages of it fail the test if they say anything on the console, throw, or ask for anything from elsewhere."""
    found = browser.new_context(viewport={"width": 1280, "height": 900})
    found.set_default_timeout(20_000)
    complaints: list[str] = []

    def listen(page: Page) -> None:
        page.on("console", lambda message: None if REFUSED in message.text else complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: None if request.url.startswith(HERE) else complaints.append(request.url))

    found.on("page", listen)
    yield found
    found.close()
    assert not complaints


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


def screenshot(page: Page, name: str, whole: bool = False) -> None:
    """A picture of the page in screenshots/, which a person looks at."""
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=whole)
