"""Writes docs/command-line.md from the command line itself, and the README's pictures from the demo's atlas."""

import inspect
import io
import shutil
from pathlib import Path
from typing import Any

from PIL import Image

from convscope.faces.cli import app

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
            shown = "" if argument.required or default in (None, False, "") else f" (default: `{default}`)"
            words = argument.parameter.help or ""
            parts.append(f"- {' / '.join(f'`{n}`' for n in argument.names)}{': ' + words if words else ''}{shown}")
        parts.append("")
    return "\n".join(parts)


def pictures(demo: Path) -> None:
    """The README's figures, from the demo: the report as a browser shows it, and classes drawn by the tool."""
    from playwright.sync_api import sync_playwright

    from convscope import open_atlas
    from convscope.render.exemplars import exemplar_tiles
    from convscope.render.figure import compose

    atlas = open_atlas(demo / "atlas")
    picture = compose([exemplar_tiles([atlas.exemplars(f"class:{name}", k=9) for name in CLASSES])], "", scale=1.5)
    Image.open(io.BytesIO(picture)).convert("RGB").save(PICTURES / "classes.jpg", quality=88)
    switches = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=shutil.which("chromium"), args=switches)
        page = browser.new_page(viewport={"width": 1280, "height": 1010}, device_scale_factor=1.5)
        for name, place in PAGES.items():
            page.goto(f"{(demo / 'report.html').resolve().as_uri()}{place}")
            page.wait_for_timeout(1500)
            page.screenshot(path=PICTURES / f"{name}.jpg", type="jpeg", quality=88)
        browser.close()


CLASSES = ("Egyptian cat", "espresso", "tripod", "moped", "stone wall", "palace")
PAGES = {"report": "#/", "layer": "#/layer/blocks.4.0.bn1"}
PICTURES = DOCS / "pictures"

if __name__ == "__main__":
    (DOCS / "command-line.md").write_text(command_line(), encoding="utf-8")
    PICTURES.mkdir(exist_ok=True)
    pictures(DOCS.parent / "demo")
