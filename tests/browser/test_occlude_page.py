"""The square over the image in a real browser, on the real demo atlas: dragged, steered, put where a map is clicked."""

import re
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.browser.conftest import screenshot
from tests.browser.test_serve_page import AXE, live, visit, waits

ADDRESS = "#/image?layer=blocks.2.0.bn1&image=3&technique=occlusion"
SIDE = 224  # px of the net's input


def opened(page: Page, served: str, more: str = "") -> Locator:
    """The square, once the net has answered."""
    visit(page, served, f"{ADDRESS}{more}")
    live(page)
    expect(page.locator("#square td.number").first).to_contain_text("%")
    square = page.get_by_role("slider", name="Square that hides a part of the image")
    square.scroll_into_view_if_needed()
    return square


def answers(page: Page) -> list[dict[str, Any]]:
    """What the net says from now on, with what was asked."""
    found: list[dict[str, Any]] = []
    page.on(
        "response",
        lambda answer: (
            found.append({"asked": answer.request.post_data_json, **answer.json()})
            if answer.url.endswith("api/occlude")
            else None
        ),
    )
    return found


def corner_of(square: Locator) -> tuple[int, int]:
    """Row and column, as people who do not see it are told."""
    found = re.match(r"row (\d+), column (\d+)", square.get_attribute("aria-valuetext") or "")
    assert found
    return int(found[1]), int(found[2])


def middle(square: Locator) -> tuple[float, float]:
    """Of the square on the screen: x, y."""
    box = square.bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def settled(page: Page, square: Locator) -> dict[str, Any]:
    """What the net says of where the square stands, asked once more; when the page shows the same."""
    top, left = corner_of(square)
    address = page.url.split("#")[0]
    texts = dict(re.findall(r"occlusion\.(window|fill|seed)=([^&]+)", page.url))
    options = {name: int(text) if name == "seed" else text for name, text in texts.items()}
    body = {"image": "3", "top": top, "left": left, **options}
    found: dict[str, Any] = page.request.post(f"{address}api/occlude", data=body).json()
    for at, share in enumerate(found["now"]):
        words = "< 0.1\u00a0%" if share < 0.001 else f"{100 * share:.1f}\u00a0%"
        expect(page.locator("#square td.number").nth(at)).to_have_text(words)
    return found


def test_the_classes_move_while_it_is_dragged(page: Page, served: str) -> None:
    square = opened(page, served)
    said, length = answers(page), page.evaluate("history.length")
    asked, most = 0, 0

    def count(by: int) -> None:
        nonlocal asked, most
        asked += by
        most = max(most, asked)

    page.on("request", lambda one: count(1) if one.url.endswith("api/occlude") else None)
    page.on("requestfinished", lambda one: count(-1) if one.url.endswith("api/occlude") else None)
    first = page.locator("#square td.number").all_inner_texts()
    start, (x, y) = corner_of(square), middle(square)
    page.mouse.move(x, y)
    page.mouse.down()
    before = page.url
    for step in range(1, 41):
        page.mouse.move(x + 2 * step, y - 3 * step)
        page.wait_for_timeout(25)
        if step == 20:
            screenshot(page, "square-dragged")
    assert page.url == before  # the address follows when it is let go
    stage = page.locator("#square .stage").bounding_box()
    assert stage
    scale = SIDE / stage["width"]
    expected = max(round(start[0] - 120 * scale), 0), min(round(start[1] + 80 * scale), SIDE - 32)
    assert max(abs(one - other) for one, other in zip(corner_of(square), expected, strict=True)) <= 1
    page.mouse.up()
    top, left = corner_of(square)
    expect(page).to_have_url(re.compile(f"occlusion.at={top},{left}"))
    settled(page, square)
    assert page.locator("#square td.number").all_inner_texts() != first
    assert most == 1  # one question at a time
    assert 2 <= len(said) <= 41
    asked_for = [one["asked"] for one in said]
    assert (asked_for[-1]["top"], asked_for[-1]["left"]) == (top, left)  # the newest is always asked
    assert page.evaluate("history.length") == length
    milliseconds = [one["milliseconds"] for one in said]
    assert min(milliseconds) < 500  # a busy machine; see docs for a quiet one
    page.reload()
    live(page)
    assert corner_of(square) == (top, left)


def test_a_click_beside_it_puts_it_there(page: Page, served: str) -> None:
    square = opened(page, served)
    stage = page.locator("#square .stage").bounding_box()
    assert stage
    page.mouse.click(stage["x"] + 1, stage["y"] + 1)
    assert corner_of(square) == (0, 0)
    page.mouse.click(stage["x"] + stage["width"] * 0.75, stage["y"] + stage["height"] * 0.5)
    assert corner_of(square) == (96, 152)
    settled(page, square)


def test_a_finger_drags_it_too(page: Page, context: BrowserContext, served: str) -> None:
    assert context.browser
    touched = context.browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    phone = touched.new_page()
    square = opened(phone, served)
    start, (x, y) = corner_of(square), middle(square)
    fingers = touched.new_cdp_session(phone)
    for kind, dx in (("touchStart", 0), ("touchMove", 30), ("touchMove", 60)):
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x + dx, "y": y}]})
    fingers.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    top, left = corner_of(square)
    assert (top, left > start[1] + 20) == (start[0], True)
    settled(phone, square)
    phone.locator("#square .stage").tap(position={"x": 5, "y": 5})  # when it stands still
    expect(square).to_have_attribute("aria-valuetext", re.compile("row 0, column 0"))
    screenshot(phone, "square-touch")
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    touched.close()


def test_with_the_keyboard(page: Page, served: str) -> None:
    square = opened(page, served, "&occlusion.at=40,60&occlusion.window=24x40")
    assert corner_of(square) == (40, 60)
    square.focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowLeft", "Shift+ArrowRight"):
        page.keyboard.press(key)
    assert corner_of(square) == (42, 75)
    expect(page).to_have_url(re.compile("occlusion.at=42,75"))
    settled(page, square)
    for _ in range(20):
        page.keyboard.press("Shift+ArrowDown")
    assert corner_of(square)[0] == SIDE - 24
    page.keyboard.press("Tab")
    expect(square).not_to_be_focused()


FILLS = ["blur", *(pytest.param(other, marks=pytest.mark.heavy) for other in ("noise", "zero", "mean", "grey"))]


@pytest.mark.parametrize("fill", FILLS)
def test_it_shows_what_the_net_sees(page: Page, served: str, fill: str) -> None:
    square = opened(page, served, "&occlusion.at=100,20&occlusion.window=64&occlusion.seed=5")
    page.locator("#occlusion-fill").select_option(fill)
    expected = "occlusion.fill" not in page.url if fill == "zero" else f"fill={fill}" in page.url
    assert expected
    shown = square.locator("img")
    waits(
        page,
        "[...document.querySelectorAll('#square .square img')].every((one) => one.complete && one.naturalWidth > 0)",
    )
    sides = {"blur": SIDE, "noise": 64}.get(fill, 1)
    expect(shown).to_have_js_property("naturalWidth", sides)
    if fill == "blur":  # it lies exactly over the image, wherever the square is
        over, image = shown.bounding_box(), page.locator("#square .picture img").bounding_box()
        assert over
        assert image
        assert all(abs(over[name] - image[name]) < 0.6 for name in ("x", "y", "width", "height"))
    settled(page, square)
    screenshot(page, f"square-{fill}")


def test_a_window_that_is_none_is_said(page: Page, served: str) -> None:
    square = opened(page, served)
    for typed in ("999", "nonsense"):
        page.locator("#occlusion-window").fill(typed)
        page.locator("#occlusion-window").blur()
        expect(page.locator("#square")).to_contain_text("The window has to be")
        expect(square).to_have_count(0)
    page.locator("#occlusion-window").fill("16")
    page.locator("#occlusion-window").blur()
    settled(page, square)


def test_a_click_on_a_cell_puts_it_there(page: Page, served: str) -> None:
    square = opened(page, served, "&occlusion.stride=32&occlusion.window=48&occlusion.fill=grey")
    page.get_by_role("button", name="Run").click()
    expect(page.locator(".results")).to_contain_text("done in", timeout=60_000)
    expect(page.locator(".results")).to_contain_text("Click a cell to put the square there")
    page.locator("#occlusion-window").fill("20")  # and yet it takes the window of the map
    page.locator("#occlusion-window").blur()
    picture = page.locator(".results button.placing").first
    picture.scroll_into_view_if_needed()
    path = page.locator(".results a", has_text="numbers").first.get_attribute("href")
    numbers = page.request.get(f"{page.url.split('#')[0]}{path}").json()
    where = numbers["positions"]
    row, column = len(where["tops"]) - 2, 1
    shown, panel = picture.bounding_box(), page.locator(".results img").first
    assert shown
    factor = shown["width"] / float(panel.get_attribute("width") or 0) * numbers["side"] / max(numbers["image_size"])
    at = [(starts[one] + 24 + 5) * factor for starts, one in ((where["tops"], row), (where["lefts"], column))]
    picture.click(position={"x": at[1], "y": at[0]})
    assert corner_of(square) == (where["tops"][row], where["lefts"][column])
    expect(page).to_have_url(re.compile("occlusion.window=48"))
    expect(page.locator("#occlusion-window")).to_have_value("48")
    expect(square).to_be_in_viewport()
    found = settled(page, square)
    fall = found["before"][0][1] - found["now"][0]
    assert abs(fall - numbers["values"][row][column]) < 1e-4  # the map and the square say the same
    screenshot(page, "square-of-a-cell")
    page.get_by_role("button", name="enlarge the picture").or_(
        page.get_by_role("button", name="enlarge", exact=True)
    ).first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    picture.focus()
    page.keyboard.press("Enter")  # keys have no place on it
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.goto(re.sub("image=3", "image=4", page.url))  # the map is of the other image: it leads back
    expect(page.locator("aside")).to_contain_text("number 4 of")
    page.locator(".results button.placing").first.click(position={"x": at[1], "y": at[0]})
    expect(page.locator("aside")).to_contain_text("number 3 of")
    page.go_back()
    expect(page.locator("aside")).to_contain_text("number 4 of")


def test_a_map_that_is_stopped_shows_what_is_done(page: Page, served: str) -> None:
    opened(page, served, "&occlusion.stride=2&occlusion.window=31")
    page.get_by_role("button", name="Run").click()
    results = page.locator(".results")
    expect(results).to_contain_text(re.compile(r"[1-9][\d,]* of [\d,]+ positions"), timeout=60_000)
    expect(results).to_contain_text("This is a preview.")
    page.get_by_role("button", name="Stop").click()
    expect(results).to_contain_text(re.compile(r"stopped after [\d,]+ of [\d,]+ positions"), timeout=60_000)
    expect(results).to_contain_text("not computed")
    expect(results).not_to_contain_text("This is a preview.")
    waits(page, "[...document.querySelectorAll('.results img')].every((one) => one.complete && one.naturalWidth > 0)")
    results.scroll_into_view_if_needed()
    screenshot(page, "square-stopped", whole=True)
    with page.expect_download() as file:
        page.get_by_role("link", name="NPZ").click()
    assert file.value.path().stat().st_size > 1000
    page.locator(".results button.placing").first.click(position={"x": 100, "y": 100})
    expect(page).to_have_url(re.compile("occlusion.window=31"))


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        pytest.param(390, "light", marks=pytest.mark.heavy),
        (1280, "dark"),
        pytest.param(390, "dark", marks=pytest.mark.heavy),
        pytest.param(1280, "light", marks=pytest.mark.heavy),
    ],
)
def test_axe_finds_nothing_and_nothing_sticks_out(page: Page, served: str, width: int, scheme: str) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    opened(page, served, "&occlusion.stride=32&occlusion.window=48&occlusion.fill=blur&occlusion.at=20,100")
    page.get_by_role("button", name="Run").click()
    expect(page.locator(".results")).to_contain_text("done in", timeout=60_000)
    waits(page, "[...document.querySelectorAll('.results img')].every((one) => one.complete && one.naturalWidth > 0)")
    screenshot(page, f"square-{width}-{scheme}", whole=True)
    page.locator("#square").scroll_into_view_if_needed()
    screenshot(page, f"square-near-{width}-{scheme}")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run().then(({ violations }) => violations)")
    assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found] == []


def test_without_its_network_there_is_none(page: Page, served: str) -> None:
    page.route(
        re.compile("api/live"),
        lambda route: route.fulfill(json={"state": "off", "reason": "It is off.", "hint": "", "device": ""}),
    )
    visit(page, served, ADDRESS)
    expect(page.locator("main")).to_contain_text("It is off.")
    expect(page.locator("#square")).to_have_count(0)
