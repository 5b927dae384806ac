"""Results as panels with pictures and as files; everything is drawn by one thread at a time."""

import io
import tempfile
import threading
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convscope.render.draw import draw
from convscope.render.figure import Panel
from convscope.render.pixels import png_bytes
from convscope.render.scales import colours_of, rescaled
from convscope.technique import Result

DRAWING = threading.Lock()  # fonts and charts are drawn by one thread at a time


@dataclass(eq=False)
class Drawn:
    """A panel with its picture for light paper, 2 device px a CSS px."""

    panel: Panel
    size: tuple[float, float]  # width and height, CSS px
    png: bytes

    def described(self, path: str) -> dict[str, Any]:
        """As JSON, with the paths of picture and numbers."""
        colours = colours_of(self.panel)
        return {
            "kind": self.panel.kind,
            "title": self.panel.title,
            "caption": self.panel.caption,
            "width": self.size[0],
            "height": self.size[1],
            "picture": f"{path}.png",
            "numbers": f"{path}.json",
            "scale": None
            if colours is None
            else {
                "quantity": colours.quantity,
                "low": colours.low,
                "high": colours.high,
                "signed": colours.signed,
            },
        }


def drawn(panel: Panel, quick: bool = False) -> Drawn:
    """A panel, drawn; quick: hardly compressed, which takes most of the time."""
    picture = panel.picture(2.0)
    size = picture.width / 2, picture.height / 2
    if not quick:
        return Drawn(panel, size, png_bytes(picture))
    stream = io.BytesIO()
    picture.save(stream, "PNG", compress_level=1)
    return Drawn(panel, size, stream.getvalue())


def drawn_panels(result: object, quick: bool = False) -> list[Drawn]:
    """The panels of a result, drawn; quick for a preview, which is soon replaced."""
    with DRAWING:
        return [drawn(panel, quick) for panel in draw(result)]


def panel_png(one: Drawn, dark: bool, low: float | None, high: float | None) -> bytes:
    """A panel's picture on light or dark paper, and on another scale where one is given."""
    if low is None or high is None:
        if not dark:
            return one.png
        with DRAWING:
            return png_bytes(one.panel.picture(2.0, True))
    with DRAWING:
        return png_bytes(rescaled(one.panel, low, high).picture(2.0, dark))


def file_of(result: Result, form: str) -> bytes:
    """A result as `save` writes it."""
    with DRAWING, tempfile.TemporaryDirectory() as folder:
        return result.save(Path(folder) / f"result.{form}").read_bytes()


def weight(result: Result | None, panels: list[Drawn]) -> int:
    """Bytes that a result and its panels keep in memory, about; arrays that both hold count once."""
    found = {} if result is None else dict(enumerate(result.arrays().values()))
    known = {address(array) for array in found.values()}
    total = sum(array.nbytes for array in found.values())
    for array in arrays_in([one.panel for one in panels]):
        if address(array) not in known:
            known.add(address(array))
            total += array.nbytes
    return total + sum(len(one.png) for one in panels)


def address(array: NDArray[Any]) -> int:
    """Where an array begins."""
    return int(array.__array_interface__["data"][0])


def arrays_in(value: Any) -> list[NDArray[Any]]:
    """All arrays in dataclasses and sequences of them."""
    if isinstance(value, np.ndarray):
        return [value]
    if is_dataclass(value):
        value = [getattr(value, field.name) for field in fields(value)]
    return [array for one in value for array in arrays_in(one)] if isinstance(value, list | tuple) else []
