"""Names for what is passed around, with their units: boxes, places, pixels."""

from typing import NamedTuple


class Place(NamedTuple):
    """A cell of a map: row and column, counted from 0 at the upper left."""

    row: int
    column: int


class Box(NamedTuple):
    """A half-open rectangle: pixels from (top, left) up to, not with, (bottom, right)."""

    top: float
    left: float
    bottom: float
    right: float

    @property
    def height(self) -> float:
        """Rows that the box covers, px."""
        return self.bottom - self.top

    @property
    def width(self) -> float:
        """Columns that the box covers, px."""
        return self.right - self.left

    def clipped(self, height: float, width: float) -> "Box":
        """The part of the box inside an image of that size (empty boxes come out with no area)."""
        top, bottom = (min(max(edge, 0.0), height) for edge in (self.top, self.bottom))
        left, right = (min(max(edge, 0.0), width) for edge in (self.left, self.right))
        return Box(top, left, max(top, bottom), max(left, right))
