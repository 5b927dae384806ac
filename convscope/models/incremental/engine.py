"""Exact incremental inference: one image, many positions of an occluder, and only what changes computed anew.

Nakandala, Kumar & Papakonstantinou 2019, Incremental and approximate inference for faster occlusion-based deep CNN
explanations (SIGMOD), without its approximations. At every layer the window that the occluder can change is cut out of
the clean image's values with what the operator reads around it, the changed values are pasted in, and the operator runs
on the windows of many positions at once. Where the change has spread over most of the map, whole maps take over.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, fx

from convscope.models.graph import operator_name
from convscope.models.incremental import operators as operators  # registers the rules
from convscope.models.incremental.batch import Batch
from convscope.models.incremental.clean import Clean, normalised
from convscope.models.incremental.costs import aligned, costs_of, counts
from convscope.models.incremental.layout import lay_out
from convscope.models.incremental.local import Rule, find_rule, is_map, is_tensor
from convscope.models.incremental.memory import GROWTH, Heap, bytes_of, need, room
from convscope.models.incremental.plan import BATCH, Integers, Planner, coarse_to_fine, windows_of
from convscope.models.incremental.spans import Windows, all_spans
from convscope.models.layers import Layer
from convscope.models.net import Net
from convscope.models.occluders import Occluder, Positions
from convscope.models.steps import CHANGING, Step, Steps, sources_of

TAIL = 256  # positions whose vectors go through the last layers together
Unit = tuple[Layer, int]


@dataclass(frozen=True, eq=False)
class Found:
    """What the net says of some positions."""

    rows: Integers  # of the grid
    columns: Integers
    scores: Float[Tensor, "n classes"]
    sums: Float[Tensor, "n units"]  # of each followed unit, over all places of its map


@dataclass(frozen=True, eq=False)
class Geometry:
    """What is known of one grid of positions before anything runs."""

    positions: Positions
    spans: Windows
    rules: tuple[Rule | None, ...]
    planner: Planner
    clean: Clean  # the clean image's values, all that these rules read
    ideal: float  # multiplications of a whole forward, for one of exact windows


class Incremental:
    """A net looking at one image, ready for any positions of any occluder."""

    def __init__(
        self,
        net: Net,
        pixels: Float[Tensor, "1 3 height width"],
        followed: Sequence[Unit] = (),
        memory: float | None = None,
    ) -> None:
        """followed: units whose sums are wanted; memory: GB to work in, else a quarter of what is free."""
        self.net, self.pixels, self.followed = net, pixels.to(net.device), tuple(followed)
        self.input, self.output = net.graph.pixels, net.graph.scores
        self.compiled = Steps(net, {self.output, *(layer.node for layer, _ in followed)})
        self.steps = self.compiled.all
        changing = frozenset(node for node in net.graph.from_pixels if is_tensor(node))
        self.rules = settled(self.steps, [find_rule(step, net.fields, changing) for step in self.steps])
        self.numbers = [step for step in self.steps if not is_tensor(step.node)]
        self.neck, self.waist = find_neck(self.steps, self.rules, changing, self.input)
        self.cells = {node: cells_of(net, node) for node in net.fields if is_map(node, net.fields)}
        self.clean = self.look(self.rules)
        own = [value for node, value in self.clean.values.items() if node not in net.graph.weights]
        folded = [value for step in self.steps for value in step.arguments if isinstance(value, Tensor)]
        self.room = room(memory, net.device, 2 * bytes_of(own) + bytes_of(folded))  # values are kept as tables too
        self.heap = Heap(min(self.room / 2, GROWTH))

    def look(self, rules: Sequence[Rule | None]) -> Clean:
        """The clean image's values; those that are overwritten on windows too need not be kept."""
        pairs = [pair for pair in zip(self.steps, rules, strict=True) if pair[0].operator in CHANGING]
        overwritten = frozenset(
            step.arguments[0] for step, rule in pairs if rule is not None and sees_alike(self.net, step)
        )
        with torch.inference_mode():
            return Clean(self.net, self.compiled, self.pixels, self.followed, overwritten)

    @property
    def scores(self) -> Float[Tensor, " classes"]:
        """Of the clean image."""
        scores: Tensor = self.clean.values[self.output][0]
        return scores.clone()

    @property
    def sums(self) -> Float[Tensor, " units"]:
        """Of the followed units, over all places of their clean maps."""
        return self.clean.sums

    def run(self, positions: Positions, occluder: Occluder) -> Iterator[Found]:
        """Scores and sums for all positions, a few at a time, from a coarse grid to the finest."""
        geometry = self.geometry(positions)
        for pairs in coarse_to_fine(positions.shape):
            yield from self.run_some(geometry, occluder, pairs)

    def geometry(self, positions: Positions) -> Geometry:
        """What a grid of positions makes dirty, and what it costs."""
        spans = all_spans(self.net, positions)
        pairs = zip(self.steps, self.rules, strict=True)
        rules = settled(self.steps, [rule if rule and self.fits(step, rule, spans) else None for step, rule in pairs])
        clean = self.clean if rules == self.rules else self.look(rules)
        costs = costs_of(self.steps, rules, spans, self.net.fields)
        planner = Planner(self.steps, rules, spans, costs, self.neck)
        whole, some = counts(self.steps, rules, spans)
        return Geometry(positions, spans, rules, planner, clean, whole / max(some, 1.0))

    def fits(self, step: Step, rule: Rule, spans: Windows) -> bool:
        """Whether what a step reads can be cut out where its windows differ from those of the source."""
        cut = rule.kind in ("slide", "mean", "cat")
        return all(source in self.cells or (not cut and aligned(source, step.node, spans)) for source in rule.sources)

    def run_some(self, geometry: Geometry, occluder: Occluder, pairs: Integers, batch: int = BATCH) -> Iterator[Found]:
        """Scores and sums for some positions, n×2 rows and columns of the grid, a batch at a time in any order."""
        waiting: list[tuple[Integers, Tensor, Tensor]] = []
        for group in geometry.planner.groups(pairs, batch):
            windows = windows_of(group, geometry.spans, [self.input, *(step.node for step in self.steps)])
            layout = lay_out(group, windows, self.steps, geometry.rules, self.cells, self.net.device)
            fit = int(self.room // max(need(layout, self.steps, geometry.rules, self.input), 1))
            for part in np.array_split(layout.pairs, -(-len(layout.pairs) // max(min(batch, fit), 1))):
                with torch.inference_mode():
                    one = Batch(geometry.clean, layout, part, {})
                    self.occlude(one, geometry.positions, occluder)
                    sums = self.walk(one, layout.modes, geometry.rules)
                    vector = one.full(self.waist)
                self.heap.check()
                waiting.append((np.stack([group.rows[part[:, 0]], group.columns[part[:, 1]]], 1), vector, sums))
                if self.neck == len(self.steps) or sum(len(at) for at, _, _ in waiting) >= TAIL:
                    yield self.finish(waiting)
                    waiting = []
        if waiting:
            yield self.finish(waiting)

    def occlude(self, batch: Batch, positions: Positions, occluder: Occluder) -> None:
        """The input's windows with the occluder in them."""
        layout = batch.layout
        assert layout is not None
        window, group = layout.windows[self.input], layout.group
        chosen = group.rows[batch.rows], group.columns[batch.columns]
        ends = (positions.tops, positions.bottoms), (positions.lefts, positions.rights)
        starts = (window.tops[batch.rows], window.lefts[batch.columns])
        index, inside = [], []
        for start, size, (firsts, stops), at in zip(starts, (window.height, window.width), ends, chosen, strict=True):
            cells = start[:, None] + np.arange(size)
            index.append(torch.from_numpy(cells).to(self.net.device))
            inside.append((cells >= firsts[at][:, None]) & (cells < stops[at][:, None]))
        corner = np.stack([positions.tops[chosen[0]], positions.lefts[chosen[1]]], 1)
        shown = occluder.at(index[0], index[1], torch.from_numpy(corner).to(self.net.device))
        shown = normalised(self.net, shown.permute(0, 3, 1, 2))
        hidden = inside[0][:, :, None] & inside[1][:, None, :]
        if not hidden.all():
            before = self.clean.gather(self.input, index[0], index[1]).permute(0, 3, 1, 2)
            shown = torch.where(torch.from_numpy(hidden).to(self.net.device)[:, None], shown, before)
        batch.values[self.input] = shown

    def walk(self, batch: Batch, modes: Sequence[str], rules: Sequence[Rule | None]) -> Tensor:
        """Runs the steps up to the neck; gives n×units sums of the followed units."""
        numbers = self.counted(batch.count)
        sums = self.clean.sums.repeat(batch.count, 1)
        for at, (step, mode, rule) in enumerate(zip(self.steps[: self.neck], modes, rules, strict=False)):
            if step.node in numbers or mode == "skip":
                continue
            if mode == "window" and rule is not None:
                batch.on_windows(at, step, rule)
            else:
                batch.on_whole(step, numbers)
            self.follow(step.node, batch, sums)
            for node in step.done_with:
                if node is not self.waist:
                    batch.forget(node)
        return sums

    def finish(self, waiting: Sequence[tuple[Integers, Tensor, Tensor]]) -> Found:
        """The last layers, for the vectors of several batches at once."""
        at = np.concatenate([one for one, _, _ in waiting])
        with torch.inference_mode():
            vectors, sums = torch.cat([one for _, one, _ in waiting]), torch.cat([one for _, _, one in waiting])
            values: dict[fx.Node, Any] = {self.waist: vectors}
            batch = Batch(self.clean, None, np.zeros((len(at), 2), np.int64), values)
            numbers = self.counted(len(at))
            for step in self.steps[self.neck :]:
                if step.node not in numbers:
                    batch.on_whole(step, numbers)
                    self.follow(step.node, batch, sums)
            scores = batch.full(self.output)
        return Found(at[:, 0], at[:, 1], scores.clone(), sums.clone())

    def follow(self, node: fx.Node, batch: Batch, sums: Tensor) -> None:
        """Writes the sums of the followed units of a node's layer."""
        for place, (layer, unit) in enumerate(self.followed):
            if layer.node is node:
                sums[:, place] = batch.sum_of(layer, unit, self.clean.sums[place], self.clean.integrals[place])

    def counted(self, images: int) -> dict[fx.Node, Any]:
        """The graph's numbers, such as the size of the batch, for so many images."""
        found: dict[fx.Node, Any] = {}
        for step in self.numbers:
            if operator_name(step.node) == "sym_size":
                found[step.node] = images if step.arguments[1] == 0 else step.node.meta["val"]
            else:
                arguments = fx.node.map_arg(step.arguments, lambda source: found[source])
                found[step.node] = step.operator(*arguments)
        return found


def settled(steps: Sequence[Step], rules: Sequence[Rule | None]) -> tuple[Rule | None, ...]:
    """The rules without those of steps that read whole maps."""
    found: list[Rule | None] = []
    gone: set[fx.Node] = set()
    for step, rule in zip(steps, rules, strict=True):
        found.append(None if rule is None or gone & set(rule.sources) else rule)
        if found[-1] is None or found[-1].kind == "mean":
            gone.add(step.node)
    return tuple(found)


def sees_alike(net: Net, step: Step) -> bool:
    """Whether a step's first argument is dirty wherever the result is, whatever is hidden."""
    first, result = (net.fields.get(node) for node in (step.arguments[0], step.node))
    if first is None or result is None:
        return False
    pairs = ((first.rows, result.rows), (first.columns, result.columns))
    return all(np.array_equal(one.first, other.first) and np.array_equal(one.stop, other.stop) for one, other in pairs)


def cells_of(net: Net, node: fx.Node) -> tuple[int, int]:
    """Rows and columns of a map."""
    field = net.fields[node]
    axes = field.axes or ()
    return field.shape[axes.index("H")], field.shape[axes.index("W")]


def find_neck(
    steps: Sequence[Step], rules: Sequence[Rule | None], changing: frozenset[fx.Node], pixels: fx.Node
) -> tuple[int, fx.Node]:
    """The first step before which all that is still read is one vector, and that vector's node.

    The steps from there on are the same for all positions, and so cheap that many run together.
    """
    last = {source: at for at, step in enumerate(steps) for source in sources_of(step)}
    live = {pixels}
    found = (len(steps), steps[-1].node)
    for at in range(1, len(steps) + 1):
        live = {node for node in {*live, steps[at - 1].node} if node in changing and last.get(node, -1) >= at}
        if len(live) == 1:
            (node,) = live
            value = node.meta["val"]
            if isinstance(value, Tensor) and value.ndim == 2 and not any(rules[at:]):
                return at, node
    return found
