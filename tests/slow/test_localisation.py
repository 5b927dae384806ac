"""Localisation against a plain reading of Simonyan et al. 2014, section 3.2, and of Rother et al. 2004: loops, no OpenCV.

Seeds, the largest piece and its box are the same; the cut costs no more than that of another maximum flow; the colour
models explain the seeds no worse than a plain fit does.
"""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow
from torch import Tensor, nn

import convscope
from convscope.arrays import Box
from convscope.techniques.localisation import bounding_box, colour_models, cut, find_seeds, largest_piece

SIZE = (26, 30)
GAMMA = 50.0  # of the cost of an edge, as in the paper
WHOLE = 10_000  # capacities are whole numbers in scipy
Mixture = list[tuple[float, NDArray[np.float64], NDArray[np.float64]]]  # weight, mean, covariance
STEPS = ((0, 1), (1, -1), (1, 0), (1, 1))  # to half of the eight neighbours

SEEDS = range(4)


def scene(seed: int) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Two objects of like colours on a speckled ground, and a map that is high on a part of the larger one."""
    random = np.random.default_rng(seed)
    picture = random.normal((60, 110, 70), 12, (*SIZE, 3))
    picture[:, 20:] += random.normal((40, 10, -20), 9, (SIZE[0], SIZE[1] - 20, 3))
    picture[5:17, 4:15] = random.normal((190, 70, 60), 12, (12, 11, 3))
    picture[20:24, 21:27] = random.normal((180, 80, 70), 12, (4, 6, 3))
    values = random.random(SIZE) * 0.4
    values[5:17, 4:15] += 0.3
    values[8:14, 6:12] += random.random((6, 6))
    values[20:24, 21:27] += 0.3
    return picture.clip(0, 255).astype(np.uint8), values


def plain_quantile(values: NDArray[np.float64], share: float) -> float:
    """Between the two nearest values of a sorted list."""
    ordered = sorted(float(one) for one in values.ravel())
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def plain_seeds(values: NDArray[np.float64], foreground: float, background: float) -> NDArray[np.int8]:
    high, low = plain_quantile(values, foreground), plain_quantile(values, background)
    seeds = np.zeros(values.shape, np.int8)
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            if values[row, column] > high:
                seeds[row, column] = 1
            elif values[row, column] <= low:
                seeds[row, column] = -1
    return seeds


def plain_piece(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest piece, found by walking from pixel to pixel; of equal ones the first."""
    seen, best = np.zeros(mask.shape, bool), list[tuple[int, int]]()
    for start in zip(*np.nonzero(mask), strict=True):
        if seen[start]:
            continue
        piece, waiting = [], [start]
        seen[start] = True
        while waiting:
            row, column = waiting.pop()
            piece.append((row, column))
            for near in ((row + down, column + right) for down in (-1, 0, 1) for right in (-1, 0, 1)):
                inside = 0 <= near[0] < mask.shape[0] and 0 <= near[1] < mask.shape[1]
                if inside and mask[near] and not seen[near]:
                    seen[near] = True
                    waiting.append(near)
        if len(piece) > len(best):
            best = piece
    found = np.zeros(mask.shape, bool)
    for place in best:
        found[place] = True
    return found


def plain_box(mask: NDArray[np.bool_]) -> Box | None:
    places = [(row, column) for row in range(mask.shape[0]) for column in range(mask.shape[1]) if mask[row, column]]
    if not places:
        return None
    rows, columns = [row for row, _ in places], [column for _, column in places]
    return Box(min(rows), min(columns), max(rows) + 1, max(columns) + 1)


def plain_mixture(colours: NDArray[np.float64]) -> Mixture:
    """Five Gaussians: centres far from each other, twenty rounds of means, then of hard assignments by likelihood."""
    centres = [colours.mean(0)]
    while len(centres) < 5:
        apart = np.min([((colours - one) ** 2).sum(1) for one in centres], 0)
        centres.append(colours[int(apart.argmax())])
    for _ in range(20):
        labels = np.argmin([((colours - one) ** 2).sum(1) for one in centres], 0)
        centres = [
            colours[labels == part].mean(0) if (labels == part).any() else one for part, one in enumerate(centres)
        ]
    for _ in range(6):
        mixture: Mixture = []
        for part in range(5):
            own = colours[labels == part]
            if len(own) > 1:
                mixture.append((len(own) / len(colours), own.mean(0), np.cov(own.T, bias=True) + 0.01 * np.eye(3)))
        labels = np.argmin([costs([one], colours) for one in mixture], 0)
    return mixture


def costs(mixture: Mixture, colours: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each colour the negative logarithm of its likelihood."""
    total = np.zeros(len(colours))
    for weight, mean, spread in mixture:
        apart = colours - mean
        distance = np.einsum("ni,ij,nj->n", apart, np.linalg.inv(spread), apart)
        total += weight * np.exp(-distance / 2) / math.sqrt(float(np.linalg.det(spread)))
    return -np.log(total + 1e-300)


def mixture_of(model: NDArray[np.float64]) -> Mixture:
    """OpenCV's layout: weights, means, covariances."""
    weights, means, spreads = model[0, :5], model[0, 5:20].reshape(5, 3), model[0, 20:].reshape(5, 3, 3)
    return [
        (float(weight), mean, spread) for weight, mean, spread in zip(weights, means, spreads, strict=True) if weight
    ]


def edges(pixels: NDArray[np.uint8]) -> list[tuple[int, int, float]]:
    """Pairs of neighbours, by number, and what it costs to cut between them: little where the contrast is great."""
    colours = pixels.astype(float)
    rows, columns = pixels.shape[:2]
    pairs = []
    for row in range(rows):
        for column in range(columns):
            for down, right in STEPS:
                if row + down < rows and 0 <= column + right < columns:
                    contrast = float(((colours[row, column] - colours[row + down, column + right]) ** 2).sum())
                    other = (row + down) * columns + column + right
                    pairs.append((row * columns + column, other, contrast, math.hypot(down, right)))
    beta = 1 / (2 * sum(contrast for _, _, contrast, _ in pairs) / len(pairs))
    return [(one, other, GAMMA / apart * math.exp(-beta * contrast)) for one, other, contrast, apart in pairs]


def energy(mask: NDArray[np.bool_], pixels: NDArray[np.uint8], background: Mixture, foreground: Mixture) -> float:
    """What a cut costs: colours that fit badly, and neighbours that it parts."""
    colours, flat = pixels.reshape(-1, 3).astype(float), mask.ravel()
    fits = np.where(flat, costs(foreground, colours), costs(background, colours)).sum()
    return float(fits) + sum(cost for one, other, cost in edges(pixels) if flat[one] != flat[other])


def plain_cut(pixels: NDArray[np.uint8], background: Mixture, foreground: Mixture) -> NDArray[np.bool_]:
    """The least cost, as the least cut between a source (foreground) and a sink (background)."""
    colours = pixels.reshape(-1, 3).astype(float)
    count = len(colours)
    outside, inside = costs(background, colours), costs(foreground, colours)
    least = np.minimum(outside, inside)
    links = [(count, one, outside[one] - least[one]) for one in range(count)]
    links += [(one, count + 1, inside[one] - least[one]) for one in range(count)]
    for one, other, cost in edges(pixels):
        links += [(one, other, cost), (other, one, cost)]
    starts, ends, capacity = (np.array(one) for one in zip(*links, strict=True))
    whole = np.round(capacity * WHOLE).astype(np.int32)
    graph = coo_array((whole, (starts, ends)), (count + 2, count + 2)).tocsr()
    left = graph - maximum_flow(graph, count, count + 1).flow
    left.data = np.maximum(left.data, 0)
    left.eliminate_zeros()
    reached = breadth_first_order(left, count, return_predecessors=False)
    mask = np.zeros(count + 2, bool)
    mask[reached] = True
    return mask[:count].reshape(pixels.shape[:2])


@pytest.mark.parametrize("seed", SEEDS)
def test_seeds_are_those_of_the_quantiles(seed: int) -> None:
    _, values = scene(seed)
    values = values.round(1) if seed % 2 else values  # many that are equal
    for foreground, background in ((0.95, 0.3), (0.9, 0.9), (0.5, 0.01)):
        expected = plain_seeds(values, foreground, background)
        np.testing.assert_array_equal(find_seeds(values, foreground, background), expected)


@pytest.mark.parametrize("density", [0.02, 0.2, 0.4, 0.7])
def test_the_largest_piece_and_its_box(density: float) -> None:
    for seed in range(10):
        mask = np.random.default_rng(seed).random((19, 23)) < density
        expected = plain_piece(mask)
        np.testing.assert_array_equal(largest_piece(mask), expected)
        assert bounding_box(expected) == plain_box(expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_colour_models_explain_the_seeds_no_worse(seed: int) -> None:
    pixels, values = scene(seed)
    seeds = find_seeds(values, 0.7, 0.3)  # many of both, so that five Gaussians are no chance
    for model, chosen in zip(colour_models(pixels, seeds, 0), (seeds < 0, seeds > 0), strict=True):
        colours = pixels[chosen].astype(float)
        own, plain = (costs(one, colours).mean() for one in (mixture_of(model), plain_mixture(colours)))
        assert own <= plain + 0.15


@pytest.mark.parametrize("seed", SEEDS)
def test_the_cut_costs_no_more(seed: int) -> None:
    pixels, values = scene(seed)
    models = colour_models(pixels, find_seeds(values, 0.95, 0.3), 0)
    background, foreground = (mixture_of(model) for model in models)
    expected, found = plain_cut(pixels, background, foreground), cut(pixels, *models)
    least, own = (energy(mask, pixels, background, foreground) for mask in (expected, found))
    assert own <= least + 1e-6 * abs(least) + pixels[..., 0].size / WHOLE
    assert float((found == expected).mean()) > 0.99
    assert 0.05 < float(found.mean()) < 0.6
    moved = found.copy()
    moved[10, 10] = not moved[10, 10]  # the costs tell cuts apart
    assert energy(moved, pixels, background, foreground) > own


class Looks(nn.Module):
    """A score whose gradient is a given map."""

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.values = nn.Parameter(values)

    def forward(self, x: Tensor) -> Tensor:
        score = (x * self.values).sum((1, 2, 3))
        return torch.stack([score, -score], 1)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_whole_of_it(seed: int) -> None:
    """From the gradient to the box, with the colour models that were found."""
    pixels, values = scene(seed)
    net = convscope.Net(Looks(torch.from_numpy(values).float()), size=SIZE)
    found = convscope.localise(net, pixels, 0, crops=1, blur=0)
    np.testing.assert_allclose(found.map.numpy(), values, rtol=1e-6)
    seeds = plain_seeds(found.map.double().numpy(), 0.95, 0.3)
    np.testing.assert_array_equal(found.seeds, seeds)
    background, foreground = (mixture_of(model) for model in colour_models(pixels, seeds, 0))
    expected = plain_piece(plain_cut(pixels, background, foreground))
    assert float((found.mask == expected).mean()) > 0.99
    assert found.input_box == plain_box(found.mask)
    assert found.input_box == pytest.approx(plain_box(expected), abs=1)
    planted = np.zeros(SIZE, bool)
    planted[5:17, 4:15] = True
    assert (found.mask & planted).sum() / (found.mask | planted).sum() > 0.7
