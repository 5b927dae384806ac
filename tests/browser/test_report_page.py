"""The report in a real browser, opened from disk: the page with recorded answers."""

from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from convscope.atlas import Atlas
from convscope.faces.report import write_report
from convscope.studies.exemplars import surroundings
from tests.tiny_atlas import CLASSES, HOSTILE_FILE, HOSTILE_LABEL, SILENT_UNIT


def visit(page: Page, report: Path, address: str = "") -> None:
    page.goto(f"{report.as_uri()}{address}")
    expect(page.locator("main")).to_be_visible()


def test_overview(page: Page, report: Path, atlas: Atlas) -> None:
    visit(page, report)
    expect(page.locator("h1")).to_have_text("tiny <net>")
    expect(page.locator("main")).to_contain_text("6 images at 32 × 40 px")
    expect(page.locator("main")).to_contain_text("A note.")
    expect(page.locator("main")).to_contain_text("of 2 images whose label is a class (95 % interval")
    expect(page.locator("header")).to_contain_text("without its network")
    expect(page.locator(".strip canvas[data-drawn]").first).to_be_attached()
    page.get_by_role("link", name=atlas.layers[0], exact=True).first.click()
    expect(page.locator("h1")).to_have_text(atlas.layers[0])


def test_a_tile_shows_the_pixels_of_its_patch(page: Page, report: Path, atlas: Atlas) -> None:
    layer = atlas.layers[0]
    visit(page, report, f"#/unit?layer={layer}&unit=0")
    canvas = page.locator(".strip canvas[data-drawn]").first
    expect(canvas).to_be_visible()
    drawn = canvas.evaluate("""(canvas) => {
      const { data } = canvas.getContext("2d").getImageData(0, 0, 112, 112);
      return Array.from(data);
    }""")
    side = 112
    tile = np.array(drawn, float).reshape(side, side, 4)
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
    edge = round(margins[0] + box.bottom * scale) - 1, int(margins[1] + (box.left + box.right) / 2 * scale)
    assert tile[edge][:3].min() > 200  # the lower edge of the box


def test_what_is_silent_and_what_is_saturated_is_said(page: Page, report: Path, atlas: Atlas) -> None:
    visit(page, report, f"#/layer?layer={atlas.layers[0]}")
    expect(page.locator("main")).to_contain_text("1 unit of 5 dead on these images")
    expect(page.locator("main")).to_contain_text("Of 1 unit all patches reach the ceiling 6")
    expect(page.locator(".wall a")).to_have_count(5)
    visit(page, report, f"#/unit?layer={atlas.layers[0]}&unit={SILENT_UNIT}")
    expect(page.locator(".facts")).to_contain_text("dead")
    expect(page.locator("main")).to_contain_text("It never rose above 0: there is nothing to show.")


def test_units_of_the_output_are_classes(page: Page, report: Path, atlas: Atlas) -> None:
    visit(page, report, f"#/layer?layer={atlas.layers[-1]}")
    assert page.locator(".wall b").all_text_contents() == [name.split(",")[0] for name in CLASSES]
    page.get_by_label("Find").fill("TW")
    expect(page.locator(".wall b")).to_have_text(["two"])


def test_hostile_names_are_text(page: Page, report: Path) -> None:
    visit(page, report, "#/images")
    expect(page.locator("main")).to_contain_text(HOSTILE_FILE)
    page.get_by_label("Label").select_option(HOSTILE_LABEL)
    expect(page.locator("main")).to_contain_text("2 images")
    expect(page.locator("img[src='x']")).to_have_count(0)
    page.locator("main a", has_text=HOSTILE_FILE).first.click()
    expect(page.locator("aside")).to_contain_text(HOSTILE_FILE)
    expect(page.locator("aside")).to_contain_text(HOSTILE_LABEL)
    visit(page, report, "#/skipped")
    expect(page.locator("main")).to_contain_text("two/broken.png")


def test_images_are_found_without_a_server(page: Page, report: Path) -> None:
    visit(page, report, "#/images?search=A.PNG")
    expect(page.locator("main")).to_contain_text("1 image")
    visit(page, report, "#/images?correct=true")
    expect(page.locator("main h1")).to_be_visible()
    visit(page, report, "#/image?image=1")
    expect(page.locator("aside table tr")).to_have_count(3)
    expect(page.locator("main")).to_contain_text("This is a file without its network.")


def test_what_is_not_in_the_file_is_named(page: Page, atlas: Atlas, tmp_path: Path) -> None:
    small = write_report(atlas, tmp_path / "small.html", budget=2)
    visit(page, small, f"#/layer?layer={atlas.layers[0]}")
    shown = page.locator(".wall a").count()
    assert 0 < shown < 5
    expect(page.locator("main")).to_contain_text("of 5 units are in this file")
    units = page.locator(".wall b").all_text_contents()
    missing = next(unit for unit in range(5) if str(unit) not in units)
    visit(page, small, f"#/unit?layer={atlas.layers[0]}&unit={missing}")
    expect(page.get_by_role("alert")).to_contain_text("is not in this file")


def test_addresses_back_and_forward(page: Page, report: Path, atlas: Atlas) -> None:
    visit(page, report)
    page.get_by_role("link", name=atlas.layers[1], exact=True).first.click()
    expect(page.locator("h1")).to_have_text(atlas.layers[1])
    page.keyboard.press("[")
    expect(page.locator("h1")).to_have_text(atlas.layers[0])
    page.keyboard.press("a")
    expect(page.locator("h1")).to_have_text("Images")
    page.go_back()
    expect(page.locator("h1")).to_have_text(atlas.layers[0])
    page.go_back()
    page.go_back()
    expect(page.locator("h1")).to_have_text("tiny <net>")
    page.go_forward()
    expect(page.locator("h1")).to_have_text(atlas.layers[1])
    visit(page, report, "#/layer?layer=nowhere")
    expect(page.get_by_role("alert")).to_be_visible()


@pytest.mark.parametrize("width", [390, 1280, 1920])
def test_nothing_sticks_out(page: Page, report: Path, atlas: Atlas, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    for address in ("", f"#/layer?layer={atlas.layers[0]}", "#/images", "#/skipped", "#/image?image=0"):
        visit(page, report, address)
        expect(page.locator("h1, h2").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_gradient_methods_and_their_sanity_check_are_in_it(page: Page, report: Path) -> None:
    visit(page, report)
    shown = page.locator("li a:has(.picture)")
    expect(shown).to_have_count(2)
    shown.first.click()
    expect(page.locator(".techniques h3").filter(has_text="gradient methods")).to_have_count(1)
    expect(page.locator(".techniques h3").filter(has_text="sanity check")).to_have_count(1)
    expect(page.locator(".techniques")).to_contain_text("These results are in the file")
    expect(page.locator(".results figure")).to_have_count(4)  # the methods; maps, rank correlation, SSIM
    page.wait_for_function(
        "[...document.querySelectorAll('.results img')].every((one) => one.complete && one.naturalWidth > 100)"
    )
    expect(page.locator(".results figcaption").nth(1)).to_contain_text("would the maps of")
    expect(page.get_by_role("button", name="Remove")).to_have_count(0)  # nothing here could be run again
    light = page.locator(".results img").first.get_attribute("src")
    page.emulate_media(color_scheme="dark")
    expect(page.locator(".results img").first).not_to_have_attribute("src", light or "")
    page.wait_for_function("document.querySelector('.results img').naturalWidth > 100")
    others = {"0", "1", "2", "3", "4", "5"} - {link.split("image=")[1] for link in trial_links(page, report)}
    visit(page, report, f"#/image?image={min(others)}")
    expect(page.locator(".techniques")).to_contain_text("Techniques need the network.")
    expect(page.locator(".results")).to_have_count(0)


def trial_links(page: Page, report: Path) -> list[str]:
    visit(page, report, "#/net")
    links = page.locator("li a:has(.picture)")
    expect(links).to_have_count(2)
    return [str(one.get_attribute("href")) for one in links.all()]
