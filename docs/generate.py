"""Writes docs/command-line.md from the command line itself, and all pictures: of the demo's atlas, of techniques."""

import inspect
import io
import shutil
from pathlib import Path
from typing import Any

from PIL import Image

from convscope.faces.cli import app
from tests.browser.served import Served

DOCS = Path(__file__).parent


def command_line() -> str:
    """Every command with its words, arguments and options."""
    words = (
        "Data goes to stdout, words and progress bars to stderr. The exit code is 0, 2 for wrong use, 1 for",
        "failed work, 130 after Ctrl-C. `python -m convscope` is the same as `convscope`. `make docs` writes this",
        "page.",
    )
    parts = ["# The command line", "", *words, ""]
    for name in (name for name in app if not name.startswith("-")):
        command = app[name]
        parts += [f"## `convscope {name}`", "", inspect.cleandoc(command.help or ""), ""]
        for argument in command.assemble_argument_collection():
            default: Any = argument.field_info.default
            shown = "" if argument.required or default in (None, False, "", ()) else f" (default: `{default}`)"
            words = argument.parameter.help or ""
            parts.append(f"- {' / '.join(f'`{n}`' for n in argument.names)}{': ' + words if words else ''}{shown}")
        parts.append("")
    return "\n".join(parts)


def technique_pictures() -> None:
    """The figures of the techniques' pages, drawn by the tool: what `result.save` would show."""
    from convscope import load
    from convscope.faces.demo import demo_photos
    from convscope.registry import TECHNIQUES
    from convscope.render.draw import draw
    from convscope.render.figure import compose

    net = load("efficientnet-lite0")
    photos = {photo.stem: photo for photo in demo_photos()}
    for name, (technique, arguments, options) in FIGURES.items():
        result = TECHNIQUES[technique](
            net, *(photos.get(one, one) if isinstance(one, str) else one for one in arguments), **options
        )
        save_picture(compose(draw(result), "", scale=SCALES.get(technique, 2.0)), name)


def save_picture(png: bytes, name: str, quality: int = 60) -> None:
    """A picture into docs/pictures: as JPEG, or as PNG of 256 colours, which is smaller where few are photographs."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    if name.endswith(".png"):
        picture = picture.quantize(256, Image.Quantize.MAXCOVERAGE)  # which keeps rare colours
    picture.save(PICTURES / name, quality=quality, optimize=True, progressive=True)


def pictures(demo: Path) -> None:
    """The figures of README and docs, from the demo: the page as a browser shows it, classes and studies as drawn."""
    from playwright.sync_api import sync_playwright

    from convscope import load, open_atlas
    from convscope.render.draw import draw
    from convscope.render.exemplars import exemplar_tiles
    from convscope.render.figure import compose

    atlas, net = open_atlas(demo / "atlas"), load("efficientnet-lite0")
    picture = compose([exemplar_tiles([atlas.exemplars(f"class:{name}", k=9) for name in CLASSES])], "", scale=1.5)
    save_picture(picture, "classes.jpg", quality=88)
    for name, (study, arguments) in STUDY_FIGURES.items():
        asked = (net, *arguments) if study == "projections" else arguments
        save_picture(compose(draw(getattr(atlas, study)(*asked)), "", scale=1.5), name)
    switches = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=shutil.which("chromium"), args=switches)
        page = browser.new_page(viewport={"width": 1280, "height": 1010}, device_scale_factor=1.5)
        with Served(demo / "atlas") as server:
            page.goto(server.address)
            page.get_by_text("live on").wait_for(timeout=120_000)
            for name, place in PAGES.items():
                page.goto(f"{server.address}{place}")
                page.wait_for_load_state("networkidle")
                page.wait_for_timeout(1000)
                page.screenshot(path=PICTURES / f"{name}.jpg", type="jpeg", quality=82)
        browser.close()


CLASSES = ("Egyptian cat", "espresso", "tripod", "moped", "stone wall", "palace")
PAGES = {
    "page-net": "#/net?open=blocks.2.1",
    "page-layer": "#/layer?layer=blocks.4.0.bn1",
    "page-unit": "#/unit?layer=blocks.4.0.bn1&unit=20",
    "page-image": "#/image?image=79&layer=blocks.2.0.bn1&unit=20",
}
# picture → technique, its arguments after the net (a photo by its name), its options
FIGURES: dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]] = {
    "activations.jpg": ("activations", ("chelsea", "bn1"), {}),
    "activations-deep.png": ("activations", ("chelsea", "bn2"), {"order": "strength"}),
    "activations-signed.jpg": ("activations", ("astronaut", "conv_stem"), {"units": (1, 3, 12, 21), "boost": 2}),
    "filters.png": ("filters", ("conv_stem",), {}),
    "saliency.jpg": ("saliency", ("chelsea",), {}),
    "guided.jpg": (
        "guided_backprop",
        ("chelsea", ("Egyptian cat", "blocks.3.0.bn1:11", "blocks.5.0.bn1:527")),
        {},
    ),
    "sanity.jpg": ("sanity_check", ("chelsea",), {}),
    "class-models.jpg": ("class_model", (("flamingo", "tiger cat", "fire engine", "blocks.4.0.bn1:20"),), {}),
    "occlusion-rocket.jpg": ("occlusion", ("rocket",), {"window": 48}),
    "localise.jpg": ("localise", ("astronaut",), {"crops": 10, "blur": 2.0}),
    "filters-deep.png": ("filters", ("blocks.5.0.conv_dw",), {}),
}
# picture → study of the demo's atlas, its arguments (after the net, where it asks one)
STUDY_FIGURES: dict[str, tuple[str, tuple[str, ...]]] = {
    "projections.jpg": ("projections", ("blocks.4.0.bn1:20",)),
    "exemplars.jpg": ("exemplars", ("blocks.4.0.bn1:20",)),
    "vitals.png": ("vitals", ("blocks.4.0.bn1",)),
    "health.png": ("health", ()),
}
PICTURES = DOCS / "pictures"
SCALES = {"occlusion": 1.3, "sanity_check": 1.1, "class_model": 1.25, "guided_backprop": 1.5, "saliency": 1.5}

if __name__ == "__main__":
    (DOCS / "command-line.md").write_text(command_line(), encoding="utf-8")
    PICTURES.mkdir(exist_ok=True)
    technique_pictures()
    pictures(DOCS.parent / "demo")
