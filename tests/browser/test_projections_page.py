"""What units send back to the pixels, in a real browser: below a unit's patches, and methods side by side on an image."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from tests.browser.conftest import screenshot
from tests.browser.served import Served
from tests.browser.test_serve_page import AXE, HEADINGS, live, visit, waits

ADDRESS = "#/unit?layer=blocks.3.0.bn1&unit=20"
DRAWN = "document.querySelector('.projected canvas[data-drawn]') && !document.querySelector('.projected .awaited')"
# how many pixels of the first projection are not mid-grey
COLOURS = """(() => {
  const canvas = document.querySelector(".projected canvas");
  const side = Math.round(112 * devicePixelRatio), top = Math.round(114 * devicePixelRatio);
  const copy = new OffscreenCanvas(side, side).getContext("2d", { willReadFrequently: true });
  copy.drawImage(canvas, 0, top, side, side, 0, 0, side, side);
  const { data } = copy.getImageData(0, 0, side, side);
  let count = 0;
  for (let at = 0; at < data.length; at += 4) count += data[at] !== 128 || data[at + 1] !== 128 || data[at + 2] !== 128 ? 1 : 0;
  return count;
})()"""


def drawn(page: Page) -> int:
    """Waits for the projections; how many pixels of the first one are not mid-grey."""
    waits(page, DRAWN)
    count: int = page.evaluate(COLOURS)
    return count


OTHER_LOOKS = (("light", 1280), ("dark", 1280), ("dark", 390))


def test_a_key_switches_them(page: Page, served: str) -> None:
    visit(page, served, ADDRESS)
    live(page)
    expect(page.locator(".strip canvas[data-drawn]").first).to_be_visible()
    plain = page.locator(".projected canvas").bounding_box()
    assert plain
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.url) if "api/projections" in one.url else None)
    seen = []
    for method, words in (
        ("deconvnet", "deconvnet"),
        ("guided_backprop", "guided backprop"),
        ("saliency", "gradient"),
    ):
        page.keyboard.press("p")
        expect(page).to_have_url(re.compile(f"projections={method}"))
        expect(page.get_by_role("button", name=words, exact=True)).to_have_attribute("aria-pressed", "true")
        expect(page.locator(".projected .caption strong")).to_have_text(words)
        box = page.locator(".projected canvas").bounding_box()
        seen.append(drawn(page))
        assert page.locator(".projected canvas").bounding_box() == box  # nothing moves when they come
        assert box
        assert box["height"] > 2 * plain["height"]
    assert min(seen[:2]) > 500
    assert len(asked) == 3
    page.keyboard.press("p")
    assert "projections" not in page.url
    expect(page.locator(".projected .caption")).to_have_count(0)
    assert page.locator(".projected canvas").bounding_box() == plain
    page.get_by_role("button", name="deconvnet", exact=True).click()
    assert drawn(page) == seen[0]
    assert len(asked) == 3  # it was known
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("sends back to the pixels")


def test_it_is_a_link_and_goes_along_with_the_unit(page: Page, context: BrowserContext, served: str) -> None:
    held: list[Route] = []
    looked: list[bool] = []

    def hold(route: Route) -> None:  # an answer is often there before one can look
        if looked:
            route.continue_()
        else:
            held.append(route)

    page.route("**/api/projections?*", hold)
    visit(page, served, f"{ADDRESS}&projections=guided_backprop")
    expect(page.locator(".projected .awaited").first).to_contain_text("…")
    looked.append(True)
    for route in held:
        route.continue_()
    first = drawn(page)
    page.keyboard.press("j")
    expect(page.locator("h1")).to_contain_text("unit 21")
    expect(page).to_have_url(re.compile("unit=21&projections=guided_backprop"))
    assert drawn(page) != first
    other = context.new_page()
    other.goto(f"{served}{ADDRESS}&projections=guided_backprop")
    assert drawn(other) == first


def test_a_saved_view_keeps_them(page: Page, context: BrowserContext, served: str, tmp_path: Path) -> None:
    visit(page, served, f"{ADDRESS}&projections=deconvnet")
    first = drawn(page)
    page.wait_for_load_state("networkidle")
    with page.expect_download() as file:
        page.get_by_role("button", name="HTML").click()
    file.value.save_as(tmp_path / "view.html")
    offline = context.new_page()
    offline.goto((tmp_path / "view.html").as_uri())
    assert drawn(offline) == first
    expect(offline.locator(".projected .caption strong")).to_have_text("deconvnet")
    expect(offline.locator(".projected").get_by_role("group")).to_have_count(0)
    offline.keyboard.press("p")  # the others are not in the file
    expect(offline.locator(".projected .caption strong")).to_have_text("deconvnet")


def test_units_that_are_stepped_over_are_not_asked_for(page: Page, served: str) -> None:
    visit(page, served, f"{ADDRESS}&projections=deconvnet")
    live(page)
    drawn(page)
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.url) if "api/projections" in one.url else None)
    for _ in range(12):
        page.keyboard.press("j")
    expect(page.locator("h1")).to_contain_text("unit 32")
    drawn(page)
    assert "unit=32" in asked[-1]
    assert len(asked) <= 9  # of 12; on a quiet machine 1 or 2


def test_a_refusal_is_said_and_stays_while_units_change(page: Page, served: str) -> None:
    words = '{"problem": "deconvnet has no rule for this", "hint": "saliency works"}'

    def refuse(route: Route) -> None:
        route.fulfill(status=422, content_type="application/json", body=words)

    page.route("**/api/projections?*method=deconvnet*", refuse)
    visit(page, served, f"{ADDRESS}&projections=deconvnet")
    live(page)
    expect(page.get_by_role("alert")).to_contain_text("has no rule for this")
    expect(page.locator(".projected .awaited")).to_have_count(0)
    page.keyboard.press("j")
    expect(page.get_by_role("alert")).to_contain_text("saliency works")
    page.get_by_role("button", name="guided backprop", exact=True).click()
    expect(page.get_by_role("alert")).to_have_count(0)
    drawn(page)


def test_without_its_network_the_reason_is_said(page: Page, demo: Path) -> None:
    with Served(demo, "--net", "resnet18", "--weights", "none") as other:
        visit(page, other.address, f"{ADDRESS}&projections=deconvnet")
        expect(page.locator(".projected")).to_contain_text("Projections need the network.", timeout=60_000)
        expect(page.get_by_role("button", name="deconvnet", exact=True)).to_be_disabled()
        expect(page.locator(".projected canvas[data-drawn]")).to_be_visible()
        page.goto("about:blank")


@pytest.mark.parametrize(
    ("scheme", "width"), [("light", 390), *(pytest.param(*one, marks=pytest.mark.heavy) for one in OTHER_LOOKS)]
)
def test_how_it_looks(browser: Browser, served: str, scheme: str, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    visit(page, served, f"{ADDRESS}&projections=deconvnet")
    live(page)
    drawn(page)
    screenshot(page, f"projections-{scheme}-{width}", whole=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run().then(({ violations }) => violations)")
    assert not [one["id"] for one in found if one["impact"] in ("serious", "critical") or one["id"] in HEADINGS]
    context.close()


LOADED = "[...document.querySelectorAll('.results img')].every((one) => one.complete && one.naturalWidth > 0)"


def test_gradient_methods_side_by_side(page: Page, context: BrowserContext, served: str) -> None:
    """One form, one target, all methods; the selected unit is offered, and what is wrong is said."""
    visit(page, served, "#/image?layer=blocks.3.0.bn1&unit=20&image=3&place=7,9&technique=gradient_methods")
    live(page)
    target = page.locator("#gradient_methods-target")
    target.fill("nowhere:3")
    target.blur()
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_role("alert").first).to_contain_text("nowhere")
    page.get_by_role("button", name="take blocks.3.0.bn1:20@7,9").click()
    expect(target).to_have_value("blocks.3.0.bn1:20@7,9")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator(".results").get_by_text("done in")).to_have_count(1, timeout=60_000)
    waits(page, LOADED)
    expect(page.locator(".results figcaption")).to_contain_text("11 rectifiers lie on the way")
    screenshot(page, "gradient-methods", whole=True)
    other = context.new_page()  # the link alone shows the same
    other.goto(page.url)
    expect(other.locator(".results figcaption")).to_contain_text("11 rectifiers lie on the way")


@pytest.mark.heavy  # the form above is made in the same way
@pytest.mark.parametrize("technique", ["saliency", "deconvnet", "guided_backprop"])
def test_each_method_runs_from_its_own_form(page: Page, served: str, technique: str) -> None:
    visit(page, served, f"#/image?layer=blocks.3.0.bn1&image=3&technique={technique}")
    live(page)
    for number, target in enumerate(("blocks.3.0.bn1:20@7,9", "5")):
        page.locator(f"#{technique}-target").fill(target)
        page.locator(f"#{technique}-target").blur()
        page.get_by_role("button", name="Run", exact=True).click()
        expect(page.locator(".results").get_by_text("done in")).to_have_count(number + 1, timeout=60_000)
    waits(page, LOADED)
    screenshot(page, f"method-{technique}", whole=True)
