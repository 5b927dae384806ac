"""Saliency, deconvnet and guided backprop as they are called: targets, shapes, places, mistakes in words, saving."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

import convscope
from convscope import Net
from convscope.models.address import Address
from convscope.models.backward import Backward
from convscope.technique import Watch
from convscope.techniques.gradient import Projection, Saliency, deconvnet, guided_backprop, saliency
from tests.nets import Does, Quarter, small_classifier

SIZE = (20, 24)
BOTH = (deconvnet, guided_backprop)
Technique = Callable[..., Any]


def picture(seed: int = 0, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def net() -> Net:
    return Net(
        small_classifier(), (0.4, 0.5, 0.6), (0.2, 0.3, 0.4), SIZE, labels=["ant", "bee", "cat", "dog"], name="tiny"
    )


def signal(result: Saliency | Projection) -> Tensor:
    return result.gradient if isinstance(result, Saliency) else result.signal


@pytest.mark.parametrize("technique", [saliency, *BOTH])
def test_one_target_has_no_axis_and_a_list_has_one(net: Net, technique: Technique) -> None:
    together = technique(net, picture(), ["dog", "5:3", "2:1@4,7", 0, Address("5")])
    assert signal(together).shape == (5, 3, *SIZE)
    assert together.targets[0] == "class:3"
    assert together.targets[2:4] == ("2:1@4,7", "class:0")
    assert together.names[0] == "dog"
    assert len(together.values) == len(together.boxes) == len(together.input_boxes) == 5
    assert together.address == ", ".join(together.names)
    for place, target in enumerate(("dog", "5:3", "2:1@4,7", 0, Address("5"))):
        single = technique(net, picture(), target)
        assert signal(single).shape == (3, *SIZE)
        torch.testing.assert_close(signal(single), signal(together)[place], rtol=1e-6, atol=1e-9)
        assert single.targets == together.targets[place : place + 1]
        assert single.values == pytest.approx(together.values[place : place + 1])
    assert technique(net, picture(), ["dog"]).lines()[1][0] == "dog"
    assert len(together.lines()) == 6


@pytest.mark.parametrize("technique", [saliency, *BOTH])
def test_the_target_is_the_most_probable_class_unless_named(net: Net, technique: Technique) -> None:
    result = technique(net, picture())
    scores = net.scores(net.prepare(picture()).pixels)[0]
    best = int(scores.argmax())
    assert result.targets == (f"class:{best}",)
    assert result.values[0] == pytest.approx(float(scores.max()), rel=1e-5)
    same = (
        best,
        str(net.class_name(best)),
        np.int64(best),
        torch.tensor(best),
        f"class:{best}",
        Address("class", best),
        f"9:{best}",
    )
    for target in same:
        assert torch.equal(signal(technique(net, picture(), target)), signal(result)), target
    for several in ([best], (best,), np.array([best]), torch.tensor([best])):
        assert torch.equal(signal(technique(net, picture(), several)), signal(result)[None])


def test_a_unit_begins_where_it_is_strongest_and_a_layer_with_its_strongest_map(net: Net) -> None:
    maps = net.outputs(net.prepare(picture()).pixels, ["5"])["5"][0]
    row, column = divmod(int(maps[3].argmax()), maps.shape[2])
    for technique in (saliency, *BOTH):
        found, named = technique(net, picture(), "5:3"), technique(net, picture(), f"5:3@{row},{column}")
        assert found.targets == named.targets == (f"5:3@{row},{column}",)
        assert torch.equal(signal(found), signal(named))
        assert found.values[0] == pytest.approx(float(maps[3].max()), rel=1e-5)
        whole = technique(net, picture(), Address("5"))
        best = int(maps.sum((1, 2)).argmax())
        assert whole.targets == (f"5:{best}",)
        assert "whole map" in whole.names[0]
        assert not torch.equal(signal(whole), signal(technique(net, picture(), f"5:{best}")))
        every = [f"5:{best}@{y},{x}" for y in range(maps.shape[1]) for x in range(maps.shape[2])]
        if technique is saliency:  # linear in the start
            total = saliency(net, picture(), every).gradient.sum(0)
            torch.testing.assert_close(signal(whole), total, rtol=1e-4, atol=1e-6)


def test_saliency_is_the_greatest_gradient_of_the_three_colours(net: Net) -> None:
    result = saliency(net, picture(), ["dog", "5:3"])
    assert torch.equal(result.map, result.gradient.abs().amax(1))
    pixels = net.prepare(picture()).pixels.clone().requires_grad_()
    (expected,) = torch.autograd.grad(net.scores(pixels)[0, 3], pixels)
    torch.testing.assert_close(result.gradient[0], expected[0], rtol=1e-4, atol=1e-7)


def test_only_a_quarter_counts() -> None:
    result = saliency(Net(Quarter(), size=(16, 20)), torch.rand(3, 16, 20), [0, 1])
    expected = torch.zeros(16, 20)
    expected[:8, :10] = 1 / 240
    for place in range(2):
        torch.testing.assert_close(result.map[place], expected)
    assert torch.equal(result.gradient[0], -result.gradient[1])


@pytest.mark.parametrize("technique", [saliency, *BOTH])
@pytest.mark.parametrize("address", ["2:1@0,0", "2:3@19,23", "3:2@9,0", "5:7@5,6", "0:0@19,0"])
def test_nothing_lies_outside_the_box(net: Net, technique: Technique, address: str) -> None:
    result = technique(net, picture(), address)
    top, left, bottom, right = (int(edge) for edge in result.input_boxes[0])
    outside = torch.ones(SIZE, dtype=torch.bool)
    outside[top:bottom, left:right] = False
    assert outside.any()
    assert not signal(result)[:, outside].any()
    assert result.boxes[0] == net.receptive_box(address, result.prepared)


def test_a_deconvnet_begins_with_the_value_and_grows_with_it(net: Net) -> None:
    pixels = net.prepare(picture()).pixels
    row, column = divmod(int(net.outputs(pixels, ["5"])["5"][0, 3].argmax()), 12)
    value = float(net.outputs(pixels, ["5"])["5"][0, 3, row, column])
    result = deconvnet(net, picture(), "5:3")
    start = torch.zeros(1, 8, 10, 12)
    start[0, 3, row, column] = value
    once, twice = Backward(net, net.layer("5"), "deconvnet").signals(pixels, lambda _: [start, 2 * start])
    torch.testing.assert_close(result.signal, once[0], rtol=1e-5, atol=1e-8)
    torch.testing.assert_close(twice, 2 * once, rtol=1e-6, atol=1e-9)
    assert float(once.abs().max()) > 0
    start[0, 3, row, column] = 1
    (one,) = Backward(net, net.layer("5"), "guided").signals(pixels, lambda _: [start])
    torch.testing.assert_close(guided_backprop(net, picture(), "5:3").signal, one[0], rtol=1e-5, atol=1e-8)


def test_a_unit_that_is_not_active_projects_nothing(net: Net) -> None:
    maps = net.outputs(net.prepare(picture()).pixels, ["5"])["5"][0]
    unit, row, column = (maps == 0).nonzero()[0].tolist()
    address = f"5:{unit}@{row},{column}"
    for technique in (saliency, *BOTH):
        result = technique(net, picture(), address)
        assert result.values == (0.0,)
        assert not signal(result).any()


def test_rectifiers_are_counted(net: Net) -> None:
    for technique in BOTH:
        assert technique(net, picture(), ["0:1", "2:1", "4:1", "5:1", 0]).rectifiers == (0, 1, 1, 2, 2)


def test_a_way_back_is_the_transpose_of_the_way_there() -> None:
    """⟨A x, y⟩ = ⟨x, Aᵀ y⟩ for a net without rectifiers, switches of another kind, or biases."""
    torch.manual_seed(0)
    parts = [
        nn.Conv2d(3, 4, 3, 2, 1, bias=False),
        nn.AvgPool2d(3, 2, ceil_mode=True),
        nn.Conv2d(4, 6, (2, 3), dilation=2, groups=2, bias=False),
    ]
    module = nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 2)).double()
    linear = Net(module, size=(27, 30))
    x = torch.rand(1, 3, 27, 30, dtype=torch.float64)
    there = linear.outputs(x, ["2"])["2"]
    y = torch.randn_like(there)
    for rule in ("gradient", "deconvnet", "guided"):
        (back,) = Backward(linear, linear.layer("2"), rule).signals(x, lambda _: [y])
        assert float((x * back).sum()) == pytest.approx(float((there * y).sum()), rel=1e-10)


def test_ten_crops_by_hand(net: Net) -> None:
    result = saliency(net, picture(), [2, Address("5")], crops=10)
    tall, wide = 23, 27
    pixels = net.prepare(picture()).pixels
    large = F.interpolate(pixels, (tall, wide), mode="bicubic", align_corners=False).clamp(0, 1)
    unit = int(result.targets[1].partition(":")[2])
    total, count = torch.zeros(2, tall, wide), torch.zeros(tall, wide)
    for top, left in ((0, 0), (0, 3), (3, 0), (3, 3), (1, 1)):
        for mirrored in (False, True):
            crop = large[:, :, top : top + 20, left : left + 24]
            given = (crop.flip(3) if mirrored else crop).clone().requires_grad_()
            score, whole = net.scores(given)[0, 2], net.outputs(given, ["5"])["5"][0, unit].sum()
            maps = torch.stack([torch.autograd.grad(one, given)[0][0].abs().amax(0) for one in (score, whole)])
            total[:, top : top + 20, left : left + 24] += maps.flip(2) if mirrored else maps
            count[top : top + 20, left : left + 24] += 1
    expected = F.interpolate((total / count)[None], SIZE, mode="area")[0]
    torch.testing.assert_close(result.map, expected, rtol=1e-3, atol=1e-6)
    assert result.crops == 10
    assert result.map.shape == (2, *SIZE)
    one = saliency(net, picture(), 2)
    assert torch.equal(result.gradient[0], one.gradient)  # of the image itself
    assert not torch.allclose(result.map[0], one.map)
    assert saliency(net, picture(), 2, crops=10).map.shape == SIZE


REFUSED: list[tuple[Any, type[Exception], str]] = [
    ("class:nope", convscope.BadAddress, "no class 'nope'"),
    ("nope", convscope.BadAddress, "nope"),
    (4, convscope.BadAddress, "4 is none\n\nhint: "),
    (-1, convscope.BadAddress, "-1 is no class\n\nhint: "),
    (True, convscope.BadAddress, "True is no class"),
    ([], convscope.BadAddress, "the list of targets is empty\n\nhint: "),
    ("5:8", convscope.BadAddress, "5 has 8 units, so 8 is none"),
    ("5:3@10,0", convscope.BadAddress, "5 has 10×12 places, so 10,0 is none"),
    ("5:3@0,12", convscope.BadAddress, "so 0,12 is none"),
    ("7:1@0,1", convscope.BadAddress, "7 has 1×1 places"),
    ("55:1", convscope.UnknownLayer, "tiny has no layer '55'"),
    ("9:1@0,0", convscope.BadAddress, "9:1@0,0 is no class\n\nhint: "),
    ("5", convscope.BadAddress, "so 5 is none"),  # a number is a class, whatever layers are called
    (convscope.Address("9"), convscope.BadAddress, "9 is the output\n\nhint: name one of its classes"),
    ("class:1@0,0", convscope.BadAddress, "is no class"),
    (":", convscope.BadAddress, "no address"),
    ("", convscope.BadAddress, "no address"),
]


@pytest.mark.parametrize(("target", "error", "text"), REFUSED, ids=[str(target) for target, _, _ in REFUSED])
def test_mistakes_are_named(net: Net, target: Any, error: type[Exception], text: str) -> None:
    for technique in (saliency, *BOTH):
        with pytest.raises(error) as refused:
            technique(net, picture(), target)
        assert text in str(refused.value)


def test_other_options_are_refused(net: Net) -> None:
    with pytest.raises(convscope.BadOption, match="crops is 5\n\nhint: "):
        saliency(net, picture(), 0, crops=5)  # type: ignore[arg-type]
    with pytest.raises(convscope.BadOption, match="no option 'crop'\n\nhint: did you mean 'crops'"):
        saliency(net, picture(), 0, crop=1)  # type: ignore[call-arg]
    with pytest.raises(convscope.BadOption, match="no option 'crops'"):
        deconvnet(net, picture(), 0, crops=10)  # type: ignore[call-arg]
    for image in (picture() / 255, picture()[:, :, 0], torch.full((3, *SIZE), torch.nan)):
        with pytest.raises(convscope.BadOption):
            guided_backprop(net, image)
    with pytest.raises(convscope.UnreadableImage, match="no such file"):
        saliency(net, "nothing.png")


class Divides(nn.Module):
    """Scores that are infinite where the mean colour is black."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([1 / x.mean((1, 2, 3)), x.mean((1, 2, 3))], 1)


def test_scores_that_are_no_numbers() -> None:
    for technique in (saliency, *BOTH):
        with pytest.raises(convscope.UnreadableImage, match="the scores of this image are not finite\n\nhint: "):
            technique(Net(Divides(), size=SIZE), np.zeros((*SIZE, 3), np.uint8))


def test_scores_without_a_gradient_give_zeros() -> None:
    counted = Net(nn.Sequential(nn.Flatten(), nn.Linear(3 * 20 * 24, 4), nn.ReLU()), size=SIZE)
    dead = counted.with_weights({"1.weight": torch.zeros(4, 1440), "1.bias": torch.full((4,), -1.0)})
    for technique in (saliency, *BOTH):
        assert not signal(technique(dead, picture(), 0)).any()


class Counting(Watch):
    def __init__(self) -> None:
        self.told: list[tuple[int, int, str]] = []

    def progress(self, done: int, total: int, unit: str) -> None:
        self.told.append((done, total, unit))


def test_progress_is_told(net: Net) -> None:
    for technique in BOTH:
        watch = Counting()
        technique(net, picture(), ["5:1", 0, "5:2"], watch=watch)
        assert watch.told == [(1, 3, "signals"), (2, 3, "signals"), (3, 3, "signals")]
    watch = Counting()
    saliency(net, picture(), 0, crops=10, watch=watch)
    assert watch.told[-1] == (10, 10, "crops")


@pytest.mark.parametrize("technique", [saliency, *BOTH])
@pytest.mark.parametrize("target", ["5:3", ["dog", Address("5")]], ids=["one", "two"])
def test_results_can_be_kept(net: Net, technique: Technique, target: Any, tmp_path: Path) -> None:
    result = technique(net, picture(), target)
    with np.load(result.save(tmp_path / "r.npz")) as saved:
        name = "gradient" if technique is saliency else "signal"
        np.testing.assert_array_equal(saved[name], signal(result).numpy())
        for name in ("targets", "names", "values"):
            assert tuple(saved[name].tolist()) == getattr(result, name)
        for name in ("boxes", "input_boxes"):
            np.testing.assert_array_equal(saved[name], np.array(getattr(result, name)))
        assert technique is saliency or tuple(saved["rectifiers"].tolist()) == result.rectifiers
    assert result.save(tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")
    assert "<html" in result.save(tmp_path / "r.html").read_text(encoding="utf-8")
    with pytest.raises(convscope.BadOption):
        result.save(tmp_path / "r.gif")


@pytest.mark.parametrize("technique", [saliency, *BOTH])
def test_an_empty_signal_can_be_drawn(net: Net, technique: Technique, tmp_path: Path) -> None:
    dead = net.with_weights({**net.weights, "0.weight": torch.zeros(6, 3, 3, 3)})
    result = technique(dead, picture(), ["5:1", 0])
    assert not signal(result).any()
    assert result.save(tmp_path / "r.png").stat().st_size > 100


@pytest.mark.heavy
def test_real_photos_and_real_weights() -> None:
    """A net of ReLU6 on a photo of twice its size: signals are not empty, and boxes lie in the photo."""
    real = convscope.load("efficientnet-lite0")
    image = np.kron(picture(size=(30, 40)), np.ones((12, 12, 1), np.uint8))
    for technique in (saliency, *BOTH):
        result = technique(real, image)
        assert float(signal(result).abs().max()) > 0
        assert bool(signal(result).isfinite().all())


@pytest.mark.parametrize("method", [saliency, deconvnet, guided_backprop])
@pytest.mark.parametrize("target", [None, 1])
def test_signals_that_are_no_numbers_are_said(method: Any, target: int | None) -> None:
    torch.manual_seed(0)
    steep = Does(
        lambda self, x: self.conv(x).relu().mean((2, 3)) / (x.mean((1, 2, 3)) - x.mean((1, 2, 3)))[:, None],
        conv=nn.Conv2d(3, 2, 3),
    )
    with pytest.raises(convscope.UnreadableImage, match="not finite"):
        method(Net(steep, size=(9, 9)), torch.rand(3, 9, 9), target)
