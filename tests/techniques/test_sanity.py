"""Sanity checks: what is random at each level, how alike maps are counted, what is said, and real weights."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor, nn

import convscope
from convscope import Net
from convscope.models.randomised import Weighted, randomised, weighted_layers
from convscope.technique import Watch
from convscope.techniques.gradient import deconvnet, guided_backprop, saliency
from convscope.techniques.sanity import (
    SanityCheck,
    level_counts,
    rank_correlation,
    sanity_check,
    structural_similarity,
)  # fmt: skip
from tests.nets import Does, small_classifier

SIZE = (20, 24)


def picture(seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def net() -> Net:
    return Net(small_classifier(), size=SIZE, labels=["ant", "bee", "cat", "dog"], name="tiny")


@pytest.fixture(scope="module")
def check(net: Net) -> SanityCheck:
    return sanity_check(net, picture(), "dog")


def all_layers(net: Net) -> tuple[Weighted, ...]:
    return weighted_layers(net, net.graph.scores)


def test_how_many_are_random_at_each_level() -> None:
    assert level_counts(50, 6) == [1, 11, 21, 30, 40, 50]
    assert level_counts(50, 2) == [1, 50]
    assert level_counts(3, 100) == [1, 2, 3]
    assert level_counts(50, 1) == [1]
    assert level_counts(1, 6) == [1]
    for total in range(1, 20):
        for levels in range(2, 12):
            counts = level_counts(total, levels)
            assert counts[0] == 1
            assert counts[-1] == total
            assert len(counts) == len(set(counts)) == min(levels, total)


def test_rank_correlation_is_scipys() -> None:
    random = np.random.default_rng(0)
    for _ in range(5):
        one, other = (torch.from_numpy(random.random((9, 11)).round(1).astype(np.float32)) for _ in range(2))
        expected = spearmanr(one.numpy().ravel(), other.numpy().ravel()).statistic
        assert rank_correlation(one, other) == pytest.approx(expected, abs=1e-12)
        assert rank_correlation(one, one) == pytest.approx(1, abs=1e-12)
        assert rank_correlation(one, one.exp()) == pytest.approx(1, abs=1e-12)
        assert rank_correlation(one, -one) == pytest.approx(-1, abs=1e-12)
        assert structural_similarity(one, 3 * one) == pytest.approx(1, abs=1e-6)
    assert np.isnan(rank_correlation(one, torch.ones(9, 11)))
    assert np.isnan(rank_correlation(torch.zeros(9, 11), one))
    assert structural_similarity(torch.rand(4, 6), torch.rand(4, 6)) < 1  # a window that fits


def test_maps_are_those_of_the_techniques(net: Net, check: SanityCheck) -> None:
    assert check.maps.shape == (3, 4, *SIZE)
    assert check.counts == (1, 2, 3)
    assert check.total == 3
    assert check.layers == ("9", "4", "0")
    layers = all_layers(net)
    for level, count in enumerate((0, 1, 2, 3)):
        random = randomised(net, layers[:count], 0)
        expected = [
            saliency(random, picture(), "dog").map,
            deconvnet(random, picture(), "dog").signal.abs().amax(0),
            guided_backprop(random, picture(), "dog").signal.abs().amax(0),
        ]
        torch.testing.assert_close(check.maps[:, level], torch.stack(expected), rtol=1e-5, atol=1e-8)
    for method in range(3):
        for level in range(3):
            pair = [check.maps[method, at].numpy().ravel() for at in (0, level + 1)]
            if np.ptp(pair[1]):
                assert check.spearman[method, level] == pytest.approx(spearmanr(*pair).statistic, abs=1e-9)
    assert check.target == "class:3"
    assert check.address == "dog"


def test_just_the_layers_named_change(net: Net) -> None:
    before = {name: value.clone() for name, value in net.weights.items()}
    layers, own = all_layers(net), {"9": ("9.",), "4": ("4.",), "0": ("0.", "1.")}
    assert [layer.name for layer in layers] == ["9", "4", "0"]
    for chosen in ([0], [1], [2], [0, 2], [0, 1, 2], []):
        random = randomised(net, [layers[one] for one in chosen], 5)
        prefixes = tuple(prefix for one in chosen for prefix in own[layers[one].name])
        for name, value in random.weights.items():
            if "num_batches" in name or name in ("1.weight", "1.bias"):  # 1 and 0 from the start
                continue
            assert torch.equal(value, before[name]) != name.startswith(prefixes or ("none",)), name
    assert all(torch.equal(value, before[name]) for name, value in net.weights.items())


def test_a_batch_norm_changes_nothing_any_more(net: Net) -> None:
    random = randomised(net, all_layers(net), 0)
    for name in ("1.weight", "1.running_var"):
        assert bool((random.weights[name] == 1).all())
    for name in ("1.bias", "1.running_mean", "0.bias", "4.bias", "9.bias"):
        assert not random.weights[name].any()
    outputs = random.outputs(torch.rand(1, 3, *SIZE), ["0", "1"])
    torch.testing.assert_close(outputs["0"], outputs["1"], rtol=1e-4, atol=1e-5)


def test_weights_are_hes(net: Net) -> None:
    wide = Net(nn.Sequential(nn.Conv2d(3, 200, 5), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(200, 99)), size=SIZE)  # fmt: skip
    weights = randomised(wide, all_layers(wide), 0).weights
    assert float(weights["0.weight"].std()) == pytest.approx((2 / 75) ** 0.5, rel=0.05)
    assert float(weights["4.weight"].std()) == pytest.approx((2 / 200) ** 0.5, rel=0.05)
    assert abs(float(weights["0.weight"].mean())) < 0.01


def test_weights_are_seeded_and_levels_agree(net: Net) -> None:
    state = torch.get_rng_state()
    layers = all_layers(net)
    first, again, other = (randomised(net, layers, seed).weights for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["0.weight"], other["0.weight"])
    upper = randomised(net, layers[:2], 1).weights
    for name in ("9.weight", "4.weight"):
        assert torch.equal(upper[name], first[name])
    assert not torch.equal(upper["0.weight"], first["0.weight"])
    assert torch.equal(torch.get_rng_state(), state)


def test_layers_of_like_names_do_not_get_the_same_weights() -> None:
    twins = nn.Sequential(*[nn.Sequential(*[nn.Conv2d(3, 3, 3, padding=1) for _ in range(2)]) for _ in range(2)])
    module = nn.Sequential(twins, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    one = Net(module, size=SIZE)
    weights = randomised(one, all_layers(one), 0).weights
    assert not torch.equal(weights["0.0.1.weight"], weights["0.1.0.weight"])


def test_a_batch_norm_before_its_convolution_is_a_layer_of_its_own() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4), nn.Conv2d(4, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    module[2].weight.data.fill_(7)
    one = Net(module, size=SIZE)
    layers = all_layers(one)
    assert [layer.name for layer in layers] == ["3", "2", "0"]
    assert bool((randomised(one, layers[:1], 0).weights["2.weight"] == 7).all())
    assert bool((randomised(one, layers, 0).weights["2.weight"] == 1).all())


class Smooth(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 4, 3), nn.GELU(), nn.Conv2d(4, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
        )


def test_methods_without_a_rule_are_left_out(tmp_path: Path) -> None:
    torch.manual_seed(0)
    one = Net(Smooth(), size=SIZE, name="smooth")
    found = sanity_check(one, picture(), 0)
    assert found.methods == ("saliency",)
    assert found.maps.shape == (1, 4, *SIZE)
    assert len(found.refused) == 2
    assert found.refused[0].startswith("a deconvnet has no rule for 1 gelu call of smooth")
    assert "Left out: a deconvnet has no rule" in convscope.draw(found)[0].caption
    with pytest.raises(convscope.NoRule, match=r'deconvnet has no rule(?s:.*)hint: methods=\("saliency",\) works'):
        sanity_check(one, picture(), methods=("deconvnet", "guided_backprop"))


def test_units_and_places(net: Net) -> None:
    found = sanity_check(net, picture(), "5:3", levels=2)
    maps = net.outputs(net.prepare(picture()).pixels, ["5"])["5"][0, 3]
    row, column = divmod(int(maps.argmax()), 12)
    assert found.target == f"5:3@{row},{column}"
    assert found.layers == ("4", "0")  # what lies above does not matter
    assert found.total == 2
    named = sanity_check(net, picture(), f"5:3@{row},{column}", levels=2)
    assert torch.equal(found.maps, named.maps)
    assert sanity_check(net, picture(), "2:1@0,0").counts == (1,)


def test_the_target_is_the_most_probable_class_unless_named(net: Net) -> None:
    best = int(net.scores(net.prepare(picture()).pixels)[0].argmax())
    found = sanity_check(net, picture(), methods=("saliency", "saliency"), levels=1)
    assert found.target == f"class:{best}"
    assert found.methods == ("saliency",)  # once is enough


def test_the_seed_counts(net: Net, check: SanityCheck) -> None:
    assert torch.equal(sanity_check(net, picture(), "dog").maps, check.maps)
    other = sanity_check(net, picture(), "dog", seed=1)
    assert torch.equal(other.maps[:, 0], check.maps[:, 0])
    assert not torch.equal(other.maps[0, 1], check.maps[0, 1])


class Divides(nn.Module):
    """Scores that are infinite where all is black."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 1, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        mean = self.layer(x).mean((1, 2, 3))
        return torch.stack([1 / mean, mean], 1)


def test_mistakes_are_named(net: Net) -> None:
    bare = Net(Does(lambda _, x: torch.relu(x).mean((2, 3))), size=SIZE)
    with pytest.raises(convscope.BadOption, match=r"no weights lie below .*\n\nhint: choose a target further up"):
        sanity_check(bare, picture(), 0)
    with pytest.raises(convscope.UnreadableImage, match="the scores of this image are not finite\n\nhint: "):
        sanity_check(Net(Divides(), size=SIZE), np.zeros((*SIZE, 3), np.uint8))
    with pytest.raises(convscope.BadAddress, match="so 8 is none"):
        sanity_check(net, picture(), "5:8")
    with pytest.raises(convscope.UnknownLayer):
        sanity_check(net, picture(), "55:8")
    wrong: list[dict[str, Any]] = [{"levels": 0}, {"methods": ()}, {"methods": ("lime",)}, {"seed": -1}, {"level": 2}]
    for options in wrong:
        with pytest.raises(convscope.BadOption, match=next(iter(options))):
            sanity_check(net, picture(), 0, **options)


def said(check: SanityCheck, *row: float) -> str:
    levels, spearman = len(row), np.tile(np.array(row), (3, 1))
    cut = {"maps": check.maps[:, : levels + 1], "layers": check.layers[:levels], "counts": check.counts[:levels]}
    return replace(check, spearman=spearman, ssim=spearman, **cut).verdict("guided_backprop")


def test_verdicts(check: SanityCheck) -> None:
    nan = float("nan")
    low, middle, high = (said(check, first, 0.5, 0.25) for first in (0.7, 0.8, 0.9))
    assert low == (
        "guided backprop: with 9 random its map correlates 0.70 with before, with all of it 0.25: "
        "it does depend on what the network has learned."
    )
    assert middle.endswith("0.80 with before, with all of it 0.25: it depends in part on what the network has learned.")
    structure = ": it shows the image's structure rather than what this target rests on."
    assert high.endswith("0.90 with before" + structure)
    assert said(check, 0.99, 0.95, 0.93).endswith("and at least 0.93 however much is random" + structure)
    assert said(check, nan, 0.5, 0.5) == "guided backprop: one of its maps is flat, so nothing can be compared."
    assert "nan" not in said(check, 0.3, 0.5, nan)
    assert "with all of it it is flat" in said(check, 0.3, 0.5, nan)
    assert said(check, 0.99, nan, 0.93).endswith("0.99 with before" + structure)
    assert said(check, 0.3).endswith("0.30 with before: it does depend on what the network has learned.")
    assert "with all down to 4 0.20" in said(check, 0.3, 0.2)


class Counting(Watch):
    def __init__(self) -> None:
        self.told: list[tuple[int, int, str]] = []

    def progress(self, done: int, total: int, unit: str) -> None:
        self.told.append((done, total, unit))


def test_progress_is_told(net: Net) -> None:
    watch = Counting()
    sanity_check(net, picture(), 0, methods=("saliency",), levels=2, watch=watch)
    assert watch.told == [(1, 2, "random networks"), (2, 2, "random networks")]


def test_results_can_be_kept(check: SanityCheck, tmp_path: Path) -> None:
    assert [len(line) for line in check.lines()] == [8] * 4
    assert check.lines()[2][:2] == ["4", "2 of 3"]
    with np.load(check.save(tmp_path / "r.npz")) as saved:
        np.testing.assert_array_equal(saved["maps"], check.maps.numpy())
        np.testing.assert_array_equal(saved["spearman"], check.spearman)
        assert tuple(saved["methods"].tolist()) == check.methods
        assert tuple(saved["layers"].tolist()) == check.layers
    assert check.save(tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")
    assert "<html" in check.save(tmp_path / "r.html").read_text(encoding="utf-8")
    tiles, rank, ssim = convscope.draw(check)
    assert (tiles.kind, rank.kind, ssim.kind) == ("tiles", "curve", "curve")
    assert "at last all 3 layers with weights" in tiles.caption


def test_flat_maps_can_be_drawn(net: Net, tmp_path: Path) -> None:
    dead = net.with_weights({**net.weights, "0.weight": torch.zeros(6, 3, 3, 3)})
    found = sanity_check(dead, picture(), 0, levels=1)
    assert bool(np.isnan(found.spearman).all())
    assert found.save(tmp_path / "r.png").stat().st_size > 100
    caption = convscope.draw(found)[0].caption
    assert "one of its maps is flat" in caption
    assert "at last all" not in caption


def test_with_real_weights_guided_backprop_does_not_notice_and_the_gradient_does() -> None:
    """Adebayo et al. 2018, figure 2; on two photos, since one could be luck."""
    from convscope.faces.demo import demo_photos

    real = convscope.load("efficientnet-lite0")
    layers = weighted_layers(real, real.graph.scores)
    eight = next(number for number, layer in enumerate(layers) if layer.name.startswith("blocks.4.2"))
    for photo in demo_photos()[:2]:
        found = sanity_check(real, photo, levels=1)
        gradient, deconvolution, guided = found.spearman[:, 0]
        assert found.layers == ("classifier",)
        assert guided > 0.9
        assert deconvolution > 0.9
        assert gradient < 0.7
        assert guided > gradient + 0.3
        if photo != demo_photos()[0]:
            continue
        random = randomised(real, layers[:eight], 0)
        target = int(found.target.partition(":")[2])
        maps = saliency(random, photo, target).map, guided_backprop(random, photo, target).signal.abs().amax(0)
        below = [rank_correlation(found.maps[method, 0], one) for method, one in zip((0, 2), maps, strict=True)]
        assert below[1] > below[0] + 0.2


def test_weights_that_others_are_made_of_are_random_too() -> None:
    convolution = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3, bias=False))
    made = Net(nn.Sequential(convolution, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)), size=SIZE)
    layers = all_layers(made)
    assert len(layers) == 2
    random = randomised(made, layers[1:], 0)
    changed = {name for name, value in random.weights.items() if not torch.equal(value, made.weights[name])}
    assert changed == {name for name in made.weights if name.startswith("0.")}


class Root(nn.Module):
    """A gradient that is infinite where all is black; its scores are finite."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 2, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x).square().mean((2, 3)).sqrt()


def test_scores_and_signals_that_are_no_numbers_are_said_whatever_the_target() -> None:
    black = np.zeros((*SIZE, 3), np.uint8)
    with pytest.raises(convscope.UnreadableImage, match="the scores of this image are not finite\n\nhint: "):
        sanity_check(Net(Divides(), size=SIZE), black, 0)
    with pytest.raises(convscope.UnreadableImage, match="the gradient at this image is not finite\n\nhint: "):
        sanity_check(Net(Root(), size=SIZE), black, 0, methods=("saliency",))


class Modern(nn.Module):
    """All kinds of weights: normalisations, a layer scale, a PReLU, a place embedding, a shared convolution, a fixed blur."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.shared, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, padding=1), nn.Linear(4, 3)
        self.first, self.second = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
        self.layer, self.group, self.leak = nn.LayerNorm(4), nn.GroupNorm(2, 4), nn.PReLU(4)
        self.scale, self.places = nn.Parameter(torch.full((4, 1, 1), 1e-6)), nn.Parameter(torch.randn(1, 4, 18, 22))
        self.register_buffer("blur", torch.full((4, 1, 3, 3), 1 / 9))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x) + self.places
        x = self.group(self.leak(self.second(self.shared(self.first(self.shared(x))))))
        x = x + self.scale * F.conv2d(x, self.blur, groups=4, padding=1)
        return self.head(self.layer(x.permute(0, 2, 3, 1)).mean((1, 2)))  # type: ignore[no-any-return]


def test_every_weight_is_made_random_and_shared_ones_count_once() -> None:
    torch.manual_seed(0)
    module = Modern()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.rand_like(parameter))
        for norm in (module.first, module.second):
            norm.running_mean.add_(1)
            norm.running_var.add_(1)
    one = Net(module, size=SIZE)
    layers = all_layers(one)
    assert [sorted(layer.weights) for layer in layers] == [
        ["head.bias", "head.weight"],
        ["layer.bias", "layer.weight"],
        ["scale"],
        ["group.bias", "group.weight"],
        ["leak.weight"],
        ["second.bias", "second.running_mean", "second.running_var", "second.weight", "shared.bias", "shared.weight"],
        ["first.bias", "first.running_mean", "first.running_var", "first.weight"],
        ["places"],
        ["stem.bias", "stem.weight"],
    ]
    assert sanity_check(one, picture(), 0, methods=("saliency",), levels=2).total == 9
    weights = randomised(one, layers, 0).weights
    same = {name for name, value in weights.items() if torch.equal(value, one.weights[name])}
    assert {name for name in same if "num_batches" not in name} == {"blur"}
    for name in ("layer", "group", "first", "second"):
        assert bool((weights[f"{name}.weight"] == 1).all())
        assert not weights[f"{name}.bias"].any()
    assert bool((weights["leak.weight"] == 0.25).all())
    assert bool((weights["scale"] == 1).all())
    assert not weights["first.running_mean"].any()
    assert len({float(value) for value in weights["places"].flatten()}) > 1000


def test_levels_name_the_module_where_a_weight_has_no_layer_of_its_own() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cut, self.norm, self.head = nn.Conv2d(3, 8, 4, 4), nn.LayerNorm(8), nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.norm(self.cut(x).flatten(2).transpose(1, 2))).mean(1)  # type: ignore[no-any-return]

    assert [layer.name for layer in all_layers(Net(Tokens(), size=SIZE))] == ["head", "norm", "cut"]


@pytest.mark.parametrize("how", ["asked", "interrupted"])
def test_what_is_stopped_keeps_the_levels_that_are_done(net: Net, check: SanityCheck, how: str) -> None:
    class Stopping(Counting):
        def __init__(self) -> None:
            super().__init__()
            self.said: list[str] = []
            self.previews: list[object] = []

        def say(self, text: str) -> None:
            self.said.append(text)

        def preview(self, result: object) -> None:
            self.previews.append(result)

        def progress(self, done: int, total: int, unit: str) -> None:
            super().progress(done, total, unit)
            if how == "interrupted" and done == 2:
                raise KeyboardInterrupt

        def stopped(self) -> bool:
            return how == "asked" and len(self.told) >= 2

    watch = Stopping()
    found = sanity_check(net, picture(), "dog", watch=watch)
    assert found.counts == (1, 2)
    assert found.layers == check.layers[:2]
    assert found.total == 3
    assert torch.equal(found.maps, check.maps[:, :3])
    np.testing.assert_array_equal(found.spearman, check.spearman[:, :2])
    assert "all down to 4" in found.verdict("saliency")
    assert [panel.kind for panel in convscope.draw(found)] == ["tiles", "curve", "curve"]
    (preview,) = watch.previews
    assert isinstance(preview, SanityCheck)
    assert preview.counts == (1,)
    said = "stopped: 2 of 3 random networks are done, the others are left out"
    assert watch.said == ([said] if how == "interrupted" else [])


def test_a_check_that_is_stopped_at_once_has_one_level_or_none(net: Net) -> None:
    class At(Watch):
        def stopped(self) -> bool:
            return True

    assert sanity_check(net, picture(), "dog", watch=At()).counts == (1,)
