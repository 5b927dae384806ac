"""What all techniques and studies share: results that show and save themselves, options checked in one place."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, ValidationError, validate_call
from torch import Tensor

from convscope.errors import BadOption
from convscope.watch import SILENT, Watch

__all__ = ["SILENT", "Result", "Watch", "checked"]

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


class Result:
    """What a technique or study gives: a frozen dataclass of numbers that can be drawn, shown and saved."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The numbers by name, as they are saved to .npz."""
        found = {}
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                found[field.name] = value.detach().cpu().numpy()
            elif isinstance(value, np.ndarray | int | float | str):
                found[field.name] = np.asarray(value)
        return found

    def lines(self) -> list[list[str]]:
        """The numbers as a table for a terminal: a line of names, then a line for each entry of the longest arrays."""
        found = {name: array for name, array in self.arrays().items() if array.ndim}
        length = max((len(array) for array in found.values()), default=0)
        columns = {name: array for name, array in found.items() if len(array) == length and array.ndim <= 2}
        rows = [
            [", ".join(f"{v:.5g}" for v in np.ravel(array[i])) for array in columns.values()] for i in range(length)
        ]
        return [list(columns), *rows]

    def save(self, path: str | Path) -> Path:
        """Writes a picture (.png), a page that opens without a server (.html), or the numbers (.npz); BadOption."""
        file = Path(path)
        if not file.parent.is_dir():
            raise BadOption(f"there is no folder {str(file.parent)!r} to save in", "make it first")
        if file.suffix == ".npz":
            np.savez_compressed(file, allow_pickle=False, **self.arrays())
        elif file.suffix == ".png":
            file.write_bytes(self._repr_png_())
        elif file.suffix == ".html":
            from convscope.render.draw import draw_page  # the one way from a result up to its drawing

            file.write_text(draw_page(self), encoding="utf-8")
        else:
            raise BadOption(f"cannot save as {file.suffix or file.name!r}", "name the file .png, .html or .npz")
        return file

    def _repr_png_(self) -> bytes:
        from convscope.render.draw import draw_picture

        return draw_picture(self)


def checked(function: Callable[Arguments, Answer]) -> Callable[Arguments, Answer]:
    """Checks the arguments of a technique or study against its own signature; BadOption names what is wrong."""
    validated = validate_call(config=ConfigDict(arbitrary_types_allowed=True, strict=False))(function)
    names = [name for name in inspect.signature(function).parameters if name != "watch"]

    @functools.wraps(function)
    def call(*positional: Arguments.args, **options: Arguments.kwargs) -> Answer:
        try:
            return validated(*positional, **options)
        except ValidationError as error:
            raise refusal(function.__name__, names, error) from None

    return call


def refusal(function: str, names: list[str], error: ValidationError) -> BadOption:
    """pydantic's first complaint in our words; `field` is the argument that it is about."""
    first = error.errors()[0]
    start, *rest = first["loc"]
    if isinstance(start, int) and start < len(names):  # a positional is known by its number
        start = names[start]
    place = ".".join(str(part) for part in (start, *rest) if isinstance(part, int) or part == start)
    if first["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        near = get_close_matches(place, names, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(names)}"
        found = BadOption(f"{function} has no option {place!r}", hint)
    elif first["type"] == "missing_argument":
        found = BadOption(f"{function} needs {place!r}", f"it takes {', '.join(names)}")
    else:
        found = BadOption(f"{function}: {place} is {first['input']!r}", first["msg"])
    found.field = str(start)
    return found
