"""Which positions run together, and up to which step on windows: chosen by counting, so the same on every machine.

Positions whose windows have nearly the same sizes in all layers form a class, along each axis by itself; a group is one
class of rows with one of columns, and its windows have the greatest size in it. Few classes waste multiplications,
many make small batches.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import fx

from convscope.models.incremental.costs import Costs, Floats
from convscope.models.incremental.local import Rule
from convscope.models.incremental.spans import Windows
from convscope.models.steps import Step

CLASSES = 8  # at most, an axis
BATCH = 32  # positions at most
STEPS = (4, 2, 1)  # of the coarse grids
FEW = 128  # positions that need no coarse grid
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Group:
    """Positions that run together: some rows with some columns, or a part of these."""

    rows: Integers  # of the grid of positions
    columns: Integers
    cut: int  # steps before it run on windows, where they can
    pairs: Integers  # n×2: which of `rows` and which of `columns`, in the order of running


@dataclass(frozen=True, eq=False)
class Shapes:
    """Window sizes of all positions, steps × positions, along each axis."""

    rows: Integers
    columns: Integers


def sizes(steps: Sequence[Step], rules: Sequence[Rule | None], spans: Windows) -> Shapes:
    """Dirty cells of the steps that run on windows; 0 of all others."""
    count = [len(one.first) for one in next(iter(spans.values()))]
    found = [np.zeros((len(steps), number), np.int64) for number in count]
    for at, (step, rule) in enumerate(zip(steps, rules, strict=True)):
        if rule is not None and step.node in spans:
            for axis in (0, 1):
                found[axis][at] = spans[step.node][axis].sizes
    return Shapes(found[0], found[1])


class Planner:
    """Chooses groups for any set of positions of one geometry."""

    def __init__(
        self, steps: Sequence[Step], rules: Sequence[Rule | None], spans: Windows, costs: Costs, neck: int
    ) -> None:
        self.steps, self.rules, self.spans, self.costs = steps, rules, spans, costs
        self.shapes = sizes(steps, rules, spans)
        self.local = np.array([rule is not None for rule in rules])
        self.start = float(costs.start[:neck].sum())
        self.after = np.concatenate([np.cumsum(costs.whole[::-1])[::-1], [0.0]])  # whole maps from each step on

    def cost(self, height: Integers, width: Integers) -> tuple[float, int]:
        """Units for a position whose windows have these sizes (over the steps), and the best cut."""
        costs = self.costs
        reads = ((height - 1) * costs.stride[:, 0] + costs.kernel[:, 0]) * (
            (width - 1) * costs.stride[:, 1] + costs.kernel[:, 1]
        )
        area = height * width
        window = np.where(self.local, (costs.cell * area + costs.read * reads) * (area > 0), costs.whole)
        before = np.concatenate([[0.0], np.cumsum(window)])
        total = before + self.after + costs.change
        best = int(total.argmin())
        return float(total[best]), best

    def groups(self, pairs: Integers, batch: int) -> list[Group]:
        """The groups of some positions, n×2 rows and columns of the grid."""
        rows, columns = np.unique(pairs[:, 0]), np.unique(pairs[:, 1])
        tries = []
        for number in range(1, CLASSES + 1):
            row_classes = self.classes(rows, self.shapes.rows, self.shapes.columns[:, columns], number, 0)
            column_classes = self.classes(columns, self.shapes.columns, self.shapes.rows[:, rows], number, 1)
            tries.append(self.products(pairs, row_classes, column_classes, batch))
            if number > max(len(row_classes), len(column_classes)):
                break
        return min(tries, key=lambda one: one[0])[1]

    def products(
        self, pairs: Integers, row_classes: list[Integers], column_classes: list[Integers], batch: int
    ) -> tuple[float, list[Group]]:
        """Every class of rows with every class of columns, and what they cost together."""
        total, found = 0.0, []
        grid = np.zeros((len(self.shapes.rows[0]), len(self.shapes.columns[0])), bool)
        grid[pairs[:, 0], pairs[:, 1]] = True
        for rows in row_classes:
            height = self.shapes.rows[:, rows].max(1)
            for columns in column_classes:
                chosen = np.argwhere(grid[rows][:, columns])
                if len(chosen):
                    each, cut = self.cost(height, self.shapes.columns[:, columns].max(1))
                    total += each * len(chosen) + self.start * -(-len(chosen) // batch)
                    found.append(Group(rows, columns, cut, chosen))
        return total, found

    def classes(self, members: Integers, own: Integers, others: Integers, number: int, axis: int) -> list[Integers]:
        """At most so many classes of positions along an axis, with the least cost beside the mean of the other axis."""
        costs = self.costs
        across = others.mean(1)
        read = costs.read * np.where(
            across > 0, (across - 1) * costs.stride[:, 1 - axis] + costs.kernel[:, 1 - axis], 0
        )
        weight = np.where(self.local, costs.cell * across + read * costs.stride[:, axis], 0.0)
        order = members[np.argsort(weight @ own[:, members], kind="stable")]
        return [np.array(part) for part in partition(own[:, order], weight, order, number)]


def partition(own: Integers, weight: Floats, order: Integers, number: int) -> list[Integers]:
    """Cuts a row of positions into so many parts that the sum of weight · greatest sizes · positions is least."""
    count = len(order)
    number = min(number, count)
    together = np.full((count, count + 1), np.inf)  # of the positions from i up to, not with, j
    for start in range(count):
        greatest = np.maximum.accumulate(own[:, start:], axis=1)
        together[start, start + 1 :] = (weight @ greatest) * np.arange(1, count - start + 1)
    best = np.full((number + 1, count + 1), np.inf)
    best[0, 0] = 0
    back = np.zeros((number + 1, count + 1), np.int64)
    for part in range(1, number + 1):
        for stop in range(1, count + 1):
            options = best[part - 1, :stop] + together[:stop, stop]
            back[part, stop] = int(options.argmin())
            best[part, stop] = options[back[part, stop]]
    parts, stop = [], count
    for part in range(number, 0, -1):
        start = int(back[part, stop])
        parts.append(order[start:stop])
        stop = start
    return [np.sort(part) for part in parts[::-1] if len(part)]


def coarse_to_fine(shape: tuple[int, int]) -> list[Integers]:
    """Rows and columns (n×2) of a grid: every fourth position, every second one, all; each once."""
    found, seen = [], np.zeros(shape, bool)
    for step in STEPS if shape[0] * shape[1] >= FEW else STEPS[-1:]:
        chosen = np.zeros(shape, bool)
        chosen[::step, ::step] = True
        found.append(np.argwhere(chosen & ~seen))
        seen |= chosen
    return [pairs for pairs in found if len(pairs)]


@dataclass(frozen=True, eq=False)
class Window:
    """Windows of one tensor for the positions of a group: one size, a place for each row and column of the group."""

    height: int
    width: int
    tops: Integers
    lefts: Integers


def windows_of(group: Group, spans: Windows, nodes: Sequence[fx.Node]) -> Mapping[fx.Node, Window]:
    """The windows of a group's dirty tensors; a tensor that is not dirty has none."""
    found = {}
    for node in nodes:
        if node not in spans:
            continue
        rows, columns = spans[node]
        height, width = int(rows.sizes[group.rows].max()), int(columns.sizes[group.columns].max())
        if height and width:
            found[node] = Window(height, width, rows.window(group.rows, height), columns.window(group.columns, width))
    return found
