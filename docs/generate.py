"""Writes docs/command-line.md from the command line itself, and the README's pictures from the demo's atlas."""

import inspect
import sys
from pathlib import Path
from typing import Any

from convscope.faces.cli import app

DOCS = Path(__file__).parent


def command_line() -> str:
    """Every command with its words, arguments and options."""
    words = (
        "Data goes to stdout, words and progress bars to stderr. The exit code is 0, 2 for wrong use, 1 for",
        "failed work, 130 after Ctrl-C. `python -m convscope` is the same as `convscope`. `make docs` writes this page.",
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


def pictures(atlas_folder: Path) -> None:
    """The README's figure of exemplars, through the tool's own drawing."""
    from convscope import open_atlas
    from convscope.render.draw import exemplar_tiles
    from convscope.render.figure import compose

    atlas = open_atlas(atlas_folder)
    for name, addresses in FIGURES.items():
        panels = [exemplar_tiles([atlas.exemplars(address) for address in addresses])]
        (DOCS / "pictures" / f"{name}.png").write_bytes(compose(panels, ""))


FIGURES: dict[str, tuple[str, ...]] = {}

if __name__ == "__main__":
    (DOCS / "command-line.md").write_text(command_line(), encoding="utf-8")
    sys.stdout.write(f"{DOCS / 'command-line.md'}\n")
    demo = DOCS.parent / "demo" / "atlas"
    if (demo / "manifest.json").exists():
        pictures(demo)
