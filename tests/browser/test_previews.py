"""Previews in a real browser: a technique that shows what it knows so far, while it runs."""

import threading
from collections.abc import Iterator

import pytest
import uvicorn
from playwright.sync_api import Page, expect

from convscope.atlas import Atlas
from convscope.faces.web.app import make_app
from convscope.faces.web.serve import listen
from tests.browser.conftest import screenshot
from tests.web.conftest import TECHNIQUES, opened, release, until


@pytest.fixture
def address(atlas: Atlas) -> Iterator[str]:
    """A server whose techniques have previews, in a thread."""
    release.clear()
    listening = listen("127.0.0.1", None)
    techniques = {"patient": TECHNIQUES["patient"]}
    server = uvicorn.Server(
        uvicorn.Config(
            make_app(atlas, opened(atlas), techniques=techniques), log_level="error", timeout_graceful_shutdown=1
        )
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    until(lambda: server.started)
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    release.set()
    server.should_exit = True
    thread.join()
    listening.close()


def test_a_preview_changes_while_the_technique_runs(page: Page, address: str) -> None:
    page.goto(f"{address}#/image?image=2&layer=1&technique=patient")
    page.get_by_role("button", name="Run").click()
    results = page.locator(".results")
    picture = results.locator("img").last
    expect(results).to_contain_text("This is a preview.")
    expect(picture).to_have_js_property("complete", True)
    assert picture.evaluate("({ naturalWidth }) => naturalWidth") > 0
    first = picture.get_attribute("src") or ""
    assert "preview=" in first
    expect(picture).not_to_have_attribute("src", first)
    screenshot(page, "preview")
    page.get_by_role("button", name="Stop").click()
    expect(results).to_contain_text("stopped after")
    expect(page.get_by_role("button", name="Stop")).to_have_count(0)
