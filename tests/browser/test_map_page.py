"""Map, grid and neighbours in a real browser, on the real demo atlas."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from convscope.atlas import open_atlas
from convscope.faces.offline import offline_page
from convscope.faces.report import record, write_report
from convscope.studies.grid import grid
from convscope.studies.mapping import map as map_images
from convscope.studies.neighbours import neighbours
from convscope.watch import SILENT
from tests.browser.conftest import HERE, screenshot
from tests.browser.test_serve_page import AXE, visit, waits

DRIVER = "GL Driver Message"  # of the browser's own graphics, which reads canvases back where there is no GPU
PATIENCE = 90_000  # ms, for t-SNE on a busy machine


@pytest.fixture
def context(browser: Browser, request: pytest.FixtureRequest) -> Iterator[BrowserContext]:
    """As for all pages; but the browser may say that reading its canvases is slow."""
    options: dict[str, Any] = getattr(request, "param", {"viewport": {"width": 1280, "height": 900}})
    found = browser.new_context(**options)
    found.set_default_timeout(20_000)
    complaints: list[str] = []

    def listen(page: Page) -> None:
        page.on("console", lambda message: None if DRIVER in message.text else complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda sent: None if sent.url.startswith(HERE) else complaints.append(sent.url))

    found.on("page", listen)
    yield found
    found.close()
    assert not complaints


def mapped(page: Page) -> None:
    """Waits for the numbers of the map, and its points."""
    expect(page.get_by_role("heading", name="How true the map is")).to_be_visible(timeout=PATIENCE)
    expect(page.locator("canvas[data-drawn='32']")).to_be_attached()


def gridded(page: Page) -> None:
    """Waits until every tile in sight is here."""
    expect(page.locator("canvas[data-tiles]")).to_be_attached(timeout=PATIENCE)
    waits(
        page,
        "(([whole, of]) => whole === of)(document.querySelector('canvas[data-tiles]').dataset.tiles.split(' at ')[0].split(' of '))",
    )


def inked(page: Page) -> int:
    """How many pixels of the points are more than half opaque."""
    found: int = page.evaluate(
        """() => {
          const dots = document.querySelector("canvas[data-drawn]");
          const copy = document.createElement("canvas");
          [copy.width, copy.height] = [dots.width, dots.height];
          const context = copy.getContext("2d");
          context.drawImage(dots, 0, 0);
          const colours = context.getImageData(0, 0, copy.width, copy.height).data;
          return colours.filter((value, at) => at % 4 === 3 && value > 128).length;
        }"""
    )
    return found


def place(page: Page, demo: Path, row: int) -> tuple[float, float]:
    """Where an image's point is on the screen while the whole map is shown."""
    positions = map_images(open_atlas(demo).store).positions
    box = page.locator(".plane").bounding_box()
    assert box is not None
    (left, low), (right, high) = positions.min(0), positions.max(0)
    width, height, margin = round(box["width"] - 2), round(box["height"] - 2), 28
    scale = min((width - 2 * margin) / (right - left), (height - 2 * margin) / (high - low))
    across = (positions[row][0] - (left + right) / 2) * scale + width / 2
    down = -(positions[row][1] - (low + high) / 2) * scale + height / 2
    return box["x"] + 1 + float(across), box["y"] + 1 + float(down)


def test_the_map_is_computed_and_drawn(page: Page, served: str, demo: Path) -> None:
    visit(page, served, "#/map")
    expect(page.locator(".facts").first).to_contain_text("1,280 numbers an image, behind a rectifier")
    mapped(page)
    found = map_images(open_atlas(demo).store)
    expect(page.locator("main")).to_contain_text(f"{100 * found.purity.codes:.1f}\u00a0%")
    expect(page.locator("main")).to_contain_text(f"{found.truth.trustworthiness:.2f}")
    waits(page, "document.querySelector('canvas[data-images]').dataset.images === '32'")
    x, y = place(page, demo, 5)
    page.mouse.move(x, y)
    expect(page.locator(".reading")).to_contain_text("labelled")
    screenshot(page, "map", whole=True)
    page.get_by_label("images where there is room").uncheck()
    assert 32 * 20 < inked(page) < 32 * 60, "discs of about 7 px"
    for by, words in (("predicted", "predicted class"), ("correct", "right or wrong"), ("probability", "probability")):
        select = page.get_by_label("Colour by")
        if by in select.locator("option").evaluate_all("options => options.map(({ value }) => value)"):
            select.select_option(by)
            expect(page.locator("aside caption")).to_have_text(words)
            assert f"colour={by}" in page.url
    page.reload()
    mapped(page)
    expect(page.get_by_label("images where there is room")).not_to_be_checked()
    page.get_by_label("Method").select_option("pca")
    expect(page.locator(".facts").first).to_contain_text("principal components", timeout=PATIENCE)
    mapped(page)


def test_a_click_goes_to_the_image(page: Page, served: str, demo: Path) -> None:
    visit(page, served, "#/map?pictures=none")
    mapped(page)
    positions = map_images(open_atlas(demo).store).positions
    away = ((positions[:, None] - positions[None]) ** 2).sum(-1)
    row = int((away + (away == 0) * 1e9).min(1).argmax())  # the loneliest
    x, y = place(page, demo, row)
    page.mouse.click(x, y)
    page.wait_for_url(re.compile(rf"#/image\?.*image={row}(&|$)"))
    page.go_back()
    mapped(page)
    plane = page.locator(".plane")
    plane.focus()
    for key in ("+", "+", "ArrowLeft", "-", "0"):
        page.keyboard.press(key)
    x, y = place(page, demo, row)  # the focus may have scrolled the page
    page.mouse.move(x, y)
    for _ in range(4):
        page.mouse.wheel(0, -300)
    page.mouse.click(x, y)  # what lies under the pointer stays there
    page.wait_for_url(re.compile(rf"image={row}(&|$)"))


def test_what_a_map_is_made_with_is_in_the_address(page: Page, served: str) -> None:
    sent: list[str | None] = []
    page.on("request", lambda asked: sent.append(asked.post_data) if asked.method == "POST" else None)
    facts, summary = page.locator(".facts").first, page.locator("summary")
    visit(page, served, "#/map")
    mapped(page)
    asked_before = len(sent)
    perplexity, seed = page.get_by_label("perplexity", exact=True), page.get_by_label("seed", exact=True)
    expect(perplexity).not_to_be_visible()
    summary.click()
    for wrong, words in (("0", "has to be at least 1"), ("many", "has to be a number")):
        perplexity.fill(wrong)
        perplexity.press("Enter")
        expect(page.locator("#map-perplexity-help")).to_have_text(words)
        expect(perplexity).to_have_attribute("aria-invalid", "true")
    assert "perplexity" not in page.url
    assert len(sent) == asked_before, "what is wrong is not sent"
    expect(facts).to_contain_text("perplexity 10.3, seed 0")
    perplexity.fill("5")
    perplexity.press("Enter")
    expect(facts).to_contain_text("perplexity 5, seed 0")
    mapped(page)
    seed.fill("3")
    seed.press("Enter")
    expect(facts).to_contain_text("perplexity 5, seed 3")
    mapped(page)
    assert [json.loads(body or "") for body in sent[asked_before:] if "perplexity" in (body or "")] == [
        {"layer": "global_pool", "method": "tsne", "perplexity": 5},
        {"layer": "global_pool", "method": "tsne", "perplexity": 5, "seed": 3},
    ]
    assert "perplexity=5&seed=3" in page.url
    screenshot(page, "map-options")
    page.reload()
    mapped(page)
    expect(facts).to_contain_text("perplexity 5, seed 3")
    summary.click()
    expect(perplexity).to_have_value("5")
    expect(seed).to_have_value("3")
    for field, default in ((perplexity, "30"), (seed, "0")):
        field.fill(default)
        field.press("Enter")
    expect(facts).to_contain_text("perplexity 10.3, seed 0")
    mapped(page)
    assert page.url.endswith("#/map")
    page.get_by_label("Method").select_option("pca")
    expect(summary).to_have_count(0)
    visit(page, served, "#/map?seed=1.5")
    expect(page.locator("#map-seed-help")).to_have_text("has to be a whole number")
    expect(page.get_by_label("seed", exact=True)).to_be_visible()
    mapped(page)


def test_a_map_begins_from_that_of_other_codes(page: Page, served: str) -> None:
    visit(page, served, "#/map")
    mapped(page)
    code = page.evaluate("fetch('api/codes').then((answer) => answer.json())")[0]
    page.route("**/api/codes", lambda route: route.fulfill(json=[code, {**code, "name": "early", "maps": []}]))
    held: list[Route] = []
    page.route("**/api/maps", lambda route: held.append(route))
    page.route(
        re.compile(r"/api/map(/positions\.bin)?\?.*begin=early"),
        lambda route: route.continue_(url=route.request.url.replace("&begin=early", "")),
    )
    page.reload()
    mapped(page)
    page.locator("summary").click()
    with page.expect_request("**/api/maps"):
        page.get_by_label("begin from", exact=True).select_option("early")
    expect(page.locator(".facts").first).to_contain_text("begun with the map of early")
    assert page.url.endswith("begin=early")
    assert len(held) == 1
    body = held[0].request.post_data_json
    assert body == {"layer": "global_pool", "method": "tsne", "begin": "early"}
    held[0].continue_(post_data=json.dumps({**body, "begin": None}))  # of which the server has a map
    mapped(page)
    page.get_by_label("begin from", exact=True).select_option(label="principal components")
    expect(page.locator(".facts").first).not_to_contain_text("begun")
    assert page.url.endswith("#/map")


def test_images_are_seen_while_a_map_forms(page: Page, served: str) -> None:
    """Its numbers are held back: what is drawn until then is what its job shows."""
    held: list[Route] = []
    numbers = re.compile(r"/api/map\?.*seed=11")
    page.route(numbers, lambda route: held.append(route))
    with page.expect_request(numbers, timeout=PATIENCE):  # asked for when the job is done
        visit(page, served, "#/map?seed=11")
    waits(page, "document.querySelector('canvas[data-images]')?.dataset.images === '32'")
    expect(page.get_by_role("heading", name="How true the map is")).to_have_count(0)
    expect(page.locator(".facts").first).to_contain_text("seed 11")
    screenshot(page, "map-forming")
    assert len(held) == 1
    held[0].continue_()
    mapped(page)
    waits(page, "document.querySelector('canvas[data-images]').dataset.images === '32'")


def test_an_entry_of_the_legend_selects_its_images(page: Page, served: str, demo: Path) -> None:
    visit(page, served, "#/map?colour=label")
    mapped(page)
    labels = open_atlas(demo).images["label"].to_pylist()
    entry = page.locator("aside").get_by_role("button", name="coffee")
    other = page.locator("aside").get_by_role("button", name="rocket")
    expect(entry).to_have_attribute("aria-pressed", "false")
    entry.click()
    expect(entry).to_have_attribute("aria-pressed", "true")
    link = page.get_by_role("link", name=re.compile(r"\d+ images? of 32 selected"))
    expect(link).to_have_text(f"{labels.count('coffee')} images of 32 selected")
    screenshot(page, "map-legend")
    other.focus()
    page.keyboard.press("Enter")
    expect(other).to_have_attribute("aria-pressed", "true")
    expect(entry).to_have_attribute("aria-pressed", "false")
    page.reload()
    expect(other).to_have_attribute("aria-pressed", "true")
    link.click()
    expect(page.locator("main ul li a")).to_have_count(labels.count("rocket"))
    hrefs = page.locator("main ul li a").evaluate_all(
        "links => links.map(({ hash }) => Number(/image=(\\d+)/.exec(hash)[1]))"
    )
    assert hrefs == [row for row, label in enumerate(labels) if label == "rocket"]
    page.go_back()
    other.focus()
    page.keyboard.press("Space")
    expect(other).to_have_attribute("aria-pressed", "false")
    expect(link).to_have_count(0)
    assert "picked" not in page.url


def test_points_are_drawn_without_webgl(page: Page, served: str) -> None:
    page.add_init_script(
        """const get = HTMLCanvasElement.prototype.getContext;
        HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
          return kind.startsWith("webgl") ? null : get.call(this, kind, ...rest);
        };"""
    )
    visit(page, served, "#/map?pictures=none")
    mapped(page)
    whole = inked(page)
    assert 32 * 20 < whole < 32 * 60, "squares of about 7 px"
    screenshot(page, "map-without-webgl")
    page.locator("aside tbody button").first.click()
    expect(page.locator("aside tbody button").first).to_have_attribute("aria-pressed", "true")
    assert 0 < inked(page) < whole, "the others are dimmed"


def test_a_lasso_selects_what_other_views_follow(page: Page, served: str, demo: Path) -> None:
    visit(page, served, "#/map?pictures=none")
    mapped(page)
    box = page.locator(".plane").bounding_box()
    assert box is not None
    page.get_by_role("button", name="Select with a lasso").click()
    middle = box["x"] + box["width"] / 2
    corners = [(box["x"] + 3, box["y"] + 3), (middle, box["y"] + 3), (middle, box["y"] + box["height"] - 3), (box["x"] + 3, box["y"] + box["height"] - 3)]  # fmt: skip
    page.mouse.move(*corners[0])
    page.mouse.down()
    for x, y in corners[1:]:
        page.mouse.move(x, y, steps=8)
    page.mouse.up()
    positions = map_images(open_atlas(demo).store).positions
    centre = (positions[:, 0].min() + positions[:, 0].max()) / 2
    chosen = [row for row in range(32) if positions[row, 0] < centre]
    link = page.get_by_role("link", name=re.compile(r"\d+ images? of 32 selected"))
    expect(link).to_have_text(f"{len(chosen)} images of 32 selected")
    screenshot(page, "map-lasso")
    link.click()
    expect(page.locator("h1")).to_have_text("Images")
    expect(page.locator("main ul li a")).to_have_count(len(chosen))
    hrefs = page.locator("main ul li a").evaluate_all(
        "links => links.map(({ hash }) => Number(/image=(\\d+)/.exec(hash)[1]))"
    )
    assert hrefs == chosen
    page.reload()
    expect(page.locator("main ul li a")).to_have_count(len(chosen))
    page.get_by_role("link", name="Map", exact=True).click()
    expect(link).to_be_visible()
    page.keyboard.press("Escape")
    expect(link).to_have_count(0)
    page.keyboard.press("a")
    expect(page.locator("main ul li a")).to_have_count(32)


def test_the_grid(page: Page, served: str, demo: Path) -> None:
    visit(page, served, "#/grid")
    gridded(page)
    screenshot(page, "grid", whole=True)
    found = grid(open_atlas(demo).store)
    box = page.locator(".plane").bounding_box()
    assert box is not None
    expect(page.locator("main")).to_contain_text(f"32 images in {found.rows} × {found.columns} cells")
    side = min((box["width"] - 2 - 16) / found.columns, (box["height"] - 2 - 16) / found.rows)
    row, column = (int(one) for one in found.cells[7])
    x = box["x"] + box["width"] / 2 + (column + 0.5 - found.columns / 2) * side
    y = box["y"] + box["height"] / 2 + (row + 0.5 - found.rows / 2) * side
    page.mouse.move(x, y)
    name = str(open_atlas(demo).images["uri"][7].as_py()).rsplit("/", 1)[-1]
    expect(page.locator(".reading")).to_contain_text(name)
    for _ in range(9):
        page.mouse.wheel(0, -300)
    gridded(page)
    assert (page.locator("canvas[data-tiles]").get_attribute("data-tiles") or "").endswith("at 8")
    screenshot(page, "grid-near")
    page.mouse.click(x, y)
    page.wait_for_url(re.compile(r"image=7(&|$)"))
    page.go_back()
    page.get_by_label("Placed").select_option("exact")
    gridded(page)
    expect(page.locator(".facts").first).to_contain_text("unless its cell is taken")


def test_neighbours_are_links(page: Page, served: str, demo: Path) -> None:
    visit(page, served, "#/image?image=3")
    section = page.get_by_role("region", name="Neighbours")
    expect(section.locator("li a")).to_have_count(18)
    found = neighbours(open_atlas(demo).store, 3)
    hrefs = section.locator("li a").evaluate_all(
        "links => links.map(({ hash }) => Number(/image=(\\d+)/.exec(hash)[1]))"
    )
    assert hrefs == [*found.rows.tolist(), *found.pixel_rows.tolist()]
    expect(section.locator("li").first).to_contain_text(f"{found.distances[0]:.3g}"[:3])
    section.scroll_into_view_if_needed()
    screenshot(page, "neighbours")
    section.locator("li a").first.click()
    page.wait_for_url(re.compile(rf"image={found.rows[0]}(&|$)"))
    expect(section.locator("li a")).to_have_count(18)


@pytest.mark.parametrize(
    "context",
    [
        {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark", "bypass_csp": True},
        {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light", "bypass_csp": True},
    ],
    indirect=True,
    ids=["phone", "desk"],
)
def test_everybody_can_use_them(page: Page, served: str, request: pytest.FixtureRequest) -> None:
    name = request.node.callspec.id
    for view, ready in (("map", mapped), ("grid", gridded)):
        visit(page, served, f"#/{view}")
        ready(page)
        page.wait_for_timeout(500)
        screenshot(page, f"{view}-{name}", whole=True)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.add_script_tag(path=str(AXE))
        found = page.evaluate("async () => (await axe.run()).violations.map(({ id, impact }) => `${impact} ${id}`)")
        assert not [one for one in found if one.startswith(("serious", "critical"))]
        page.keyboard.press("Escape")
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.classList.contains('plane')"):
                break
        else:
            raise AssertionError("no key leads to the plane")


def test_a_report_has_the_map_and_the_grid(page: Page, served: str, demo: Path, tmp_path: Path) -> None:
    atlas = open_atlas(demo)
    map_images(atlas.store)
    page.goto(f"{write_report(atlas, tmp_path / 'report.html').as_uri()}#/map")
    mapped(page)
    page.keyboard.press("r")
    gridded(page)
    expect(page.locator("main")).to_contain_text("32 images in")
    page.keyboard.press("m")
    expect(page.locator("summary")).to_have_count(0)
    page.keyboard.press("i")
    section = page.get_by_role("region", name="Neighbours")
    expect(section.locator("li a")).to_have_count(18)
    expect(section).not_to_contain_text("in this file")
    found = neighbours(atlas.store, 0)
    section.locator("li a").first.click()
    page.wait_for_url(re.compile(rf"image={found.rows[0]}(&|$)"))
    section.scroll_into_view_if_needed()
    screenshot(page, "report-neighbours")


def test_a_report_of_some_images_says_which_neighbours_it_lacks(page: Page, demo: Path, tmp_path: Path) -> None:
    atlas = open_atlas(demo)
    map_images(atlas.store)
    recorded = record(atlas, "", 1500, SILENT, None, 0)
    found = neighbours(atlas.store, 0)
    here = {0, *found.rows[:4].tolist()}
    recorded.answers["api/images"] = [one for one in recorded.answers["api/images"] if one["row"] in here]
    (tmp_path / "report.html").write_text(offline_page("some", recorded), "utf-8")
    page.goto(f"{(tmp_path / 'report.html').as_uri()}#/image?image=0")
    section = page.get_by_role("region", name="Neighbours")
    by_code, by_pixels = (section.locator("ol").nth(at).locator("li") for at in range(2))
    expect(by_code).to_have_count(4)
    expect(by_code.first).to_contain_text(f"{found.distances[0]:.3g}"[:3])
    expect(section).to_contain_text("; 4 of these 9 are in this file")
    expect(by_pixels).to_have_count(len(here & set(found.pixel_rows.tolist())))
    screenshot(page, "report-some-neighbours", whole=True)


def test_a_saved_map_opens_without_a_server(page: Page, served: str, tmp_path: Path) -> None:
    for view, ready in (("map?seed=11", mapped), ("grid", gridded)):
        visit(page, served, f"#/{view}")
        ready(page)
        with page.expect_download() as download:
            page.get_by_role("button", name="HTML").click()
        saved = tmp_path / f"{view[:4]}.html"
        download.value.save_as(saved)
        page.goto(saved.as_uri())
        ready(page)
        if view.startswith("map"):
            expect(page.locator(".facts").first).to_contain_text("seed 11")
            expect(page.locator("summary")).to_have_count(0)
