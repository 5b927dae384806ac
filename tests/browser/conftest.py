"""A real Chromium, and the report of a tiny atlas on disk."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from convscope.atlas import Atlas
from convscope.faces.report import write_report
from tests.tiny_atlas import tiny_atlas

CHROMIUM = shutil.which("chromium")
LOCAL = ("file:", "data:", "blob:")
QUIET = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="session")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    return tiny_atlas(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def report(atlas: Atlas, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(atlas, tmp_path_factory.mktemp("report") / "report.html", note="A note.")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no chromium here: apt-get install chromium")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield found
        found.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that fails the test if it says anything on its console, throws, or asks for anything from elsewhere."""
    found = browser.new_page(viewport={"width": 1280, "height": 900})
    complaints: list[str] = []
    found.on("console", lambda message: complaints.append(message.text))
    found.on("pageerror", lambda error: complaints.append(str(error)))
    found.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
    found.on("request", lambda request: None if request.url.startswith(LOCAL) else complaints.append(request.url))
    yield found
    found.close()
    assert not complaints
