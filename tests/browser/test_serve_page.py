"""`convscope serve` in a real browser, on the real demo atlas, as a user works with it."""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from convscope.atlas import Atlas, open_atlas
from tests.browser.conftest import screenshot
from tests.browser.served import Served
from tests.tiny_atlas import HOSTILE_FILE, HOSTILE_LABEL

AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
PHOTO = Path(__file__).parents[2] / "docs" / "pictures" / "page-layer.jpg"
LAYER, UNIT = "blocks.2.0.bn1", 20
HEADINGS = ("heading-order", "page-has-heading-one", "empty-heading")
IMAGE = f"#/image?layer={LAYER}&image=3"


def visit(page: Page, served: str, address: str = "") -> None:
    page.goto(f"{served}{address}")
    expect(page.locator("main h1, main h2").first).to_be_visible()


def waits(page: Page, expression: str) -> None:
    """Waits until something holds on the page (wait_for_function would need eval, which its policy forbids)."""
    for _ in range(200):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(expression)


def live(page: Page) -> None:
    """Waits for the network."""
    expect(page.locator("header")).to_contain_text("live on cpu", timeout=60_000)


def unfold(page: Page, technique: str) -> None:
    """Opens a technique's form; what loads above may push the button away from under a click."""
    button = page.get_by_role("button", name=technique, exact=True)
    for _ in range(5):
        if button.get_attribute("aria-expanded") == "true":
            return
        button.click()
        page.wait_for_timeout(100)
    expect(button).to_have_attribute("aria-expanded", "true")


def test_from_the_net_down_to_one_pixel_and_back(page: Page, served: str, demo: Path) -> None:
    visit(page, served)
    expect(page.locator("h1")).to_have_text("efficientnet-lite0")
    expect(page.locator(".facts").first).to_contain_text("32 images")
    screenshot(page, "net", whole=True)
    page.get_by_role("link", name=LAYER, exact=True).first.click()
    expect(page.locator("h1")).to_have_text(LAYER)
    expect(page.locator(".wall canvas[data-drawn]").nth(10)).to_be_attached()
    screenshot(page, "layer", whole=True)
    page.locator(".wall a").nth(UNIT).click()
    expect(page.locator("h1")).to_have_text(f"{LAYER}, unit {UNIT}")
    best = open_atlas(demo).exemplars(f"{LAYER}:{UNIT}")[0]
    expect(page.locator(".facts")).to_contain_text(f"greatest activation {best.value:.2f}")
    expect(page.locator(".strip canvas[data-drawn]").first).to_be_visible()
    live(page)
    expect(page.get_by_text("Weights that feed it.")).to_be_visible()
    screenshot(page, "unit", whole=True)
    page.locator(".strip a").first.click()
    assert f"image={best.row}" in page.url
    assert f"place={best.place.row},{best.place.column}" in page.url
    shown = f"unit {UNIT} · row {best.place.row}, column {best.place.column} · {best.value:.2f}"
    expect(page.locator("main")).to_contain_text(shown)
    box = page.locator(".picture svg rect, .picture canvas").first
    expect(box).to_be_attached()
    screenshot(page, "image", whole=True)
    for expected in (f"{LAYER}, unit {UNIT}", LAYER, "efficientnet-lite0"):
        page.go_back()
        expect(page.locator("h1")).to_have_text(expected)
    page.go_forward()
    expect(page.locator("h1")).to_have_text(LAYER)


def test_every_state_is_a_link(page: Page, context: BrowserContext, served: str) -> None:
    visit(page, served, f"#/layer?layer={LAYER}")
    page.get_by_label("Sort by").select_option("maximum")
    page.get_by_label("Show").select_option("live")
    page.locator(".wall a").first.wait_for()
    names = page.locator(".wall a").evaluate_all("links => links.slice(0, 8).map(({ href }) => href)")
    address = page.url
    page.reload()
    expect(page.get_by_label("Sort by")).to_have_value("maximum")
    expect(page.locator(".wall a").first).to_be_attached()
    assert page.locator(".wall a").evaluate_all("links => links.slice(0, 8).map(({ href }) => href)") == names
    other = context.new_page()
    other.goto(address)
    expect(other.get_by_label("Show")).to_have_value("live")
    page.goto(f"{served}#/image?layer={LAYER}&unit={UNIT}&image=3&place=20,25")
    live(page)
    expect(page.locator("main")).to_contain_text(f"unit {UNIT} · row 20, column 25")
    page.reload()
    expect(page.locator("main")).to_contain_text(f"unit {UNIT} · row 20, column 25")


def test_an_image_of_ones_own(page: Page, served: str) -> None:
    visit(page, served, IMAGE)
    live(page)
    page.get_by_label("Your own image").set_input_files(PHOTO)
    page.wait_for_url(re.compile("image=upload-"))
    expect(page.locator("aside")).to_contain_text("page-layer.jpg")
    expect(page.locator("aside table tr")).to_have_count(5)
    content = (PHOTO.parent / "classes.jpg").read_bytes()
    page.evaluate(
        """(bytes) => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([new Uint8Array(bytes)], "dropped <b>.jpg", { type: "image/jpeg" }));
          for (const type of ["dragenter", "dragover", "drop"]) window.dispatchEvent(new DragEvent(type, { dataTransfer: transfer, bubbles: true, cancelable: true }));
        }""",
        list(content),
    )
    expect(page.locator("aside")).to_contain_text("dropped <b>.jpg")
    expect(page.get_by_text("Let go to see it")).not_to_be_visible()
    visit(page, served, IMAGE)
    page.get_by_label("Your own image").set_input_files(
        {"name": "no.png", "mimeType": "image/png", "buffer": b"no picture"}
    )
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.locator("aside table tr")).to_have_count(5)
    page.get_by_role("link", name="after", exact=True).click()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_technique_with_progress_and_stop(page: Page, served: str) -> None:
    visit(page, served, "#/image?layer=blocks.6.0.bn2&image=3")
    live(page)
    unfold(page, "filters")
    page.get_by_label("shuffles").fill("9999")
    page.get_by_label("shuffles").blur()
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_role("progressbar")).to_be_visible()
    expect(page.locator(".results")).to_contain_text(re.compile(r"[1-9][\d,]* of [\d,]+ draws"))
    screenshot(page, "running")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".results")).to_contain_text("stopped")
    page.get_by_role("button", name="Remove").click()
    expect(page.locator(".results")).to_have_count(0)


def test_results_stand_side_by_side_and_stay(page: Page, context: BrowserContext, served: str) -> None:
    visit(page, served, IMAGE)
    live(page)
    unfold(page, "activations")
    for image in ("3", "20"):
        page.goto(re.sub(r"image=\d+", f"image={image}", page.url))
        page.get_by_role("button", name="Run").click()
        expect(page.locator(".results header")).to_have_count(1 if image == "3" else 2)
    expect(page.locator(".results img")).to_have_count(4)
    expect(page.get_by_label("shared scale")).to_be_checked()
    pictures = page.locator(".results img").evaluate_all("images => images.map(({ src }) => src)")
    assert sum("low=" in src for src in pictures) == 2  # the two of maps
    loaded = "[...document.querySelectorAll('.results img')].every((one) => one.complete && one.naturalWidth > 0)"
    waits(page, loaded)
    page.locator(".results").scroll_into_view_if_needed()
    screenshot(page, "results", whole=True)
    page.get_by_label("shared scale").uncheck()
    expect(page.locator(".results img[src*='low=']")).to_have_count(0)
    other = context.new_page()  # the link alone shows the same
    other.goto(page.url)
    expect(other.locator(".results img")).to_have_count(4)
    expect(other.get_by_label("shared scale")).not_to_be_checked()


def test_many_jobs_share_one_stream(page: Page, context: BrowserContext, served: str) -> None:
    """Browsers have six connections a host: with one stream a job, neither Stop nor another tab would get through."""
    visit(page, served, "#/image?layer=blocks.6.0.bn2&image=3")
    live(page)
    body = {"layer": "blocks.6.0.bn2", "shuffles": 9999}
    jobs = [
        page.request.post(f"{served}api/run/filters", data={**body, "seed": seed}).json()["id"] for seed in range(7)
    ]
    page.goto(f"{page.url}&jobs={','.join(jobs)}")
    expect(page.locator(".results header")).to_have_count(7)
    expect(page.locator(".results")).to_contain_text(re.compile(r"[1-9][\d,]* of [\d,]+ draws"))
    loaded = "[...document.querySelectorAll('.results img')].every((one) => one.complete && one.naturalWidth > 0)"
    waits(page, loaded)
    page.locator(".results").scroll_into_view_if_needed()
    screenshot(page, "many-running")
    other = context.new_page()
    other.goto(page.url)
    expect(other.locator(".results header")).to_have_count(7)
    page.bring_to_front()
    for left in range(6, -1, -1):
        page.get_by_role("button", name="Stop").last.click()
        expect(page.get_by_role("button", name="Stop")).to_have_count(left)
    expect(other.get_by_text("stopped")).to_have_count(7)


def test_results_wrap_and_enlarge(page: Page, served: str) -> None:
    visit(page, served, f"{IMAGE}&technique=activations&activations.units=0-3")
    live(page)
    for image in range(4):
        page.goto(re.sub(r"image=\d+", f"image={image}", page.url))
        page.get_by_role("button", name="Run").click()
        expect(page.locator(".results header")).to_have_count(image + 1)
    expect(page.locator(".results .grid")).to_have_count(2)
    expect(page.locator(".results img")).to_have_count(8)
    screenshot(page, "results-wrapped", whole=True)
    page.get_by_role("button", name="Enlarge").nth(3).click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator(".caption")).to_contain_text("Black is 0")
    screenshot(page, "results-enlarged")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    page.set_viewport_size({"width": 390, "height": 844})
    expect(page.locator(".results .grid")).to_have_count(4)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_forms_say_what_is_wrong_where_it_is(page: Page, served: str) -> None:
    visit(page, served, IMAGE)
    live(page)
    unfold(page, "activations")
    units = page.get_by_label("units")
    for typed, words in (("0-9999", "9999 has to be at most"), ("x", "x is no number")):
        units.fill(typed)
        units.blur()
        expect(page.locator("#activations-units-help")).to_contain_text(words)
    units.fill("0-2, 5")
    units.blur()
    page.get_by_role("button", name="Run").click()
    expect(page.locator(".results header")).to_contain_text("units = [0, 1, 2, 5]")


def test_wrong_addresses_are_said(page: Page, served: str) -> None:
    visit(page, served, f"#/image?layer={LAYER}&image=003&unit=900")
    expect(page).to_have_url(re.compile("image=3$"))
    expect(page.locator(".reading")).to_contain_text(re.compile(r"has \d+ units, so 900 is none"))
    page.goto(f"{served}#/image?layer={LAYER}&image=3&unit=1&place=900,0")
    expect(page.locator(".reading")).to_contain_text("so 900,0 is none")
    page.goto(f"{served}#/images?page=99")
    expect(page.get_by_text("1 – 32 of 32 images")).to_be_visible()
    assert "page" not in page.url
    name = page.locator("main li .name").nth(4).inner_text().replace("\n", "")
    page.get_by_label("Name").press_sequentially(name)
    expect(page.locator("main li")).to_have_count(1)
    assert "search=" in page.url


def test_an_image_that_is_none_is_said(browser: Browser, served: str) -> None:
    page = browser.new_page()  # its console tells of the 404
    visit(page, served)
    live(page)
    visit(page, served, f"#/image?layer={LAYER}&image=99")
    expect(page.locator("h1")).to_have_text("Image 99")
    expect(page.get_by_role("alert")).to_contain_text("there is no image '99'")
    page.close()


def test_only_the_keyboard_is_told_what_is_read(page: Page, served: str) -> None:
    visit(page, served, IMAGE)
    live(page)
    maps = page.get_by_role("application")
    expect(page.locator("output")).to_be_visible()
    maps.hover(position={"x": 30, "y": 30})
    expect(page.locator(".reading")).to_contain_text("row ")
    expect(page.locator("main .heard")).to_have_text("")
    maps.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("main .heard")).to_contain_text("unit 0")


def test_touch_finds_what_it_points_at(browser: Browser, served: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    for address in (IMAGE, "#/images"):
        visit(page, served, address)
        page.wait_for_load_state("networkidle")
        small = page.locator("main :is(a, button, select, input):visible").evaluate_all(
            """(found) => found.map((one) => [one.outerHTML.slice(0, 120), one.getBoundingClientRect().height])
                               .filter(([, height]) => height < 24)"""
        )
        assert not small
        screenshot(page, f"touch-{address[2:8]}".strip("?"), whole=True)
    context.close()


def test_with_the_keyboard_alone(page: Page, served: str) -> None:
    visit(page, served)
    page.keyboard.press("l")
    expect(page.locator(".wall a").first).to_be_visible()
    first = page.locator("h1").inner_text()
    page.keyboard.press("]")
    expect(page.locator("h1")).not_to_have_text(first)
    page.keyboard.press("[")
    expect(page.locator("h1")).to_have_text(first)
    for _ in range(3):
        page.keyboard.press("j")
    expect(page.locator(".wall a").nth(2)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text(f"{first}, unit 2")
    page.keyboard.press("j")
    expect(page.locator("h1")).to_have_text(f"{first}, unit 3")
    page.keyboard.press("i")
    expect(page.locator("aside")).to_be_visible()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("the image after")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).not_to_be_visible()
    page.keyboard.press("n")
    expect(page.locator("h1")).to_have_text("efficientnet-lite0")


def test_back_leads_to_where_one_was(page: Page, served: str) -> None:
    visit(page, served, "#/layer?layer=blocks.5.0.bn1")
    expect(page.locator(".wall canvas[data-drawn]").first).to_be_attached()
    page.evaluate("scrollTo(0, 4000)")
    tile = page.locator(".wall a").nth(30)
    tile.click()
    expect(page.locator("h1")).to_contain_text("blocks.5.0.bn1, unit")
    address = page.url.split("/", 3)[3]
    assert page.evaluate("scrollY") == 0
    page.go_back()
    expect(page.locator("h1")).to_have_text("blocks.5.0.bn1")
    waits(page, "Math.abs(scrollY - 4000) < 2")
    expect(page.locator(".wall a.current")).to_have_attribute("href", address)


def test_keys_leave_links_and_dialogs_alone(page: Page, served: str) -> None:
    visit(page, served, f"#/unit?layer={LAYER}&unit={UNIT}")
    expect(page.locator(".strip canvas[data-drawn]").first).to_be_visible()
    page.get_by_role("link", name=f"unit {UNIT + 1} →").focus()
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text(f"{LAYER}, unit {UNIT + 1}")
    page.keyboard.press("?")
    page.keyboard.press("n")
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(page.locator("h1")).to_have_text(f"{LAYER}, unit {UNIT + 1}")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).not_to_be_visible()


def test_numbers_of_another_layer_are_never_shown(page: Page, served: str) -> None:
    visit(page, served, f"#/unit?layer={LAYER}&unit={UNIT}")
    expect(page.locator(".facts")).to_be_visible()
    held: list[Route] = []
    page.route(re.compile("units.bin"), lambda route: held.append(route))
    page.evaluate("location.hash = '#/unit?layer=blocks.6.0.bn2&unit=20'")
    expect(page.locator("h1")).to_have_text("blocks.6.0.bn2, unit 20")
    while not held:
        page.wait_for_timeout(20)
    expect(page.locator(".facts")).to_have_count(0)
    for route in held:
        route.continue_()
    expect(page.locator(".facts")).to_be_visible()
    page.unroute_all()


def test_the_game(page: Page, served: str) -> None:
    visit(page, served, f"#/unit?layer={LAYER}&unit={UNIT}")
    page.get_by_text("Could you tell them apart?").click()
    expect(page.locator("main h2")).to_have_text("Which row is a real unit?")
    rows = page.locator("main .row")
    expect(rows).to_have_count(3)
    expect(rows.locator("text=random direction")).to_have_count(0)
    page.keyboard.press("1")
    expect(rows.locator("text=random direction")).to_have_count(2)
    expect(page.locator("main")).to_contain_text("of 1 right; by chance it would be one in 3")
    screenshot(page, "game")
    page.keyboard.press(" ")
    expect(rows.locator("text=random direction")).to_have_count(0)


ADDRESSES = (
    "#/net",
    f"#/layer?layer={LAYER}",
    f"#/unit?layer={LAYER}&unit={UNIT}",
    IMAGE,
    "#/images",
    "#/skipped",
    f"#/unit?layer={LAYER}&unit=1&game=3",
)


@pytest.mark.parametrize("address", ADDRESSES)
def test_axe_finds_nothing_serious(page: Page, served: str, address: str) -> None:
    visit(page, served, address)
    if address == IMAGE:
        live(page)
    page.wait_for_load_state("networkidle")
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run().then(({ violations }) => violations)")
    serious = [
        (one["id"], one["nodes"][0]["html"][:200])
        for one in found
        if one["impact"] in ("serious", "critical") or one["id"] in HEADINGS
    ]
    assert not serious


OTHER_LOOKS = [pytest.param("dark", 390, marks=pytest.mark.heavy), pytest.param("light", 1280, marks=pytest.mark.heavy)]


@pytest.mark.parametrize(("scheme", "width"), [("light", 390), ("dark", 1280), *OTHER_LOOKS])
def test_nothing_sticks_out(page: Page, served: str, scheme: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    for address in ADDRESSES:
        visit(page, served, address)
        page.wait_for_load_state("networkidle")
        view = address.split("/")[1].split("?")[0]
        screenshot(page, f"{view}-{width}-{scheme}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, address


def test_a_view_is_saved_as_a_picture_and_as_a_file(
    page: Page, context: BrowserContext, served: str, demo: Path, tmp_path: Path
) -> None:
    visit(page, served, f"#/unit?layer={LAYER}&unit={UNIT}")
    live(page)
    expect(page.locator(".strip canvas[data-drawn]").first).to_be_visible()
    page.wait_for_load_state("networkidle")
    with page.expect_download() as picture:
        page.get_by_role("button", name="PNG").click()
    picture.value.save_as(tmp_path / "view.png")
    from PIL import Image

    with Image.open(tmp_path / "view.png") as image:
        assert image.width > 2000
        assert len(set(image.convert("RGB").resize((64, 64)).get_flattened_data())) > 500  # the patches are in it
    with page.expect_download() as file:
        page.get_by_role("button", name="HTML").click()
    file.value.save_as(tmp_path / "view.html")
    offline = context.new_page()
    offline.goto((tmp_path / "view.html").as_uri())
    expect(offline.locator("h1")).to_have_text(f"{LAYER}, unit {UNIT}")
    expect(offline.locator(".strip canvas[data-drawn]").first).to_be_visible()
    expect(offline.get_by_text("Weights that feed it.")).to_be_visible()
    offline.get_by_role("link", name=f"unit {UNIT + 1} →").click()
    expect(offline.locator("main")).to_contain_text(f"{LAYER}, unit {UNIT + 1}")
    page.goto(f"{served}#/layer?layer={LAYER}")  # what is not in sight is saved too
    expect(page.locator(".wall canvas[data-drawn]").first).to_be_attached()
    with page.expect_download() as file:
        page.keyboard.press("Shift+H")
    kept = file.value.path().read_text()
    rows = {
        patches[0].row
        for patches in (open_atlas(demo).exemplars(f"{LAYER}:{unit}") for unit in range(144))
        if len(patches) and patches[0].value > 0
    }
    assert all(f'"api/images/{row}/picture"' in kept for row in rows)


def test_two_tabs_at_once(context: BrowserContext, served: str) -> None:
    pages = [context.new_page() for _ in range(2)]
    for number, page in enumerate(pages):
        visit(page, served, f"#/unit?layer={LAYER}&unit={number}")
    for number, page in enumerate(pages):
        expect(page.locator("h1")).to_have_text(f"{LAYER}, unit {number}")
        page.keyboard.press("j")
    for number, page in enumerate(pages):
        expect(page.locator("h1")).to_have_text(f"{LAYER}, unit {number + 1}")


def test_without_its_network(page: Page, atlas: Atlas, tmp_path: Path) -> None:
    """A hostile atlas on another machine: it names a factory, which is not run; its names are text."""
    folder = tmp_path / "strange"
    shutil.copytree(atlas.folder, folder)
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"name": "tiny <net>"', '"name": "tests.nets:explodes"'))
    with Served(folder) as server:
        visit(page, server.address)
        expect(page.locator("h1")).to_have_text("tests.nets:explodes")
        expect(page.locator("header")).to_contain_text("without its network")
        page.goto(f"{server.address}#/image?image=2&layer=1")
        expect(page.locator("main")).to_contain_text("the network 'tests.nets:explodes' was not given")
        expect(page.locator("main")).to_contain_text("--net NAME")
        page.goto(f"{server.address}#/images")
        expect(page.locator("main")).to_contain_text(HOSTILE_FILE)
        page.get_by_label("Label").select_option(HOSTILE_LABEL)
        expect(page.locator("main")).to_contain_text("2 images")
        assert page.locator("img[src='x']").count() == 0
        page.goto(f"{server.address}#/layer?layer=1")
        expect(page.locator(".wall canvas[data-drawn]").first).to_be_attached()
        page.goto(f"{server.address}#/skipped")
        expect(page.locator("main")).to_contain_text("broken.png")
        code, said = server.end()
    assert code == 0
    assert "ended" in said


def test_a_port_that_is_taken_and_a_server_that_ends_are_named(context: BrowserContext, atlas: Atlas) -> None:
    assert context.browser is not None
    other = context.browser.new_page()  # its console tells of refused connections
    with Served(atlas.folder, "--no-live") as server:
        port = server.address.rsplit(":", 1)[1].strip("/")
        with urlopen(f"{server.address}api/live") as answer:
            assert answer.status == 200
        second = [
            sys.executable,
            "-m",
            "convscope",
            "serve",
            str(atlas.folder),
            "--no-browser",
            "--no-live",
            "--port",
            port,
        ]
        found = subprocess.run(second, capture_output=True, text=True, timeout=60, check=False)
        assert found.returncode == 2
        assert f"cannot listen on 127.0.0.1:{port}" in found.stderr
        other.goto(f"{server.address}#/layer?layer=1")
        expect(other.locator(".wall a").first).to_be_visible()
        started = time.monotonic()
        assert server.end()[0] == 0
        assert time.monotonic() - started < 10
        other.goto(f"{server.address}#/layer?layer=4")
        expect(other.get_by_role("alert")).to_contain_text("Is `convscope serve` still running?")
    other.close()
