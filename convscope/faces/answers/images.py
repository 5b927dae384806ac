"""The images of an atlas, as a list that can be searched and one by one."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from convscope.atlas import Atlas
from convscope.errors import BadOption
from convscope.faces.answers.rates import rounded

PAGE = 500  # rows in one answer, at most


class ImageList:
    """The table of images as the page asks for it."""

    def __init__(self, atlas: Atlas) -> None:
        self.atlas = atlas
        self.table = atlas.images

    @cached_property
    def folder(self) -> str:
        """The folder that all files lie in: it need not be said of every one."""
        return common_folder([*self.table["uri"].to_pylist(), *self.atlas.skipped["uri"].to_pylist()])

    @cached_property
    def names(self) -> pa.Array:
        """The files' names without the common folder."""
        return pa.array([shortened(uri, self.folder) for uri in self.table["uri"].to_pylist()], pa.string())

    def select(
        self,
        offset: int = 0,
        count: int = 120,
        label: str | None = None,
        predicted: int | None = None,
        correct: bool | None = None,
        search: str = "",
    ) -> dict[str, Any]:
        """{total, rows}: the images that fit, in the order of the table."""
        fits = np.ones(len(self.table), bool)
        if label is not None:
            fits &= pc.equal(self.table["label"].fill_null(""), label).to_numpy()  # none and an empty one are alike
        if predicted is not None:
            fits &= pc.equal(self.table["predicted_class"], predicted).to_numpy()
        if correct is not None:
            fits &= pc.equal(self.table["correct"], correct).fill_null(False).to_numpy()
        if search:
            fits &= pc.match_substring(self.names, search, ignore_case=True).to_numpy(zero_copy_only=False)
        chosen = np.flatnonzero(fits)
        rows = chosen[offset : offset + min(count, PAGE)].tolist()
        return {"total": len(chosen), "rows": [self.short(row) for row in rows]}

    def short(self, row: int) -> dict[str, Any]:
        """What a list says of an image."""
        columns = ("label", "correct", "predicted_class", "probability")
        label, correct, predicted, probability = (self.table[name][row].as_py() for name in columns)
        return {
            "row": row,
            "name": self.names[row].as_py(),
            "label": label,
            "predicted": predicted,
            "probability": rounded(probability),
            "correct": correct,
        }

    def full(self, row: int) -> dict[str, Any]:
        """What the page of an image says of it; BadOption where there is no such row."""
        self.check(row)
        columns = ("height", "width", "top_classes", "top_probabilities")
        height, width, classes, probabilities = (self.table[name][row].as_py() for name in columns)
        top = [[one, rounded(probability)] for one, probability in zip(classes, probabilities, strict=True)]
        return self.short(row) | {"height": height, "width": width, "top": top}

    def check(self, row: int) -> None:
        """BadOption where there is no such row."""
        if not 0 <= row < len(self.table):
            raise BadOption(f"the atlas has {len(self.table):,} images, so {row} is none", "images are counted from 0")

    def skipped(self) -> list[list[str]]:
        """File and reason of all that could not be read."""
        return [[shortened(one["uri"], self.folder), one["reason"]] for one in self.atlas.skipped.to_pylist()]


def common_folder(uris: Sequence[str]) -> str:
    """The folder that all names start with, with its last slash: it need not be said of every one."""
    first, last = min(uris, default=""), max(uris, default="")
    differs = (at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other)
    return first[: first.rfind("/", 0, next(differs, min(len(first), len(last)))) + 1]


def shortened(uri: str, folder: str) -> str:
    """A name without the common folder."""
    return uri.removeprefix(folder)
