"""The report in a real browser, opened from disk."""

import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from convscope.atlas import Atlas
from convscope.studies.exemplars import surroundings
from tests.tiny_atlas import CLASSES, FULL_UNIT, HOSTILE_FILE, HOSTILE_LABEL, SILENT_UNIT


def visit(page: Page, report: Path, address: str = "") -> None:
    page.goto(f"{report.as_uri()}{address}")


def first_layer(atlas: Atlas) -> str:
    return atlas.layers[0]


def test_overview(page: Page, report: Path, atlas: Atlas) -> None:
    visit(page, report)
    expect(page.locator("h1")).to_have_text("What tiny <net> has learned")
    expect(page.locator(".facts")).to_contain_text("6 images at 32 × 40 px, 3 layers followed, 14 units, 3 classes.")
    expect(page.locator(".note")).to_have_text("A note.")
    expect(page.locator("table.layers tbody tr")).to_have_count(len(atlas.layers))
    expect(page.locator(".hero canvas").first).to_have_attribute("data-drawn", "")
    page.locator("table.layers a").first.click()
    expect(page.locator("h1")).to_have_text(first_layer(atlas))


def test_a_tile_shows_the_pixels_of_its_patch(page: Page, report: Path, atlas: Atlas) -> None:
    layer = first_layer(atlas)
    visit(page, report, f"#/layer/{layer}/0")
    canvas = page.locator("#unit-0 canvas")
    expect(canvas).to_have_attribute("data-drawn", "")
    drawn = canvas.evaluate("""(canvas) => {
      const side = Math.round(canvas.clientWidth / (12 * 1.035 - 0.035 + 0.3));
      const { data } = canvas.getContext("2d").getImageData(0, 0, side, side);
      return { side, data: Array.from(data) };
    }""")
    side = drawn["side"]
    tile = np.array(drawn["data"], float).reshape(side, side, 4)
    patch = atlas.exemplars(f"{layer}:0")[0]
    cut, box = surroundings(atlas.pixels(patch.row), patch.input_box)
    middle = (box.top + box.bottom) / 2, (box.left + box.right) / 2
    scale = side / max(cut.shape[:2])
    margins = [(side - length * scale) / 2 for length in cut.shape[:2]]
    compared = []
    plates = int(16 / scale) + 2  # rows that the value may cover, above or below
    for row in range(plates, cut.shape[0] - plates):
        for column in range(1, cut.shape[1] - 1):
            if abs(row + 0.5 - middle[0]) < 5 and abs(column + 0.5 - middle[1]) < 5:
                continue  # the white box
            y, x = (int(margin + (at + 0.5) * scale) for margin, at in zip(margins, (row, column), strict=True))
            compared.append(np.abs(tile[y, x, :3] - cut[row, column]).mean())
    assert len(compared) > 200
    assert np.mean(compared) < 8  # of 255: the pictures are lossy
    cornered = box.left * scale + margins[1] < 32 and box.bottom * scale + margins[0] < 40
    plate = side - 14 if cornered else 2  # it makes room for a small box in the upper left corner
    assert tile[plate, 2, :3].tolist() == [255, 255, 255]
    edge = int(margins[0] + box.bottom * scale - 1), int(margins[1] + (box.left + box.right) / 2 * scale)
    assert tile[edge][:3].min() > 200  # the lower edge of the box


def test_layer_page_says_what_is_silent_and_what_is_saturated(page: Page, report: Path, atlas: Atlas) -> None:
    visit(page, report, f"#/layer/{first_layer(atlas)}")
    silent = f"1 unit never rose above 0 on these 6 images and is not drawn: {SILENT_UNIT}."
    expect(page.locator(".never")).to_contain_text(silent)
    expect(page.locator(f"#unit-{FULL_UNIT}")).to_contain_text("saturated: 6 of 6 patches reach the ceiling 6")
    expect(page.locator(f"#unit-{SILENT_UNIT}")).to_have_count(0)
    expect(page.locator(".unit")).to_have_count(4)
    page.locator("#jump").fill(str(SILENT_UNIT))
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_contain_text("never rose above 0")


def test_sorting_is_in_the_address(page: Page, report: Path, atlas: Atlas) -> None:
    visit(page, report, f"#/layer/{first_layer(atlas)}")
    page.get_by_label("Sort by").select_option("maximum")
    expect(page.locator(".unit").first).to_have_attribute("id", f"unit-{FULL_UNIT}")
    assert page.evaluate("location.hash").endswith("?sort=maximum")


def test_units_of_the_output_are_classes(page: Page, report: Path, atlas: Atlas) -> None:
    visit(page, report, f"#/layer/{atlas.layers[-1]}")
    assert page.locator(".unit .name").all_text_contents() == CLASSES
    page.locator("#jump").fill("tw")
    page.keyboard.press("Enter")
    expect(page.locator(".unit.chosen .name")).to_have_text("two")


def test_hostile_names_are_text(page: Page, report: Path) -> None:
    visit(page, report, "#/images")
    expect(page.locator("table .name").first).to_have_text(HOSTILE_LABEL)
    expect(page.locator("img[src='x']")).to_have_count(0)
    page.locator("table .name").first.click()
    expect(page.locator("h2")).to_have_text(HOSTILE_LABEL)
    expect(page.locator(".card")).to_have_count(2)
    page.locator(".card[title*='onmouseover']").click()
    expect(page.locator("#picture")).to_contain_text(HOSTILE_FILE)
    expect(page.locator("#picture li")).to_have_count(3)
    page.keyboard.press("Escape")
    expect(page.locator("#picture")).not_to_be_visible()


def test_images_tell_accuracy_and_skipped_files(page: Page, report: Path) -> None:
    visit(page, report, "#/images")
    expect(page.locator(".facts")).to_contain_text("of 2 images (95\u00a0% interval")
    expect(page.locator(".facts")).to_contain_text("other 4 images have no label that is a class")
    expect(page.locator(".card img").first).to_have_attribute("src", re.compile("^data:image/webp"))
    page.get_by_role("link", name="Skipped (1)").click()
    expect(page.locator("tbody td").first).to_have_text("two/broken.png")


def test_addresses_back_and_forward(page: Page, report: Path, atlas: Atlas) -> None:
    visit(page, report)
    page.locator("table.layers a").nth(1).click()
    expect(page.locator("h1")).to_have_text(atlas.layers[1])
    page.keyboard.press("ArrowLeft")
    expect(page.locator("h1")).to_have_text(atlas.layers[0])
    page.keyboard.press("i")
    expect(page.locator("h1")).to_have_text("Images")
    page.go_back()
    expect(page.locator("h1")).to_have_text(atlas.layers[0])
    page.go_back()
    page.go_back()
    expect(page.locator("h1")).to_contain_text("has learned")
    page.go_forward()
    expect(page.locator("h1")).to_have_text(atlas.layers[1])
    visit(page, report, "#/layer/nowhere")
    expect(page.locator("h1")).to_have_text("No such layer")


def test_keys(page: Page, report: Path, atlas: Atlas) -> None:
    visit(page, report, f"#/layer/{first_layer(atlas)}")
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.locator("#unit-1 canvas")).to_be_focused()
    assert page.evaluate("location.hash") == f"#/layer/{first_layer(atlas)}/1"
    page.keyboard.press("ArrowRight")
    expect(page.locator("#status")).to_contain_text("predicted")
    page.keyboard.press("Enter")
    expect(page.locator("#picture")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_contain_text("next or previous unit")


@pytest.mark.parametrize("width", [390, 1280, 1920])
def test_nothing_sticks_out(page: Page, report: Path, atlas: Atlas, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    for address in ("", f"#/layer/{first_layer(atlas)}", "#/images", "#/skipped"):
        visit(page, report, address)
        expect(page.locator("h1")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_every_size_is_known_before_the_pictures_come(page: Page, report: Path, atlas: Atlas) -> None:
    visit(page, report, f"#/layer/{first_layer(atlas)}")
    before = page.locator(".units").bounding_box()
    expect(page.locator("#unit-0 canvas")).to_have_attribute("data-drawn", "")
    assert page.locator(".units").bounding_box() == before
