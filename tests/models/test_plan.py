"""The plan of an occlusion: which cells are dirty, which positions run together, what it costs."""

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from convscope import BadOption, Net
from convscope.models.incremental.costs import counts, multiplications
from convscope.models.incremental.engine import Incremental
from convscope.models.incremental.plan import Group, Planner, coarse_to_fine, partition, windows_of
from convscope.models.incremental.spans import all_spans
from convscope.models.occluders import Border, make_occluder, positions
from tests.nets import Branches, small_classifier
from tests.slow.test_occlusion import hidden_images, places

TABLES = st.tuples(st.integers(1, 3), st.integers(1, 7)).flatmap(
    lambda shape: st.lists(
        st.lists(st.integers(0, 9), min_size=shape[1], max_size=shape[1]), min_size=shape[0], max_size=shape[0]
    )
)


def price(own: np.ndarray, weight: np.ndarray, parts: list[list[int]]) -> float:
    """The sum over parts of weight · greatest sizes · positions."""
    return float(
        sum(
            sum(w * max(row[i] for i in part) for w, row in zip(weight, own, strict=True)) * len(part) for part in parts
        )
    )


@settings(max_examples=150, deadline=None)
@given(table=TABLES, number=st.integers(1, 5), seed=st.integers(0, 99))
def test_a_partition_is_the_cheapest_of_all_cuts(table: list[list[int]], number: int, seed: int) -> None:
    own, count = np.array(table), len(table[0])
    random = np.random.default_rng(seed)
    weight, order = random.integers(0, 5, len(table)).astype(float), random.permutation(count)
    parts = partition(own, weight, order, number)
    place = {int(member): at for at, member in enumerate(order)}
    found = [sorted(place[int(member)] for member in part) for part in parts]
    assert sorted(at for part in found for at in part) == list(range(count))  # each position once
    assert all(part == list(range(part[0], part[-1] + 1)) for part in found)  # next to each other
    assert all((np.diff(part) > 0).all() for part in parts)
    assert len(found) <= number
    least = min(
        price(own, weight, [list(range(a, b)) for a, b in zip((0, *cut), (*cut, count), strict=True)])
        for size in range(min(number, count))
        for cut in combinations(range(1, count), size)
    )
    assert price(own, weight, found) == pytest.approx(least)


@given(rows=st.integers(1, 40), columns=st.integers(1, 40))
def test_coarse_grids_come_first_and_every_position_once(rows: int, columns: int) -> None:
    grids = coarse_to_fine((rows, columns))
    together = np.concatenate(grids)
    assert len(np.unique(together, axis=0)) == len(together) == rows * columns
    if rows * columns >= 128:
        first = {(int(row), int(column)) for row, column in grids[0]}
        assert first == {(row, column) for row in range(0, rows, 4) for column in range(0, columns, 4)}


@given(length=st.integers(1, 60), side=st.integers(1, 60), step=st.integers(1, 60))
def test_positions_are_as_many_as_promised(length: int, side: int, step: int) -> None:
    if side > length:
        with pytest.raises(BadOption, match="does not fit"):
            positions((length, 60), (side, 1), (step, 1), "inside")
        return
    inside, cut = (positions((length, 60), (side, 1), (step, 1), border) for border in ("inside", "cut"))
    assert len(inside.tops) == (length - side) // step + 1
    for grid, border in ((inside, "inside"), (cut, "cut")):
        assert list(zip(grid.tops.tolist(), grid.bottoms.tolist(), strict=True)) == places(length, side, step, border)
        assert (grid.tops < grid.bottoms).all()
    assert (inside.bottoms - inside.tops == side).all()
    if step <= side:  # Captum refuses others
        assert len(cut.tops) == int(np.ceil((length - side) / step)) + 1
        assert cut.bottoms[-1] == length
        assert (cut.bottoms[:-1] >= cut.tops[1:]).all()


def nets() -> list[tuple[nn.Module, tuple[int, int]]]:
    odd = nn.Sequential(
        nn.Conv2d(3, 4, (4, 3), (2, 3), (1, 2), (1, 2)), nn.ReLU(), nn.MaxPool2d(3, 2, 1, ceil_mode=True), nn.ConvTranspose2d(4, 4, 3, 2, 1),
        nn.Upsample(scale_factor=2), nn.Conv2d(4, 4, 1, 3), nn.AdaptiveAvgPool2d((2, 3)), nn.Flatten(), nn.Linear(24, 3),
    )  # fmt: skip
    return [(small_classifier(), (24, 30)), (Branches(), (20, 16)), (odd, (37, 52))]


@pytest.mark.parametrize("case", range(3))
@pytest.mark.parametrize(
    ("window", "stride", "border"), [((5, 7), (3, 4), "inside"), ((1, 1), (4, 5), "inside"), ((8, 3), (8, 5), "cut")]
)
def test_dirty_windows_hold_all_that_changes(
    case: int, window: tuple[int, int], stride: tuple[int, int], border: Border
) -> None:
    """Noise in place of the square changes no cell outside of the windows, in any layer at any position."""
    module, size = nets()[case]
    net = Net(module.double(), size=size)
    grid = positions(size, window, stride, border)
    spans = all_spans(net, grid)
    pixels = torch.rand(1, 3, *size, dtype=torch.float64)
    layers = [layer for layer in net.layers if layer.node in spans and not layer.alias_of]
    assert len(layers) >= 5
    before = net.outputs(pixels, [layer.name for layer in layers])
    changed = 0
    for row, (top, bottom) in enumerate(zip(grid.tops, grid.bottoms, strict=True)):
        for column, (left, right) in enumerate(zip(grid.lefts, grid.rights, strict=True)):
            hidden = pixels.clone()
            hidden[:, :, top:bottom, left:right] = torch.rand(3, bottom - top, right - left, dtype=torch.float64)
            for name, after in net.outputs(hidden, [layer.name for layer in layers]).items():
                ys, xs = ((after - before[name]).abs() > 1e-12).any(1)[0].nonzero(as_tuple=True)
                changed += len(ys)
                if len(ys):
                    rows, columns = spans[net.layer(name).node]
                    assert rows.first[row] <= ys.min() <= ys.max() < rows.stop[row], name
                    assert columns.first[column] <= xs.min() <= xs.max() < columns.stop[column], name
    assert changed > 100


def test_groups_have_every_position_once_and_windows_hold_their_dirty_cells() -> None:
    net = Net(small_classifier(), size=(40, 33))
    engine, grid = Incremental(net, torch.rand(1, 3, 40, 33)), positions((40, 33), (7, 5), (2, 3), "cut")
    geometry = engine.geometry(grid)
    random, every = np.random.default_rng(0), np.argwhere(np.ones(grid.shape, bool))
    for pairs in (every, random.permutation(every)[:37], every[:1], every[::7]):
        groups = geometry.planner.groups(pairs, 8)
        found = np.concatenate([np.stack([g.rows[g.pairs[:, 0]], g.columns[g.pairs[:, 1]]], 1) for g in groups])
        assert sorted(map(tuple, found.tolist())) == sorted(map(tuple, pairs.tolist()))
        for group in groups:
            assert_windows(group, geometry.spans)


def assert_windows(group: Group, spans: dict) -> None:
    windows = windows_of(group, spans, list(spans))
    assert windows
    for node, window in windows.items():
        for size, starts, span, members in zip(
            (window.height, window.width),
            (window.tops, window.lefts),
            spans[node],
            (group.rows, group.columns),
            strict=True,
        ):
            first, stop = span.first[members], span.stop[members]
            some = stop > first
            assert (starts >= 0).all()
            assert (starts + size <= span.cells).all()
            assert (starts[some] <= first[some]).all()
            assert (starts[some] + size >= stop[some]).all()


class Counted(nn.Module):
    """Convolutions with groups, strides and holes, linear layers on maps and on vectors, one written out."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(3, 8, (3, 5), (1, 2), (1, 2))
        self.deep, self.wide = (
            nn.Conv2d(8, 8, 3, padding=1, groups=8),
            nn.Conv2d(8, 12, 3, padding=2, dilation=2, groups=4, bias=False),
        )
        self.norm, self.places, self.end = nn.BatchNorm2d(12), nn.Linear(12, 6), nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.wide(self.deep(self.one(x)))))
        return torch.addmm(self.end.bias, self.places(x.permute(0, 2, 3, 1)).mean((1, 2)), self.end.weight.t())


def test_multiplications_are_those_of_the_formula_and_of_torchs_counter() -> None:
    net = Net(Counted(), size=(20, 24))
    engine, grid = Incremental(net, torch.rand(1, 3, 20, 24)), positions((20, 24), (4, 4), (2, 2), "inside")
    geometry = engine.geometry(grid)
    whole, some = counts(engine.steps, geometry.rules, geometry.spans)
    areas = {"one": 20 * 12, "deep": 20 * 12, "wide": 20 * 12, "places": 20 * 12, "end": 1}
    each = {"one": 8 * 3 * 3 * 5, "deep": 8 * 9, "wide": 12 * 2 * 9, "places": 12 * 6, "end": 6 * 5}
    assert [number for step in engine.steps if (number := multiplications(step))] == list(each.values())
    assert whole == sum(areas[name] * each[name] for name in each)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        Counted().eval()(torch.rand(1, 3, 20, 24))
    assert counter.get_total_flops() == 2 * whole
    dirty = {}
    for name in ("one", "deep", "wide", "places"):  # the mean over positions of rows × columns, in plain loops
        rows, columns = geometry.spans[net.layer(name).node]
        total = sum(
            (rows.stop[i] - rows.first[i]) * (columns.stop[j] - columns.first[j]) for i, j in np.ndindex(*grid.shape)
        )
        dirty[name] = float(total) / grid.tops.size / grid.lefts.size
    assert some == pytest.approx(sum(dirty[name] * each[name] for name in dirty) + each["end"])
    assert geometry.ideal == pytest.approx(whole / some)


@pytest.mark.parametrize(("name", "million"), [("alexnet", 714.2), ("resnet18", 1814.1), ("vgg16", 15470.3)])
@pytest.mark.heavy
def test_multiplications_of_known_nets(name: str, million: float) -> None:
    """At 224 px, as published; and the speed-up of exact windows of 16 px that methods.md says of them."""
    import torchvision

    net = Net(getattr(torchvision.models, name)(), size=(224, 224))
    engine = Incremental(net, torch.rand(1, 3, 224, 224))
    geometry = engine.geometry(positions((224, 224), (16, 16), (4, 4), "inside"))
    whole, _ = counts(engine.steps, geometry.rules, geometry.spans)
    assert whole / 1e6 == pytest.approx(million, rel=2e-4)
    assert geometry.ideal == pytest.approx({"alexnet": 3.6, "resnet18": 2.8, "vgg16": 9.1}[name], rel=0.03)


class Everything(nn.Module):
    """Values of all kinds that may be read where whole maps begin: parts, five axes, overwritten, channels last, joined."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.left, self.right = nn.Conv2d(3, 8, 3, 2), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 5, padding=2)
        self.norm, self.mix, self.end = nn.BatchNorm2d(8), nn.Linear(8, 8), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.one(x)))
        a, b = x.chunk(2, 1)
        y = torch.cat([self.left(a).add_(self.right(b)).relu_(), b], 1)
        y = y.view(y.shape[0], 2, 4, *y.shape[2:]).transpose(1, 2).reshape(y.shape)
        y = nn.functional.local_response_norm(torch.max_pool2d(y, 3, 2, 1), 3, 0.5)
        z = self.mix(y.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return self.end(torch.cat([torch.relu(z + y).mean((2, 3)), z.amax((2, 3))], 1))


def test_wherever_whole_maps_begin_the_answers_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planner's choice of the cut is one of cost alone: every cut that it may choose gives the same."""
    torch.manual_seed(0)
    net = Net(Everything().double().eval(), size=(25, 29))
    pixels, window, stride = torch.rand(1, 3, 25, 29, dtype=torch.float64), (4, 5), (5, 6)
    images, shape = hidden_images(net, pixels, window, stride, "inside", "noise")
    expected = net.scores(images).view(*shape, -1)
    assert float(expected.std((0, 1)).max()) > 1e-4
    engine, occluder = Incremental(net, pixels), make_occluder(net, pixels, "noise", window, 0)
    change = engine.geometry(positions(net.size, window, stride, "inside")).planner.costs.change
    cuts = [cut for cut in range(len(engine.steps) + 1) if np.isfinite(change[cut])]
    assert len(cuts) >= 8
    for cut in cuts:
        monkeypatch.setattr(Planner, "cost", lambda planner, height, width, cut=cut: (1.0, cut))
        for found in engine.run(positions(net.size, window, stride, "inside"), occluder):
            off = float((found.scores - expected[found.rows, found.columns]).abs().max())
            assert off <= 1e-9, f"before step {cut}, {engine.steps[min(cut, len(engine.steps) - 1)].node}"
