"""Receptive fields as intervals: the first and the last input row (column) that each element can see.

An interval is a pair of integer arrays that broadcast against the tensor they describe, so that views, slices,
permutes and concatenations act on them just as they act on the tensor, and each unit keeps its own field even
where branches of unequal reach meet. Beside the exact, clipped arrays runs the endless-image arithmetic of
Araujo, Norris & Sim 2019, Computing Receptive Fields of Convolutional Neural Networks (size, stride, offset).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int32]
NOTHING = np.int32(2**30)  # the `first` of a cell that sees no pixel; its `stop` is 0


@dataclass(frozen=True)
class Reach:
    """On an endless image cell y sees pixels from stride·y + first to stride·y + last, both included."""

    stride: Fraction
    first: Fraction
    last: Fraction

    def shifted(self, cells: int) -> "Reach":
        """As seen from a cell that many cells further."""
        return Reach(self.stride, self.first + self.stride * cells, self.last + self.stride * cells)

    def stepped(self, step: int) -> "Reach":
        """With only every so-many-th cell kept."""
        return replace(self, stride=self.stride * step)

    def widened(self, cells: int) -> "Reach":
        """With that many further cells seen at the end."""
        return replace(self, last=self.last + self.stride * cells)


@dataclass(frozen=True, eq=False)
class Interval:
    """Half-open intervals of input pixels along one image axis, for every element of a tensor."""

    first: Integers
    stop: Integers
    reach: Reach | None = None  # None: irregular, or everything

    def apply(self, change: Callable[[Integers], Integers], reach: Reach | None = None) -> "Interval":
        """The same change of shape on both ends."""
        return Interval(change(self.first), change(self.stop), reach)

    def reduce(self, axes: tuple[int, ...], keep: bool = True) -> "Interval":
        """The union over axes of the tensor."""
        return Interval(self.first.min(axis=axes, keepdims=keep), self.stop.max(axis=axes, keepdims=keep), self.reach)

    def join(self, other: "Interval") -> "Interval":
        """The union, element by element."""
        return Interval(
            np.minimum(self.first, other.first),
            np.maximum(self.stop, other.stop),
            shared_reach([self, other]),
        )

    @property
    def empty(self) -> bool:
        """Whether no element sees any pixel: a constant."""
        return bool((self.stop == 0).all())


def shared_reach(intervals: Sequence[Interval]) -> Reach | None:
    """The reach of intervals seen together; None where one is irregular or their strides differ."""
    reaches = [interval.reach for interval in intervals if not interval.empty]
    known = [reach for reach in reaches if reach is not None]
    if not known or len(known) < len(reaches) or len({reach.stride for reach in known}) > 1:
        return None
    return Reach(known[0].stride, min(reach.first for reach in known), max(reach.last for reach in known))


@dataclass(frozen=True, eq=False)
class Field:
    """What every element of one tensor can see of the image, and what the tensor's axes mean."""

    shape: tuple[int, ...]  # of the tensor for one image: the batch axis counts 1
    rows: Interval
    columns: Interval
    axes: tuple[str, ...] | None  # of "N", "C", "H", "W"; None where they are something else (tokens, windows)

    def apply(
        self, shape: Sequence[int], change: Callable[[Integers], Integers], axes: tuple[str, ...] | None
    ) -> "Field":
        """A change of shape alone: the tensor's new shape, and how to bring an array of as many axes into it."""
        keep = axes or ()
        rows = self.rows.apply(change, self.rows.reach if "H" in keep else None)
        columns = self.columns.apply(change, self.columns.reach if "W" in keep else None)
        return Field(tuple(shape), rows, columns, axes)

    def reduce(self, axes: Sequence[int], shape: Sequence[int]) -> "Field":
        """Each element of the new shape sees what all elements along these axes see together (axes are kept)."""
        turned = tuple(axis % len(self.shape) for axis in axes)
        lost = {self.axes[axis] for axis in turned} if self.axes else {"H", "W"}
        rows, columns = self.rows.reduce(turned), self.columns.reduce(turned)
        if "H" in lost and self.shape[self.axis("H")] > 1:
            rows = replace(rows, reach=None)
        if "W" in lost and self.shape[self.axis("W")] > 1:
            columns = replace(columns, reach=None)
        return Field(tuple(shape), rows, columns, self.axes)

    def axis(self, name: str) -> int:
        """Where an axis of that name is; 0, the batch axis of one image, where there is none."""
        return self.axes.index(name) if self.axes and name in self.axes else 0

    def gather(
        self,
        axis: int,
        taps: Sequence[Integers],
        shape: Sequence[int],
        reach: Callable[[Reach], Reach] | None,
    ) -> "Field":
        """Element o along an axis sees what the inputs tap[o], for each tap, see together; tap -1 is padding.

        `reach` maps the endless-image arithmetic of that axis, or is None where it is irregular.
        """

        def along(interval: Interval, name: str) -> Interval:
            after = interval.reach
            if self.axes is not None and self.axes[axis] == name:
                after = reach(after) if reach and after else None
            if interval.first.shape[axis] == 1 and self.shape[axis] > 1:
                seen = np.any([tap >= 0 for tap in taps], axis=0)
                if seen.all():
                    return replace(interval, reach=after)
            ends = []
            for array, neutral, better in (
                (interval.first, NOTHING, np.minimum),
                (interval.stop, np.int32(0), np.maximum),
            ):
                size = [*array.shape]
                size[axis] = 1
                wide = np.broadcast_to(array, [*array.shape[:axis], self.shape[axis], *array.shape[axis + 1 :]])
                padded = np.concatenate([wide, np.full(size, neutral, np.int32)], axis=axis)
                found = np.take(padded, taps[0], axis=axis)
                for tap in taps[1:]:
                    found = better(found, np.take(padded, tap, axis=axis))
                ends.append(found)
            return Interval(ends[0], ends[1], after)

        return Field(tuple(shape), along(self.rows, "H"), along(self.columns, "W"), self.axes)

    def window(self, axis: int, size: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> "Field":
        """A window that slides along one axis, as in convolutions and pools; `size` is the output's."""
        cells = np.arange(size, dtype=np.int32) * stride - padding
        taps = [inside(cells + step * dilation, self.shape[axis]) for step in range(kernel)]
        shape = [*self.shape]
        shape[axis] = size
        across = dilation * (kernel - 1)
        return self.gather(axis, taps, shape, lambda r: r.shifted(-padding).widened(across).stepped(stride))

    def full(self) -> "Field":
        """The same with arrays as large as the tensor, for changes of shape that broadcasting cannot follow."""
        return replace(self, rows=self._full(self.rows), columns=self._full(self.columns))

    def _full(self, interval: Interval) -> Interval:
        return interval.apply(lambda array: np.ascontiguousarray(np.broadcast_to(array, self.shape)), interval.reach)

    @property
    def mixes_batch(self) -> bool:
        """Whether a rule went along an axis that mixes the batch with something else, whose length is not known."""
        return 0 in self.rows.first.shape or 0 in self.columns.first.shape

    def compact(self) -> "Field":
        """The same with every axis along which nothing changes cut to length 1."""

        def slim(interval: Interval) -> Interval:
            for axis in range(interval.first.ndim):
                one_first, one_stop = interval.first.take([0], axis), interval.stop.take([0], axis)
                if (interval.first == one_first).all() and (interval.stop == one_stop).all():
                    interval = Interval(one_first, one_stop, interval.reach)
            return interval

        return replace(self, rows=slim(self.rows), columns=slim(self.columns))


def image_field(height: int, width: int) -> Field:
    """The image itself: 1×3×H×W, each pixel sees itself."""
    single = Reach(Fraction(1), Fraction(0), Fraction(0))
    row = np.arange(height, dtype=np.int32).reshape(1, 1, height, 1)
    column = np.arange(width, dtype=np.int32).reshape(1, 1, 1, width)
    rows, columns = Interval(row, row + 1, single), Interval(column, column + 1, single)
    return Field((1, 3, height, width), rows, columns, ("N", "C", "H", "W"))


def constant_field(shape: Sequence[int]) -> Field:
    """A tensor that does not depend on the image."""
    ones = [1] * len(shape)
    nothing = Interval(np.full(ones, NOTHING), np.zeros(ones, np.int32))
    return Field(tuple(shape), nothing, nothing, None)


def inside(index: NDArray[np.int64] | Integers, size: int) -> Integers:
    """The index where it lies in 0 … size - 1, else -1 (padding)."""
    return np.where((index >= 0) & (index < size), index, -1).astype(np.int32)
