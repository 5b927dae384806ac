"""One batch of positions through the steps: windows as long as they pay, then whole maps."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from convscope.models.graph import operator_name
from convscope.models.incremental.clean import Clean, order_of
from convscope.models.incremental.layout import NOWHERE, Layout, Read
from convscope.models.incremental.local import Rule
from convscope.models.incremental.plan import Integers, Window
from convscope.models.layers import Layer
from convscope.models.steps import CHANGING, Step


class Batch:
    """Values of some positions of a group; a node without a value is as on the clean image."""

    def __init__(self, clean: Clean, layout: Layout | None, pairs: Integers, known: Mapping[fx.Node, Any]) -> None:
        self.clean, self.layout = clean, layout
        self.rows, self.columns = pairs[:, 0], pairs[:, 1]
        self.row_index, self.column_index = (torch.from_numpy(part.copy()) for part in (self.rows, self.columns))
        self.count = len(pairs)
        self.values: dict[fx.Node, Any] = dict(known)
        self.whole = set(known)
        self.wholes: dict[fx.Node, Tensor] = {}  # of values on windows, which others still read as windows

    def window(self, node: fx.Node) -> Window | None:
        """The windows of a node's value, where it is one of windows."""
        windows = self.layout.windows if self.layout is not None else {}
        return windows.get(node) if node in self.values and node not in self.whole else None

    def on_windows(self, at: int, step: Step, rule: Rule) -> None:
        """Runs a step on windows of what it reads."""
        assert self.layout is not None
        if rule.kind == "mean":
            self.values[step.node] = self.mean(step, rule)
            self.whole.add(step.node)
            return
        if rule.kind == "cat" and any(not self.layout.reads[at, source].same for source in rule.sources):
            self.values[step.node] = self.joined(at, step)
            return
        read = {source: self.read(source, self.layout.reads[at, source], rule.outside) for source in rule.sources}
        arguments, keywords = fx.node.map_arg((step.arguments, step.keywords), lambda source: self.given(source, read))
        if rule.kind == "reshape":
            shape = list(step.node.meta["val"].shape[1:-2])
            first = arguments[0]
            self.values[step.node] = first.reshape(self.count, *shape, *first.shape[-2:])
            return
        self.values[step.node] = (rule.run or step.operator)(*arguments, **keywords)

    def given(self, source: fx.Node, read: Mapping[fx.Node, Any]) -> Any:
        """An argument on windows: what was read, or what is the same at every place."""
        return read[source] if source in read else self.clean.values[source]

    def read(self, source: fx.Node, read: Read, outside: float) -> Any:
        """A rectangle of a source with its changed values in it, axes as the operator knows them."""
        if read.same and source in self.values:
            return self.values[source]
        return self.clean.as_known(self.assembled(source, read, outside), source)

    def assembled(self, source: fx.Node, read: Read, outside: float) -> Tensor:
        """N×height×width×C: clean values, and over them the changed ones."""
        rows = read.rows.index_select(0, self.row_index.to(read.rows.device))
        columns = read.columns.index_select(0, self.column_index.to(read.columns.device))
        found = self.clean.gather(source, rows, columns, outside)
        if source in self.values:
            self.paste(found, source, read)
        return found

    def paste(self, found: Tensor, source: fx.Node, read: Read) -> None:
        """Writes the source's own windows into rectangles N×height×width×C; runs that lie alike at once."""
        own = self.values[source].permute(order_of(source, self.clean.fields))
        tops, lefts = read.row_offsets[self.rows], read.column_offsets[self.columns]
        changes = np.flatnonzero((np.diff(tops) != 0) | (np.diff(lefts) != 0)) + 1
        for start, stop in zip([0, *changes.tolist()], [*changes.tolist(), self.count], strict=True):
            top, left = int(tops[start]), int(lefts[start])
            into_top, into_left = max(top, 0), max(left, 0)
            height = min(own.shape[1] + min(top, 0), found.shape[1] - into_top)
            width = min(own.shape[2] + min(left, 0), found.shape[2] - into_left)
            if height > 0 and width > 0:
                part = own[start:stop, into_top - top :, into_left - left :][:, :height, :width]
                found[start:stop, into_top : into_top + height, into_left : into_left + width] = part

    def joined(self, at: int, step: Step) -> Tensor:
        """A concatenation of channels: cut out of the clean one, each changed part pasted in."""
        assert self.layout is not None
        read = self.layout.reads[at, step.node]
        found = self.assembled(step.node, read, 0.0)
        start = 0
        for source in step.arguments[0]:
            units = self.clean.fields[source].shape[(self.clean.fields[source].axes or ()).index("C")]
            if source in self.values:
                self.paste(found[..., start : start + units], source, self.layout.reads[at, source])
            start += units
        return self.clean.as_known(found, step.node)

    def mean(self, step: Step, rule: Rule) -> Tensor:
        """A mean or sum over all places, from the clean one and the sum of what changed."""
        source = rule.sources[0]
        window = self.window(source)
        assert window is not None
        order = order_of(source, self.clean.fields)
        height, width = (self.clean.fields[source].shape[axis] for axis in order[1:3])
        device = self.values[source].device
        tops, lefts = torch.from_numpy(window.tops[self.rows]), torch.from_numpy(window.lefts[self.columns])
        rows = (tops[:, None] + torch.arange(window.height)).to(device)
        columns = (lefts[:, None] + torch.arange(window.width)).to(device)
        changed = self.values[source].permute(order) - self.clean.gather(source, rows, columns)
        sums = changed.sum((1, 2), dtype=torch.float64)
        before: Tensor = self.clean.values[step.node]
        share = 1 if operator_name(step.node) == "sum" else 1 / (height * width)
        found: Tensor = (before.double() + (sums * share).reshape(self.count, *before.shape[1:])).to(before.dtype)
        return found

    def sum_of(self, layer: Layer, unit: int, before: Tensor, integral: Tensor) -> Tensor:
        """The sum of a unit's map for every position, on the CPU; integral: of the clean map, up to each place."""
        values = layer.ordered(self.values[layer.node])[:, unit]
        window = self.window(layer.node)
        if window is None:
            return values.reshape(self.count, -1).sum(1, dtype=torch.float64).cpu()
        tops, lefts = torch.from_numpy(window.tops[self.rows]), torch.from_numpy(window.lefts[self.columns])
        bottoms, rights = tops + window.height, lefts + window.width
        old = integral[bottoms, rights] - integral[tops, rights] - integral[bottoms, lefts] + integral[tops, lefts]
        return before - old + values.sum((1, 2), dtype=torch.float64).cpu()

    def on_whole(self, step: Step, numbers: Mapping[fx.Node, Any]) -> None:
        """Runs a step on whole maps of what it reads."""

        def argument(source: fx.Node) -> Any:
            if source in numbers:
                return numbers[source]
            return self.full(source)

        arguments, keywords = fx.node.map_arg((step.arguments, step.keywords), argument)
        first = step.arguments[0] if step.arguments else None
        if step.operator in CHANGING and first not in self.values:
            arguments = (arguments[0].clone(), *arguments[1:])
        self.values[step.node] = step.operator(*arguments, **keywords)
        self.whole.add(step.node)

    def full(self, source: fx.Node) -> Any:
        """The whole value of a node for every position; a weight as it is."""
        if source in self.wholes:
            return self.wholes[source]
        if source in self.whole:
            return self.values[source]
        if source not in self.values:
            clean = self.clean.values[source]
            return self.repeated(clean) if source in self.clean.changing else clean
        window = self.window(source)
        assert window is not None
        table = self.clean.table(source)[:-1, :-1]
        found = table.expand(self.count, *table.shape).contiguous()
        self.paste(found, source, Read(NOWHERE, NOWHERE, window.tops, window.lefts, False))
        self.wholes[source] = self.clean.as_known(found, source)
        return self.wholes[source]

    def forget(self, node: fx.Node) -> None:
        """Lets go of a value that nobody reads any more."""
        self.values.pop(node, None)
        self.wholes.pop(node, None)

    def repeated(self, value: Any) -> Any:
        """The clean image's value for every position."""
        if isinstance(value, tuple | list):
            return tuple(self.repeated(part) for part in value)
        return value.expand(self.count, *value.shape[1:]) if isinstance(value, Tensor) else value
