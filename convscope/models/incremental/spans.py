"""The dirty windows: receptive intervals read the other way.

An element is dirty where the pixels that it sees and those that the occluder hides have some in common. Rows and
columns are apart, so the dirty elements of a map lie in a rectangle.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import fx

from convscope.models.net import Net
from convscope.models.occluders import Positions
from convscope.models.receptive import Field, Interval

Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Spans:
    """Along one axis of one tensor: for every position of the occluder the first dirty cell, and one past the last."""

    first: Integers
    stop: Integers
    cells: int  # how many the tensor has along this axis

    @property
    def sizes(self) -> Integers:
        """How many cells are dirty."""
        return self.stop - self.first

    def window(self, members: Integers, size: int) -> Integers:
        """Where a window of one size for all of these positions begins, that has their dirty cells in it."""
        found: Integers = np.minimum(self.first[members], self.cells - size)
        return found


def spans_of(field: Field, name: str, starts: Integers, stops: Integers) -> Spans | None:
    """Dirty cells along axis "H" or "W" for occluders from each start to each stop, px; None without such an axis."""
    if field.axes is None or name not in field.axes:
        return None
    axis = field.axes.index(name)
    interval = field.rows if name == "H" else field.columns
    first, stop = hull(interval, axis, field.shape[axis])
    dirty = (first < stops[:, None]) & (stop > starts[:, None])
    some = dirty.any(1)
    begin = np.where(some, dirty.argmax(1), 0)
    end = np.where(some, dirty.shape[1] - dirty[:, ::-1].argmax(1), 0)
    return Spans(begin, end, field.shape[axis])


def hull(interval: Interval, axis: int, cells: int) -> tuple[Integers, Integers]:
    """For each cell along an axis the first pixel that any element there sees, and one past the last."""
    others = tuple(other for other in range(interval.first.ndim) if other != axis)
    first, stop = interval.first.min(axis=others), interval.stop.max(axis=others)
    return np.broadcast_to(first, cells).astype(np.int64), np.broadcast_to(stop, cells).astype(np.int64)


Windows = dict[fx.Node, tuple[Spans, Spans]]  # rows and columns of every tensor that has both


def all_spans(net: Net, positions: Positions) -> Windows:
    """The dirty cells of every tensor, for all positions; parts of a split have those of the whole."""
    found = {}
    for node, field in net.fields.items():
        rows = spans_of(field, "H", positions.tops, positions.bottoms)
        columns = spans_of(field, "W", positions.lefts, positions.rights)
        if rows is not None and columns is not None:
            found[node] = (rows, columns)
    for node in net.graph.nodes:
        source = node.args[0] if node.args else None
        if isinstance(source, fx.Node) and source in found and isinstance(node.meta.get("val"), list | tuple):
            found[node] = found[source]
            found.update({user: found[source] for user in node.users if user in found})
    return found
