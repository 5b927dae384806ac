"""Tables of measured numbers in the pages of docs/: each stands between two marks, and its command writes it."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write(page: Path, name: str, text: str) -> None:
    """Shows a text, and puts it between its marks `<!-- name -->` and `<!-- end of name -->` in the page."""
    first, last = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before = page.read_text(encoding="utf-8")
    after, count = re.subn(f"{first}.*?{last}", lambda _: f"{first}\n{text}\n{last}", before, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"{page.name} has the marks of {name!r} {count} times, not once")
    page.write_text(after, encoding="utf-8")
    sys.stdout.write(f"{name}\n{text}\n\n")
