"""Writes docs/command-line.md from the command line itself, and all pictures: of the demo's atlas, of techniques."""

import inspect
import io
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
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


def readme_pictures() -> None:
    """Six photos in columns: what the signals at the pixels show, and what the answer rests on."""
    from convscope import guided_backprop, load, occlusion, saliency
    from convscope.faces.demo import demo_photos
    from convscope.render import pixels
    from convscope.render.draw import draw
    from convscope.render.figure import Tile, TileRow, compose
    from convscope.render.panels import Scale, Tiles

    net, known = load("efficientnet-lite0"), {photo.stem: photo for photo in demo_photos()}
    photos = [known[name] for name in COLUMNS]
    sizes = [saliency(net, photo, crops=10) for photo in photos]
    images, gradients = zip(*(draw(one)[0].rows[0].tiles[:2] for one in sizes), strict=True)
    guided = [draw(guided_backprop(net, photo))[0].rows[0].tiles[1] for photo in photos]
    rows = (
        TileRow(
            "image", "", tuple(replace(tile, footer=one.names[0]) for tile, one in zip(images, sizes, strict=True))
        ),
        TileRow("gradient", "its size, of ten crops", tuple(replace(tile, footer="") for tile in gradients)),
        TileRow("guided backprop", "", tuple(replace(tile, footer="") for tile in guided)),
    )
    caption = (
        f"{net.name} on six photos, each from its most probable class. Gradient: the greatest of the three colours, "
        "black is 0. Guided backprop: mid-grey is 0. Each picture has its own scale, up to its 99.5% quantile."
    )
    save_picture(
        compose([Tiles("What of the image reaches the class", rows, caption, 128, "")], "", scale=1.5), "signals.jpg"
    )

    found = [occlusion(net, photo, window=48) for photo in photos]
    worst = [one.falls(1)[0] for one in found]
    falls = [np.kron((one.unoccluded_score - one.score).double().numpy(), np.ones(one.stride)) for one in found]
    end = max(float(np.abs(one).max()) for one in falls)
    maps = [np.pad(one, (net.size[0] - len(one)) // 2, constant_values=np.nan) for one in falls]
    hidden = []
    for one, place in zip(found, worst, strict=True):
        picture = pixels.to_bytes(one.occluded(*place).numpy().transpose(1, 2, 0))
        footer = f"{one.address} {float(one.unoccluded):.2f} → {float(one.probability[place]):.2f}"
        hidden.append(Tile(picture, box=one.box(*place), footer=footer))
    rows = (
        TileRow("hidden", "where it hurts most", tuple(hidden)),
        TileRow(
            "fall of the score",
            "the square at each place",
            tuple(Tile(pixels.colour(one, True, (-end, end))) for one in maps),
        ),
    )
    caption = (
        f"{net.name} on six photos. A black square of 48 px of {net.size[0]} hides {found[0].done} places, one after "
        "the other. Above the place where the probability of the class is least then, and how far it falls; below how "
        "far the score falls at each place, drawn at the middle of the square: orange falls, blue rises, one scale for "
        "all."
    )
    scale = Scale((-end, end), True, np.stack(falls))
    panel = Tiles("What the answer rests on", rows, caption, 128, "logit", smooth=False, scale=scale)
    save_picture(compose([panel], "", scale=1.5), "occlusion.jpg", quality=75)


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
    for name, (study, arguments, options) in STUDY_FIGURES.items():
        asked = (net, *arguments) if study == "projections" else arguments
        save_picture(compose(draw(getattr(atlas, study)(*asked, **options)), "", scale=1.5), name)
    for name, (study, options, shown) in PARTS.items():
        panels = draw(getattr(atlas, study)(**options))
        save_picture(compose([panels[at] for at in shown], "", scale=1.5), name)
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


COLUMNS = ("astronaut", "chelsea", "coffee", "rocket", "china", "flower")
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
    "gradient-methods.jpg": ("gradient_methods", ("chelsea",), {}),
    "sanity.jpg": ("sanity_check", ("chelsea",), {}),
    "class-models.jpg": ("class_model", (("flamingo", "tiger cat", "fire engine", "blocks.4.0.bn1:20"),), {}),
    "occlusion-rocket.jpg": ("occlusion", ("rocket",), {"window": 48}),
    "localise.jpg": ("localise", ("astronaut",), {"crops": 10, "blur": 2.0}),
    "filters-deep.png": ("filters", ("blocks.5.0.conv_dw",), {}),
}
# picture → study of the demo's atlas, its arguments (after the net, where it asks one), its options
STUDY_FIGURES: dict[str, tuple[str, tuple[str, ...], dict[str, Any]]] = {
    "projections.jpg": (
        "projections",
        ("blocks.3.0.bn1",),
        {"units": (7, 2, 5, 13), "method": "guided_backprop"},
    ),
    "exemplars.jpg": ("exemplars", ("blocks.4.0.bn1:20",), {}),
    "vitals.png": ("vitals", ("blocks.4.0.bn1",), {}),
    "health.png": ("health", (), {}),
}
PARTS: dict[str, tuple[str, dict[str, Any], tuple[int, ...]]] = {  # some panels of a study
    "map.jpg": ("map", {}, (0, 2)),
    "grid.jpg": ("grid", {"size": 1400}, (0,)),
}
PICTURES = DOCS / "pictures"
SCALES = {
    "occlusion": 1.3,
    "gradient_methods": 1.2,
    "sanity_check": 1.1,
    "class_model": 1.25,
    "guided_backprop": 1.5,
    "saliency": 1.5,
}

if __name__ == "__main__":
    (DOCS / "command-line.md").write_text(command_line(), encoding="utf-8")
    PICTURES.mkdir(exist_ok=True)
    technique_pictures()
    readme_pictures()
    pictures(DOCS.parent / "demo")
