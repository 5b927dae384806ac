"""Where each step of a group reads: computed once for a group, used by all of its batches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx

from convscope.models.incremental.local import Rule
from convscope.models.incremental.plan import Group, Integers, Window
from convscope.models.steps import Step

Mode = Literal["skip", "window", "whole"]


@dataclass(frozen=True, eq=False)
class Read:
    """What a step reads of a source: a rectangle for each row and each column of the group."""

    rows: Tensor  # members × height: rows of the source; one past its last: outside
    columns: Tensor  # members × width
    row_offsets: Integers  # members: where the source's own window begins in the rectangle
    column_offsets: Integers
    same: bool  # whether the rectangle is the source's own window


NOWHERE = torch.empty(0, dtype=torch.int64)
SAME = Read(NOWHERE, NOWHERE, np.empty(0, np.int64), np.empty(0, np.int64), same=True)


@dataclass(frozen=True, eq=False)
class Layout:
    """How every step of a group runs, and what those on windows read."""

    group: Group
    windows: Mapping[fx.Node, Window]
    cells: Mapping[fx.Node, tuple[int, int]]  # rows and columns of every map
    modes: tuple[Mode, ...]
    reads: Mapping[tuple[int, fx.Node], Read]  # (step, source)
    pairs: Integers  # of the group, those that stand alike in their rectangles next to each other


def lay_out(
    group: Group,
    windows: Mapping[fx.Node, Window],
    steps: Sequence[Step],
    rules: Sequence[Rule | None],
    cells: Mapping[fx.Node, tuple[int, int]],
    device: torch.device,
) -> Layout:
    """The layout of a group; cells: rows and columns of every map."""
    modes: list[Mode] = []
    reads: dict[tuple[int, fx.Node], Read] = {}
    for at, (step, rule) in enumerate(zip(steps, rules, strict=True)):
        if rule is None or at >= group.cut:
            modes.append("whole")
        elif rule.kind == "mean":
            modes.append("window" if rule.sources[0] in windows else "skip")
        elif step.node not in windows:
            modes.append("skip")
        else:
            modes.append("window")
            own = (step.node,) if rule.kind == "cat" else ()
            for source in (*rule.sources, *own):
                known = windows.get(source)
                shape = cells.get(source)  # what is no map cannot be cut, and its windows are those of the result
                reads[at, source] = SAME if shape is None else read_of(rule, windows[step.node], known, shape, device)
    return Layout(group, windows, cells, tuple(modes), reads, sorted_pairs(group.pairs, list(reads.values())))


def read_of(rule: Rule, out: Window, own: Window | None, cells: tuple[int, int], device: torch.device) -> Read:
    """What a window of the result needs of a source whose own window is given."""
    ends = []
    for axis, (start, size) in enumerate(((out.tops, out.height), (out.lefts, out.width))):
        if rule.slides:
            slide = rule.slides[axis]
            start, size = start * slide.stride - slide.before, slide.read(size)
        index = start[:, None] + np.arange(size)
        index = np.where((index >= 0) & (index < cells[axis]), index, cells[axis])
        begin = start if own is None else (own.tops, own.lefts)[axis]
        ends.append((torch.from_numpy(index).to(device), begin - start, size))
    (rows, row_offsets, height), (columns, column_offsets, width) = ends
    still = not row_offsets.any() and not column_offsets.any()
    same = own is not None and still and (own.height, own.width) == (height, width)
    return Read(rows, columns, row_offsets, column_offsets, same)


def sorted_pairs(pairs: Integers, reads: Sequence[Read]) -> Integers:
    """The positions in such an order that those whose windows lie alike in all rectangles are next to each other."""

    def ranks(offsets: list[Integers]) -> NDArray[np.int64]:
        if not offsets:
            return np.zeros(int(pairs.max()) + 1, np.int64)
        return np.unique(np.stack(offsets), axis=1, return_inverse=True)[1].reshape(-1)

    moved = [read for read in reads if not read.same]
    rows, columns = ranks([read.row_offsets for read in moved]), ranks([read.column_offsets for read in moved])
    return pairs[np.lexsort((columns[pairs[:, 1]], rows[pairs[:, 0]]))]
