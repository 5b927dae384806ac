"""The page as one HTML file: its script and style, and the answers that it needs, so that it opens from disk."""

import base64
import gzip
import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from convscope.errors import ConvscopeError

BUILT = Path(__file__).parent / "web" / "built"


@dataclass
class Recorded:
    """Answers by path: JSON as values, everything else as data: URLs, arrays in gzip. `start` is where it opens."""

    start: str
    answers: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    kept: int = 0  # bytes of what was added, as the file will hold it, about

    def add(self, path: str, media: str, content: bytes) -> None:
        """Keeps an answer."""
        if media == "application/json":
            self.answers[path] = json.loads(content)
            self.kept += len(content)
            return
        if media == "application/octet-stream":
            media, content = "application/gzip", gzip.compress(content, 6, mtime=0)
        self.files[path] = f"data:{media};base64,{base64.b64encode(content).decode()}"
        self.kept += len(self.files[path])


def offline_page(title: str, recorded: Recorded) -> str:
    """One HTML document that reaches for nothing outside itself; the same answers give the same bytes."""
    script, style = built("js").replace("</script", "<\\/script"), built("css").replace("</style", "<\\/style")
    content = {"start": recorded.start, "answers": recorded.answers, "files": recorded.files}
    hashes = [base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() for part in (script, style)]
    policy = (
        f"default-src 'none'; script-src 'sha256-{hashes[0]}'; style-src 'sha256-{hashes[1]}'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{plain(title)}</title>\n<style>{style}</style></head>\n"
        "<body><noscript>This page draws its pictures itself: allow scripts for this page.</noscript>\n"
        f'<div id="page"></div>\n<script type="application/json" id="recorded">{embedded(content)}</script>\n'
        f'<script type="module">{script}</script></body></html>\n'
    )


def path_part(text: str) -> str:
    """Text as a part of a path, as the page's encodeURIComponent writes it."""
    return quote(text, safe="!~*'()")


def built(kind: str) -> str:
    """The page's script or style; ConvscopeError where the page was not built."""
    found = sorted((BUILT / "assets").glob(f"*.{kind}"))
    if not found:
        raise ConvscopeError("the page is not built", "`make web` builds it; `pip install` of a wheel brings it")
    return found[0].read_text("utf-8")


def embedded(content: Any) -> str:
    """JSON that can stand in a script element: no text in it can end the element or open another."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode("utf-8", "backslashreplace").decode()  # lone surrogates of odd file names: \udc80 is JSON too


def plain(text: str) -> str:
    """Text for HTML outside of the script: markup characters as references."""
    return re.sub(r"[^\w .\-/:·]", lambda found: f"&#{ord(found[0])};", text)
