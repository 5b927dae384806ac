"""Occlusion in plain loops, straight from the paper: hide the square, run the whole net, softmax.

Captum's averaging (Occlusion and FeatureAblation.attribute) stands here as a slow twin too, and Captum itself beside it.
"""

import math

import numpy as np
import pytest
import torch
from captum.attr import Occlusion
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from convscope import Net
from convscope.models.occluders import Border, Fill
from convscope.techniques.occlusion import OcclusionMap, occlusion
from tests.nets import small_classifier

Box = tuple[int, int, int, int]  # top, left, bottom, right


def places(length: int, side: int, stride: int, border: str) -> list[tuple[int, int]]:
    """Where the square stands along one axis: moved on by the stride while it is inside, or until all is covered."""
    found, start = [], 0
    while start + side <= length:
        found.append((start, start + side))
        start += stride
    if border == "cut" and found[-1][1] < length and start < length:
        found.append((start, length))
    return found


def boxes(size: tuple[int, int], window: tuple[int, int], stride: tuple[int, int], border: str) -> list[list[Box]]:
    """All positions of the square, as rows of columns."""
    rows, columns = (places(*each, border) for each in zip(size, window, stride, strict=True))
    return [[(top, left, bottom, right) for left, right in columns] for top, bottom in rows]


def filling(net: Net, pixels: Tensor, fill: Fill, window: tuple[int, int], seed: int = 0) -> tuple[Tensor, bool]:
    """3×height×width of what the square shows, and whether that moves with the square."""
    if fill == "noise":
        return torch.rand(3, *window, generator=torch.Generator().manual_seed(seed)).to(pixels), True
    if fill == "blur":
        deviations = [max(side / 4, 0.5) for side in window]
        kernel = [
            min(2 * int(3 * one) + 1, 2 * side - 1) for one, side in zip(deviations, pixels.shape[2:], strict=True)
        ]
        return gaussian_blur(pixels, [kernel[1], kernel[0]], [deviations[1], deviations[0]])[0], False
    named = {"zero": (0.0, 0.0, 0.0), "grey": (0.5, 0.5, 0.5), "mean": tuple(net.preprocess.mean)}
    colour = named[fill] if isinstance(fill, str) else fill
    return pixels.new_tensor(colour)[:, None, None].expand(3, *pixels.shape[2:]), False


def hide(pixels: Tensor, box: Box, shown: Tensor, moves: bool) -> Tensor:
    """3×height×width: the image with one box hidden."""
    top, left, bottom, right = box
    hidden = pixels[0].clone()
    if moves:
        hidden[:, top:bottom, left:right] = shown[:, : bottom - top, : right - left]
    else:
        hidden[:, top:bottom, left:right] = shown[:, top:bottom, left:right]
    return hidden


def hidden_images(
    net: Net,
    pixels: Tensor,
    window: tuple[int, int],
    stride: tuple[int, int],
    border: str = "inside",
    fill: Fill = "zero",
) -> tuple[Tensor, tuple[int, int]]:
    """Every occluded input in reading order, and how many rows and columns of positions there are."""
    shown, moves = filling(net, pixels, fill, window)
    grid = boxes(net.size, window, stride, border)
    images = torch.stack([hide(pixels, box, shown, moves) for row in grid for box in row])
    return images, (len(grid), len(grid[0]))


def averaged(
    values: list[list[float]], clean: float, grid: list[list[Box]], size: tuple[int, int]
) -> list[list[float]]:
    """Captum: every pixel's mean of (clean − occluded) over the windows that hide it; its weights are those counts."""
    found = []
    for y in range(size[0]):
        line = []
        for x in range(size[1]):
            total, count = 0.0, 0
            for row, boxes_of_row in enumerate(grid):
                for column, (top, left, bottom, right) in enumerate(boxes_of_row):
                    if top <= y < bottom and left <= x < right:
                        total, count = total + clean - values[row][column], count + 1
            line.append(total / count if count else math.nan)
        found.append(line)
    return found


CASES: list[tuple[tuple[int, int], int, Border, Fill]] = [
    ((8, 8), 4, "inside", "zero"),
    ((8, 8), 5, "cut", "mean"),
    ((3, 10), 3, "cut", "noise"),
    ((5, 5), 7, "inside", "grey"),
    ((9, 4), 4, "cut", (0.9, 0.1, 0.4)),
    ((6, 6), 3, "inside", "blur"),
    ((1, 1), 5, "inside", "noise"),
]


@pytest.mark.parametrize(("window", "stride", "border", "fill"), CASES)
def test_every_number_of_every_position(window: tuple[int, int], stride: int, border: Border, fill: Fill) -> None:
    net = Net(small_classifier(), mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4), size=(24, 30))
    image = np.random.default_rng(0).integers(0, 256, (24, 30, 3), dtype=np.uint8)
    units = ("0:2", "5:7", "6:1", "9:3")
    result = occlusion(
        net, image, [2, 0], window=window, stride=stride, border=border, fill=fill, units=units, follow="2"
    )
    pixels = net.prepare(image).pixels
    grid = boxes(net.size, window, (stride, stride), border)
    assert result.score.shape == (2, len(grid), len(grid[0]))
    assert result.tops.tolist() == [row[0][0] for row in grid]
    assert result.lefts.tolist() == [box[1] for box in grid[0]]
    shown, moves = filling(net, pixels, fill, window)
    for row, boxes_of_row in enumerate(grid):
        for column, box in enumerate(boxes_of_row):
            hidden = hide(pixels, box, shown, moves)
            assert result.box(row, column) == box
            assert torch.equal(result.occluded(row, column), hidden)
            assert_answers(net, result, row, column, hidden)
    assert_answers(net, result, -1, -1, pixels[0])


def assert_answers(net: Net, result: OcclusionMap, row: int, column: int, image: Tensor) -> None:
    """All that the result says of one position, or (row −1) of the clean image, is what the net says of that input."""
    clean = row < 0
    scores = [float(value) for value in net.scores(image[None])[0]]
    powers = [math.exp(value - max(scores)) for value in scores]
    shares = [value / sum(powers) for value in powers]
    best = shares.index(max(shares))
    maps = {"probability": result.unoccluded, "score": result.unoccluded_score, "log_odds": result.unoccluded_log_odds}
    for place, target in enumerate(result.targets):
        odds = math.log(shares[target] / (1 - shares[target]))
        for name, value in (("probability", shares[target]), ("score", scores[target]), ("log_odds", odds)):
            found = maps[name][place] if clean else getattr(result, name)[place, row, column]
            assert float(found) == pytest.approx(value, rel=2e-5, abs=2e-6), name
    assert (result.unoccluded_label if clean else int(result.label[row, column])) == best
    share = result.unoccluded_label_probability if clean else float(result.label_probability[row, column])
    assert share == pytest.approx(shares[best], rel=1e-5)
    for address, values in result.responses.items():
        layer, unit = address.split(":")
        value = float(net.outputs(image[None], [layer])[layer][0, int(unit)].double().sum())
        found = result.unoccluded_responses[address] if clean else float(values[row, column])
        assert found == pytest.approx(value, rel=2e-5, abs=1e-5), address


@pytest.mark.parametrize("of", ["score", "probability", "log_odds"])
@pytest.mark.parametrize(
    ("window", "stride", "border"), [((5, 5), 3, "cut"), ((4, 7), 2, "cut"), ((3, 3), 4, "inside")]
)
def test_attribution_is_captums(of: str, window: tuple[int, int], stride: int, border: Border) -> None:
    net = Net(small_classifier(), size=(15, 18))
    image = np.random.default_rng(1).integers(0, 256, (15, 18, 3), dtype=np.uint8)
    result = occlusion(net, image, [3, 1], window=window, stride=stride, border=border)
    found = result.attribution(of)  # type: ignore[arg-type]
    maps = getattr(result, of)
    clean = getattr(result, "unoccluded" if of == "probability" else f"unoccluded_{of}")
    grid = boxes(net.size, window, (stride, stride), border)
    for place in range(2):
        expected = averaged(maps[place].tolist(), float(clean[place]), grid, net.size)
        torch.testing.assert_close(found[place], torch.tensor(expected), rtol=1e-5, atol=1e-6, equal_nan=True)
    assert bool(found.isnan().any()) == (border == "inside")  # the square leaves gaps only there
    assert float(found.nan_to_num().abs().max()) > 1e-4
    one = occlusion(net, image, 1, window=window, stride=stride, border=border)
    assert torch.equal(one.attribution(of).nan_to_num(), found[1].nan_to_num())  # type: ignore[arg-type]


def test_the_closed_form_of_a_linear_net() -> None:
    """A net of one linear layer: a score falls by weight · (pixel − fill) over the hidden pixels, and nothing else."""
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 12 * 10, 4))
    net = Net(module, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7), size=(12, 10))
    image = torch.rand(3, 12, 10)
    result = occlusion(net, image, [0, 1, 2, 3], window=(3, 2), stride=2, fill=(0.2, 0.4, 0.6))
    weight = module[1].weight.detach().double().view(4, 3, 12, 10) / torch.tensor([0.5, 0.6, 0.7]).double().view(
        3, 1, 1
    )
    fall = weight * (image.double() - torch.tensor([0.2, 0.4, 0.6]).double().view(3, 1, 1))
    for row, top in enumerate(range(0, 10, 2)):
        for column, left in enumerate(range(0, 9, 2)):
            expected = result.unoccluded_score.double() - fall[:, :, top : top + 3, left : left + 2].sum((1, 2, 3))
            torch.testing.assert_close(result.score[:, row, column].double(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("window", "stride"), [(7, 5), (6, 6), (9, 2)])
def test_the_attribution_is_captums(window: int, stride: int) -> None:
    """With border="cut" the mean over the covering windows is Captum's own Occlusion, pixel by pixel."""
    net = Net(small_classifier(), size=(24, 29))
    pixels = torch.rand(1, 3, 24, 29, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        expected = Occlusion(net.scores).attribute(
            pixels, sliding_window_shapes=(3, window, window), strides=(3, stride, stride), baselines=0.25, target=2
        )
    result = occlusion(net, pixels[0], 2, window=window, stride=stride, fill=(0.25, 0.25, 0.25), border="cut")
    found = result.attribution()
    assert float((found - expected[0]).abs().max()) <= 1e-4 * float(
        expected.abs().max()
    )  # differences of float32 scores
    assert float(expected.std()) > 0.01 * float(expected.abs().max())
