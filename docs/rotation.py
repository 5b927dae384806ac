"""The rotation note: are units only axes of a space? `python -m docs.rotation` measures, and writes docs/rotation.md.

CS231n says so, after Szegedy et al. 2014, Intriguing properties of neural networks, section 3 (arXiv:1312.6199).
Here the units of one layer are rotated, and the layers that read them undo it; then the scores are compared. What
the patches of random directions look like is in docs/directions.py.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from convscope.faces.demo import demo_photos
from convscope.models.prepared import prepare
from convscope.models.zoo import find_entry
from docs.directions import coherence_tables, directions_atlas, pictures
from docs.page import table, write

NAME = "efficientnet-lite0"
STAGES = (1, 3, 5)  # an early, a middle and a late one; the rectified layers are those that read them
DOCS = Path(__file__).parent


@dataclass(frozen=True)
class Change:
    """How far the scores moved, of the range of each photo's own scores, and how many photos kept their top class."""

    layer: str
    units: str
    done: str
    least: float
    greatest: float
    kept: int
    photos: int

    @property
    def cells(self) -> tuple[str, ...]:
        """As a row of the page's table."""
        moved = (
            "0" if not value else f"{value:{'.0e' if value < 0.001 else '.2f'}}"
            for value in (self.least, self.greatest)
        )
        return (f"`{self.layer}`" if self.units else self.layer, self.units, self.done, *moved, str(self.kept))


def random_rotation(units: int, seed: int = 0) -> Tensor:
    """A random orthogonal matrix in float64, all of them equally likely."""
    orthogonal, triangle = np.linalg.qr(np.random.default_rng(seed).standard_normal((units, units)))
    return torch.from_numpy(orthogonal * np.sign(np.diag(triangle)))


def random_permutation(units: int, seed: int = 0) -> Tensor:
    """A matrix that only exchanges units."""
    return torch.eye(units, dtype=torch.float64)[np.random.default_rng(seed).permutation(units)]


def turn_stage(module: nn.Module, stage: int, rotation: Tensor, undo: bool = True) -> nn.Module:
    """A copy in which the linear units at the end of every block of a stage are rotated, by their weights alone.

    No nonlinearity stands between these projections, the sums of the residual connections, and the expansions that
    read them: those of the further blocks of the stage, and that of the next stage. But BatchNorm stretches each
    unit by a number of its own, and no rotation commutes with that: so it is folded into the projection first, and
    what stays of it is only a shift.
    """
    turned = copy.deepcopy(module)
    blocks, following = turned.blocks[stage], turned.blocks[stage + 1][0]
    with torch.no_grad():
        for block in blocks:
            weight, norm = block.conv_pwl.weight, block.bn3
            factor = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
            shift = norm.bias.double() - norm.running_mean.double() * factor
            norm.weight.fill_(1)
            norm.running_mean.zero_()
            norm.running_var.fill_(1 - norm.eps)  # so that it divides by 1
            weight.copy_(torch.einsum("oi,ichw->ochw", rotation * factor, weight.double()))
            norm.bias.copy_(rotation @ shift)
        for block in (*blocks[1:], following) if undo else ():
            weight = block.conv_pw.weight
            weight.copy_(torch.einsum("oihw,ci->ochw", weight.double(), rotation))
    return turned


class Around(nn.Module):
    """A rectifier with matrices over the units before and after it."""

    def __init__(self, rectifier: nn.Module, before: Sequence[Tensor], after: Sequence[Tensor]) -> None:
        super().__init__()
        self.rectifier, self.before, self.after = rectifier, before, after

    def forward(self, maps: Tensor) -> Tensor:
        """N×C×H×W → the same shape."""
        for matrix in self.before:
            maps = torch.einsum("oi,nihw->nohw", matrix.float(), maps)
        maps = self.rectifier(maps)
        for matrix in self.after:
            maps = torch.einsum("oi,nihw->nohw", matrix.float(), maps)
        return maps


def turn_rectified(module: nn.Module, layer: str, before: Sequence[Tensor], after: Sequence[Tensor]) -> nn.Module:
    """A copy with matrices around the rectifier of a layer."""
    turned = copy.deepcopy(module)
    norm = turned.get_submodule(layer)
    norm.act = Around(norm.act, before, after)
    return turned


def experiment(photos: Sequence[Path]) -> Iterator[Change]:
    """Every rotation with its controls: one stage after the other, then all of them, then the rectified layers."""
    entry = find_entry(NAME, None, True)
    module, preprocess = entry.module, entry.preprocess
    pixels = preprocess.normalise(torch.cat([prepare(preprocess, photo).pixels for photo in photos]))

    @torch.no_grad()
    def scores(one: nn.Module) -> Tensor:
        return one(pixels).double()

    clean = scores(module)

    def change(layer: str, units: str, done: str, turned: nn.Module) -> Change:
        found = scores(turned)
        moved = (found - clean).abs().amax(1) / (clean.amax(1) - clean.amin(1))
        kept = int((found.argmax(1) == clean.argmax(1)).sum())
        return Change(layer, units, done, float(moved.min()), float(moved.max()), kept, len(photos))

    all_turned = module
    for stage in STAGES:
        units = module.blocks[stage][0].conv_pwl.out_channels
        turn, layer = random_rotation(units), f"blocks.{stage}"
        all_turned = turn_stage(all_turned, stage, turn)
        yield change(layer, str(units), "rotated, undone by its readers", turn_stage(module, stage, turn))
        yield change(layer, str(units), "*control:* rotated, not undone", turn_stage(module, stage, turn, undo=False))
    yield change("all three", "", "rotated, undone by their readers", all_turned)
    for stage in STAGES:
        layer = f"blocks.{stage + 1}.0.bn1"
        units = module.get_submodule(layer).num_features
        turn, swap = random_rotation(units), random_permutation(units)
        for done, before, after in (
            ("rotated before ReLU6, undone behind it", [turn], [turn.T]),
            ("*control:* rotated behind ReLU6, undone there", [], [turn, turn.T]),
            ("*control:* permuted before ReLU6, undone behind it", [swap], [swap.T]),
        ):
            yield change(layer, str(units), done, turn_rectified(module, layer, before, after))


def main() -> None:
    """Both experiments, into the page and onto the screen."""
    page, changes = DOCS / "rotation.md", list(experiment(demo_photos()))
    head = ("layer", "units", "what was done", "least", "greatest", f"top class kept, of {changes[0].photos}")
    write(page, "rotation of linear layers", table(head, [one.cells for one in changes if "ReLU6" not in one.done]))
    write(page, "rotation around a rectifier", table(head, [one.cells for one in changes if "ReLU6" in one.done]))
    layers = [name for stage in STAGES for name in (f"blocks.{stage}", f"blocks.{stage + 1}.0.bn1")]
    atlas = directions_atlas(DOCS.parent / "demo", NAME, layers)
    for name, (top, rows) in coherence_tables(atlas).items():
        write(page, name, table(top, rows))
    pictures(atlas, {"linear": "blocks.3", "rectified": "blocks.4.0.bn1"}, DOCS / "pictures")


if __name__ == "__main__":
    main()
