"""What a step costs, counted: multiplications and moved bytes, the same on every machine.

So the choices that rest on it do not depend on timing, and neither do results. The unit is the time of one
multiplication in a large convolution.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, fx

from convscope.models.convolution import Convolution
from convscope.models.incremental.local import Fields, Rule, field_of, is_map
from convscope.models.incremental.spans import Windows
from convscope.models.rules.call import shape_of
from convscope.models.steps import CHANGING, Step, sources_of

BYTE = 2.0  # units for a byte that is read and written
GROUPED = 3.0  # units for a multiplication of a grouped convolution
CALL = 1.0e6  # units for starting a step once, and for each
WEIGHT = 16.0  # of its weights, which oneDNN brings into another order every time
NUMBER = 4  # bytes

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Costs:
    """Arrays over the steps: the window of a step is h×w cells, and it reads (h·stride + kernel − stride) rows."""

    cell: Floats  # units for a cell of the window
    read: Floats  # units for a cell that the window reads
    stride: NDArray[np.float64]  # steps × (rows, columns)
    kernel: NDArray[np.float64]
    whole: Floats  # units for the whole map
    start: Floats  # units for starting a step once, whatever the number of positions
    change: Floats  # units for making whole maps of the windows that are still read, before each step


def multiplications(step: Step) -> int:
    """Of a convolution or linear layer, for one image and one place of its result; else 0."""
    name = getattr(step.operator, "__name__", "").split(".")[0]
    if not isinstance(step.operator, Convolution) and name not in ("linear", "addmm"):
        return 0
    matrix = step.arguments[2 if name == "addmm" else 1]
    shape = (matrix.meta["val"] if isinstance(matrix, fx.Node) else matrix).shape
    return prod(shape) if all(isinstance(size, int) for size in shape) else 0


def places(step: Step) -> int:
    """At how many places a convolution or linear layer multiplies, on a whole image."""
    shape = shape_of(step.node.meta["val"] if isinstance(step.node.meta["val"], Tensor) else step.node.meta["val"][0])
    return prod(shape[2:]) if isinstance(step.operator, Convolution) else prod(shape[:-1])


def count(step: Step) -> int:
    """Multiplications of a step on one whole image."""
    each = multiplications(step)
    return each * places(step) if each else 0


def counts(steps: Sequence[Step], rules: Sequence[Rule | None], spans: Windows) -> tuple[int, float]:
    """Multiplications of the network on one image, and of exact windows, the mean over all positions."""
    whole, some = 0, 0.0
    for step, rule in zip(steps, rules, strict=True):
        total = count(step)
        whole += total
        if total and rule is not None and step.node in spans:
            rows, columns = spans[step.node]
            some += total * float(rows.sizes.mean() / rows.cells) * float(columns.sizes.mean() / columns.cells)
        else:
            some += total
    return whole, some


def channels(node: fx.Node, fields: Fields) -> float:
    """Numbers at one row and column of a map; of anything else all numbers."""
    field = field_of(node, fields)
    if field is None:
        return 0.0
    size = float(prod(field.shape))
    if field.axes is None or "H" not in field.axes or "W" not in field.axes:
        return size
    return size / field.shape[field.axes.index("H")] / field.shape[field.axes.index("W")]


def costs_of(steps: Sequence[Step], rules: Sequence[Rule | None], spans: Windows, fields: Fields) -> Costs:
    """The costs of all steps."""
    total = len(steps)
    cell, read, whole = np.zeros(total), np.zeros(total), np.zeros(total)
    start = np.full(total, CALL)
    stride, kernel = np.ones((total, 2)), np.ones((total, 2))
    for at, (step, rule) in enumerate(zip(steps, rules, strict=True)):
        out = channels(step.node, fields)
        factor = GROUPED if isinstance(step.operator, Convolution) and step.operator.groups > 1 else 1.0
        work = factor * multiplications(step)
        moved = BYTE * NUMBER * out
        cells = float(np.prod([one.cells for one in spans[step.node]])) if step.node in spans else 1.0
        whole[at] = factor * count(step) + moved * cells
        start[at] += WEIGHT * multiplications(step)
        if rule is None:
            continue
        cell[at] = work + moved
        if rule.kind == "slide":
            inside = 1.0 if isinstance(step.operator, Convolution) else float(prod(s.kernel for s in rule.slides))
            cell[at] += moved * (inside - 1) / 2
            whole[at] += moved * (inside - 1) / 2 * cells
            if any((slide.kernel, slide.stride, slide.before) != (1, 1, 0) for slide in rule.slides):
                read[at] = 2 * BYTE * NUMBER * channels(rule.sources[0], fields)
            stride[at] = [slide.stride for slide in rule.slides]
            kernel[at] = [slide.kernel for slide in rule.slides]
        else:
            late = [source for source in rule.sources if not aligned(source, step.node, spans)]
            read[at] = 2 * BYTE * NUMBER * sum(channels(source, fields) for source in late)
    return Costs(cell, read, stride, kernel, whole, start, changes(steps, rules, spans, fields))


def aligned(source: fx.Node, node: fx.Node, spans: Windows) -> bool:
    """Whether two tensors are dirty at the same rows and columns, whatever the position."""
    if source not in spans or node not in spans:
        return source in spans
    pairs = zip(spans[source], spans[node], strict=True)
    return all(
        one.cells == other.cells and (one.first == other.first).all() and (one.stop == other.stop).all()
        for one, other in pairs
    )


def changes(steps: Sequence[Step], rules: Sequence[Rule | None], spans: Windows, fields: Fields) -> Floats:
    """Before each step (and after the last): the cost of making whole maps of what is still read.

    Infinite where one of these is no map, or will be overwritten: the clean image's own value is then no more.
    """
    last = {source: at for at, step in enumerate(steps) for source in sources_of(step)}
    made = {step.node: at for at, step in enumerate(steps)}
    found = np.zeros(len(steps) + 1)
    for at, (step, rule) in enumerate(zip(steps, rules, strict=True)):
        if rule is None or step.node not in spans:
            continue
        size = np.inf
        if is_map(step.node, fields):
            size = (
                2
                * BYTE
                * NUMBER
                * channels(step.node, fields)
                * float(np.prod([one.cells for one in spans[step.node]]))
            )
        found[at + 1 : last.get(step.node, at) + 1] += size
    for at, step in enumerate(steps):
        if step.operator in CHANGING:
            found[made[step.arguments[0]] + 1 : at + 1] = np.inf
    return found
