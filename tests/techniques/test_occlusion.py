"""The occlusion technique: targets, stopping, what is followed, mistakes in words, and a real net on real photos."""

import copy
import math
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import convscope
from convscope.technique import Watch
from convscope.techniques.occlusion import OcclusionMap, occlusion
from tests.nets import Quarter, small_classifier

SIZE = (40, 48)


def picture(seed: int = 0, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def net() -> convscope.Net:
    return convscope.Net(small_classifier(), size=SIZE, labels=["ant", "bee", "cat", "dog"], name="tiny")


def hide(net: convscope.Net, **options: Any) -> OcclusionMap:
    return occlusion(net, picture(), **({"window": 6, "stride": 4} | options))


def test_a_net_that_sees_one_quarter_falls_only_there() -> None:
    """Quarter scores the mean of the upper left quarter: hiding it in black lowers that by the hidden share."""
    result = occlusion(convscope.Net(Quarter(), size=(16, 20)), torch.ones(3, 16, 20), 0, window=4, stride=2)
    for row, top in enumerate(range(0, 13, 2)):
        for column, left in enumerate(range(0, 17, 2)):
            hidden = max(0, min(top + 4, 8) - top) * max(0, min(left + 4, 10) - left)
            assert float(result.score[row, column]) == pytest.approx(1 - hidden / 80, abs=1e-6)
    assert result.probability.min() == result.probability[0, 0]
    assert (result.attribution()[11:] == 0).all()  # no square that hides these reaches the quarter
    assert (result.attribution()[:8, :10] > 0).all()


def test_several_targets_in_one_run_are_those_of_single_runs(net: convscope.Net) -> None:
    together = hide(net, target=["dog", 0, "class:cat", "0"])
    assert together.targets == (3, 0, 2, 0)
    assert together.score.shape == (4, 9, 11)
    assert together.unoccluded.shape == (4,)
    assert together.address == "dog, ant, cat, ant"
    for place, target in enumerate(("dog", "ant", "class:cat", 0)):
        single = hide(net, target=target)
        for name in ("probability", "score", "log_odds"):
            assert torch.equal(getattr(single, name), getattr(together, name)[place])
        torch.testing.assert_close(single.attribution(), together.attribution()[place], rtol=0, atol=0, equal_nan=True)
        assert single.unoccluded_log_odds == together.unoccluded_log_odds[place]
    assert float((together.score[0] - together.score[1]).abs().max()) > 0.1


def test_the_target_is_the_most_probable_class_unless_named(net: convscope.Net) -> None:
    result = hide(net)
    best = int(net.scores(net.prepare(picture()).pixels)[0].argmax())
    assert result.targets == (best,)
    assert result.unoccluded_label == best
    assert result.score.shape == (9, 11)
    for same in (best, str(best), np.int64(best), torch.tensor(best), net.class_name(best), f"class:{best}"):
        assert torch.equal(hide(net, target=same).score, result.score)
    for several in ([best], (best,), np.array([best]), torch.tensor([best])):
        assert torch.equal(hide(net, target=several).score, result.score[None])


class Curious(Watch):
    """Stops, or raises, after so many calls of progress."""

    def __init__(self, calls: int, error: type[BaseException] | None = None) -> None:
        self.left, self.error = calls, error
        self.told: list[tuple[int, int, str]] = []
        self.said: list[str] = []
        self.seen: list[int] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def progress(self, done: int, total: int, unit: str) -> None:
        self.told.append((done, total, unit))
        self.left -= 1
        if self.left == 0 and self.error:
            raise self.error

    def preview(self, result: object) -> None:
        assert isinstance(result, OcclusionMap)
        self.seen.append(result.done)

    def stopped(self) -> bool:
        return self.left <= 0


MAPS = ("probability", "score", "log_odds", "label", "label_probability")


@pytest.mark.parametrize(("calls", "error"), [(1, None), (2, None), (1, KeyboardInterrupt)])
def test_a_stopped_run_keeps_what_is_done(net: convscope.Net, calls: int, error: type[BaseException] | None) -> None:
    whole, watch = hide(net, stride=2, units=("0:1", "9:2")), Curious(calls, error)
    part = hide(net, stride=2, units=("0:1", "9:2"), watch=watch)
    done = part.label >= 0
    assert 0 < part.done == int(done.sum()) < done.numel()
    assert done[::4, ::4].all()  # the coarse grid
    for name in MAPS:
        found, full = getattr(part, name), getattr(whole, name)
        assert torch.equal(found[done], full[done])  # to the last bit
        assert (found[~done] == -1).all() if name == "label" else found[~done].isnan().all()
    for address, values in part.responses.items():
        assert torch.equal(values[done], whole.responses[address][done])
        assert values[~done].isnan().all()
    assert watch.told[-1] == (part.done, 18 * 22, "positions")
    assert len(watch.told) == calls
    assert len(watch.seen) == calls - 1  # of grids that are mostly known
    assert bool(watch.said) == (error is not None)
    assert len(part.falls(1000)) == part.done
    assert len(part.lines()) == min(10, part.done) + 1
    attribution, seen = part.attribution(), torch.zeros(SIZE, dtype=torch.bool)
    for row, column in done.nonzero().tolist():
        top, left, bottom, right = part.box(row, column)
        seen[top:bottom, left:right] = True
    assert torch.equal(attribution.isnan(), ~seen)


def test_other_errors_of_a_watch_are_not_swallowed(net: convscope.Net) -> None:
    with pytest.raises(ZeroDivisionError):
        hide(net, watch=Curious(1, ZeroDivisionError))


def test_progress_is_told_up_to_the_end(net: convscope.Net) -> None:
    watch = Curious(10**6)
    result = hide(net, stride=2, watch=watch)
    assert result.done == 18 * 22
    assert watch.told[-1] == (396, 396, "positions")
    assert [done for done, _, _ in watch.told] == sorted(watch.seen)
    assert not watch.said


def test_the_strongest_unit_and_others_are_followed(net: convscope.Net) -> None:
    maps = net.outputs(net.prepare(picture()).pixels, ["2", "5"])
    for how, strength in (("sum", maps["2"][0].sum((1, 2))), ("max", maps["2"][0].amax((1, 2)))):
        result = hide(net, follow="2", strongest=how, units=("5:3", "class:dog"))
        assert result.strongest == f"2:{int(strength.argmax())}"
        assert list(result.responses) == [result.strongest, "5:3", "class:dog"]
        assert result.unoccluded_responses["5:3"] == pytest.approx(float(maps["5"][0, 3].sum()), rel=1e-5)
        named = hide(net, follow="2", strongest=how, units=(result.strongest, "5:3"))
        assert named.strongest == result.strongest  # named or not
        assert list(named.responses) == [result.strongest, "5:3"]
    assert hide(net).strongest.startswith("5:")  # of the last stage
    flat = convscope.Net(nn.Sequential(nn.Flatten(), nn.Linear(3 * 40 * 48, 3)), size=SIZE)
    assert hide(flat).strongest == ""
    torch.testing.assert_close(result.responses["class:dog"], hide(net, target="dog").score, rtol=1e-5, atol=1e-5)


REFUSED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"target": "class:nope"}, convscope.BadAddress, "no class 'nope'"),
    ({"target": 4}, convscope.BadAddress, r"4 is none\n\nhint: units count from 0 to 3"),
    ({"target": -1}, convscope.BadAddress, r"-1 is no class\n\nhint: classes count from 0 to 3"),
    ({"target": []}, convscope.BadAddress, "the list of targets is empty\n\nhint: name at least one class"),
    ({"target": "2:0"}, convscope.BadAddress, "2:0 is no class\n\nhint: name one by index or name"),
    ({"target": "cot:1"}, convscope.UnknownLayer, "no layer 'cot'"),
    ({"window": 0}, convscope.BadOption, "hint: "),
    ({"window": 49}, convscope.BadOption, r"49×49 px does not fit into 40×48 px\n\nhint: "),
    ({"window": "8x49"}, convscope.BadOption, "8×49 px does not fit"),
    ({"window": "1x2x3"}, convscope.BadOption, "hint: "),
    ({"window": "wide"}, convscope.BadOption, "hint: "),
    ({"stride": 0}, convscope.BadOption, "stride is 0\n\nhint: "),
    ({"fill": "gray"}, convscope.BadOption, "gray"),
    ({"fill": (1, 0)}, convscope.BadOption, "hint: "),
    ({"fill": (2, 0, 0)}, convscope.BadOption, r"no colour\n\nhint: red, green and blue are from 0 to 1"),
    ({"fill": (math.nan, 0, 0)}, convscope.BadOption, "no colour"),
    ({"follow": "nope"}, convscope.UnknownLayer, "tiny has no layer 'nope'\n\nhint: "),
    ({"follow": "9"}, convscope.BadOption, r"9 has no maps\n\nhint: layers with maps are for instance 2, 5"),
    ({"units": ("2",)}, convscope.BadAddress, "'2' is no unit\n\nhint: "),
    ({"units": ("2:6",)}, convscope.BadAddress, r"2 has 6 units, so 6 is none\n\nhint: units count from 0 to 5"),
    ({"units": ("2:1@0,0",)}, convscope.BadAddress, "is no unit\n\nhint: "),
    ({"units": ("nope:1",)}, convscope.UnknownLayer, "no layer 'nope'"),
    ({"border": "wrap"}, convscope.BadOption, "hint: Input should be 'inside' or 'cut'"),
    ({"memory": 0}, convscope.BadOption, "memory is 0"),
    ({"windw": 3}, convscope.BadOption, r"no option 'windw'\n\nhint: did you mean 'window'\?"),
]


@pytest.mark.parametrize(("options", "error", "text"), REFUSED, ids=[str(options) for options, _, _ in REFUSED])
def test_mistakes_are_named(net: convscope.Net, options: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        hide(net, **options)


def test_images_that_are_none(net: convscope.Net) -> None:
    with pytest.raises(convscope.UnreadableImage, match="no such file\n\nhint: "):
        occlusion(net, "nothing.png")
    for image in (picture() / 255, picture()[:, :, 0], torch.full((3, *SIZE), torch.nan), picture()[:0]):
        with pytest.raises(convscope.BadOption):
            occlusion(net, image, window=6)


class Divides(nn.Module):
    """Scores that are infinite where the mean colour is black."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([1 / x.mean((1, 2, 3)), x.mean((1, 2, 3))], 1)


def test_scores_that_are_no_numbers() -> None:
    with pytest.raises(convscope.UnreadableImage, match="the scores of this image are not finite\n\nhint: "):
        occlusion(convscope.Net(Divides(), size=SIZE), np.zeros((*SIZE, 3), np.uint8))
    result = occlusion(convscope.Net(Divides(), size=SIZE), picture(), window=SIZE)  # only the occluded ones are not
    assert result.done == 1
    assert not result.score[0, 0].isfinite()
    broken = small_classifier()
    with torch.no_grad():
        broken[0].weight[0, 0, 0, 0] = math.nan
    with pytest.raises(convscope.BadWeights):
        convscope.Net(broken, size=SIZE)


def test_the_strongest_map_is_sent_back(net: convscope.Net) -> None:
    found = hide(net)
    layer = found.strongest.rsplit(":", 1)[0]
    expected = [
        method(net, picture(), convscope.Address(layer)).signal
        for method in (convscope.deconvnet, convscope.guided_backprop)
    ]
    assert found.projection is not None
    torch.testing.assert_close(found.projection, torch.stack(expected))
    assert float(found.projection.abs().max()) > 0
    smooth = nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    without = hide(convscope.Net(smooth, size=SIZE))
    assert without.projection is None
    assert len(convscope.draw(found)) == len(convscope.draw(without)) + 1


def test_no_trace_is_left() -> None:
    module = small_classifier().train()
    before = copy.deepcopy(module.state_dict())
    image = torch.rand(3, *SIZE, requires_grad=True)
    net = convscope.Net(module, size=SIZE, name="tiny")
    fingerprint = net.fingerprint
    result = occlusion(net, image, [0, 1], window=9, fill="blur", units=("2:1",))
    with pytest.raises(convscope.UnknownLayer):
        occlusion(net, image, follow="nothing")
    with pytest.raises(ZeroDivisionError):
        occlusion(net, image, window=9, watch=Curious(1, ZeroDivisionError))
    assert all(part.training for part in module.modules())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in module.parameters())
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert net.__dict__.pop("fingerprint") == fingerprint == net.fingerprint
    assert image.grad is None
    tensors = [value for value in vars(result).values() if isinstance(value, Tensor)]
    for value in (*tensors, *result.responses.values(), result.occluder.pixels, result.attribution()):
        assert not value.requires_grad
        assert not value.is_inference()


def test_the_numbers_can_be_kept(net: convscope.Net, tmp_path: Path) -> None:
    result = hide(net, units=("5:3",))
    with np.load(result.save(tmp_path / "o.npz")) as saved:
        np.testing.assert_array_equal(saved["probability"], result.probability.numpy())
        np.testing.assert_array_equal(saved["response 5:3"], result.responses["5:3"].numpy())
        assert saved["tops"].tolist() == list(range(0, 35, 4))
    lowest = result.falls(1)[0]
    assert result.probability[lowest] == result.probability.min()
    assert [float(result.probability[place]) for place in result.falls(20)] == sorted(
        result.probability.flatten().tolist()
    )[:20]


DOGS = {  # photo: class, and the animal's head in shares of the net's input: top, left, bottom, right
    "imagenet_00_243.jpg": (243, (0.35, 0.35, 0.65, 0.55)),
    "imagenet_16_251.jpg": (251, (0.28, 0.35, 0.68, 0.85)),
}


@pytest.mark.parametrize(
    ("photo", "stride"),
    [("imagenet_16_251.jpg", 32), *[pytest.param(photo, 16, marks=pytest.mark.heavy) for photo in DOGS]],
)
def test_hiding_the_dogs_head_lowers_the_dogs_probability_most(photo: str, stride: int, lite0: convscope.Net) -> None:
    """Real weights: the head counts, the ground and the walker's legs do not."""
    spec = find_spec("foolbox")  # for its photos only: importing it warns
    assert spec is not None
    assert spec.origin is not None
    target, (top, left, bottom, right) = DOGS[photo]
    result = occlusion(lite0, Path(spec.origin).parent / "data" / photo, window=48, stride=stride, fill="mean")
    assert result.targets == (target,)
    falls = result.unoccluded_log_odds - result.log_odds
    rows, columns = ((ends + 24) / 224 for ends in (result.tops, result.lefts))  # the square's centre, in shares
    head = ((rows >= top) & (rows <= bottom))[:, None] & ((columns >= left) & (columns <= right))
    edge = ((rows < top - 0.2) | (rows > bottom + 0.2))[:, None] | (columns < left - 0.2) | (columns > right + 0.2)
    assert min(int(head.sum()), int(edge.sum())) >= 6
    assert float(falls[head].mean()) > float(falls[edge].mean()) + 0.2
    assert head[divmod(int(result.probability.argmin()), head.shape[1])]
    assert float(result.attribution("probability").nan_to_num().max()) > 0
