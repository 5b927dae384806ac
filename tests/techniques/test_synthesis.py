"""Class models: they climb, come out the same alone and together, can be stopped, and leave everything as it was."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

import convscope
from convscope import Net
from convscope.models.ascent import blurred, reflected
from convscope.models.spectrum import COLOURS, Spectrum
from convscope.technique import Watch
from convscope.techniques.synthesis import PREVIEWS, STEPS, ClassModel, Recipe, class_model
from tests.nets import Does, Quarter, small_classifier

SIZE = (20, 24)
RECIPES: tuple[Recipe, ...] = ("fourier", "yosinski", "simonyan")
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)


def make(module: nn.Module, **options: Any) -> Net:
    return Net(module, MEAN, STD, SIZE, name="tiny", **options)


@pytest.fixture(scope="module")
def net() -> Net:
    return make(small_classifier(), labels=["ant", "bee", "cat", "dog"])


def smooth(activation: type[nn.Module]) -> nn.Sequential:
    """No kink and no switch, so that rounding stays rounding however many steps follow."""
    torch.manual_seed(1)
    parts = [nn.Conv2d(3, 6, 3, padding=1), activation(), nn.Conv2d(6, 8, 3, 2), activation()]
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("target", [0, "dog", "2:1", "5:1@0,11"])
def test_it_climbs(net: Net, recipe: Recipe, target: Any) -> None:
    result = class_model(net, target, recipe=recipe, steps=40)
    assert result.pixels.shape == (3, *SIZE)
    assert result.trace.shape == (40,)
    assert result.steps == 40
    assert float(result.pixels.min()) >= 0
    assert float(result.pixels.max()) <= 1
    ends = result.trace[:5].mean(), result.trace[-5:].mean()
    assert float(ends[1]) > float(ends[0])
    assert result.scores[0] > float(result.trace[0])


@pytest.mark.parametrize("recipe", RECIPES)
def test_scores_and_probabilities_are_those_of_the_pixels(net: Net, recipe: Recipe) -> None:
    result = class_model(net, ["dog", "5:3@2,4", "ant"], recipe=recipe, steps=7)
    outputs = net.outputs(result.pixels, ["4", "9"])
    expected = (outputs["9"][0, 3], outputs["4"][1, 3, 2, 4], outputs["9"][2, 0])
    assert result.scores == pytest.approx([float(one) for one in expected], rel=1e-4)
    sure = outputs["9"].softmax(1)
    assert result.probabilities[0] == pytest.approx(float(sure[0, 3]), rel=1e-4)
    assert np.isnan(result.probabilities[1])
    assert result.probabilities[2] == pytest.approx(float(sure[2, 0]), rel=1e-4)
    assert result.targets == ("class:3", "5:3@2,4", "class:0")
    assert result.boxes[1] == net.input_box("5:3@2,4")


@pytest.mark.parametrize("recipe", ["yosinski", "simonyan"])
def test_the_trace_is_the_score_of_what_a_step_was_at(net: Net, recipe: Recipe) -> None:
    longer, shorter = (class_model(net, 1, recipe=recipe, steps=steps) for steps in (9, 8))
    assert torch.equal(longer.trace[:8], shorter.trace)
    assert float(longer.trace[8]) == pytest.approx(shorter.scores[0], abs=1e-5)


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_seed_is_all_that_is_random(net: Net, recipe: Recipe) -> None:
    first, again, other = (class_model(net, "dog", recipe=recipe, steps=5, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(first.pixels, again.pixels)
    assert torch.equal(first.trace, again.trace)
    assert first.seed == 3
    assert torch.equal(first.pixels, other.pixels) == (recipe == "simonyan")  # it begins with the mean image


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("activation", [nn.GELU, pytest.param(nn.SiLU, marks=pytest.mark.heavy)])
def test_together_or_alone_in_their_order(recipe: Recipe, activation: type[nn.Module]) -> None:
    one = make(smooth(activation))
    targets = [2, "3:1@4,5", "1:2", 0, "0:4@0,0"]
    together = class_model(one, targets, recipe=recipe, steps=8)
    assert together.pixels.shape == (5, 3, *SIZE)
    assert together.trace.shape == (5, 8)
    for number, target in enumerate(targets):
        alone = class_model(one, target, recipe=recipe, steps=8)
        torch.testing.assert_close(together.pixels[number], alone.pixels, rtol=0, atol=1e-4)
        torch.testing.assert_close(together.trace[number], alone.trace, rtol=1e-4, atol=1e-4)
        assert together.targets[number : number + 1] == alone.targets
        assert float(alone.trace[-1]) > float(alone.trace[0])


def test_a_list_of_one_has_an_axis(net: Net) -> None:
    for target in ([1], (1,), np.array([1]), torch.tensor([1])):
        assert class_model(net, target, steps=1).pixels.shape == (1, 3, *SIZE)
    for single in (1, np.int64(1), torch.tensor(1), "bee", "class:bee"):
        assert class_model(net, single, steps=1).pixels.shape == (3, *SIZE)


def test_without_a_place_it_is_the_middle(net: Net) -> None:
    assert class_model(net, ["5:3", "2:0", "9:1"], steps=1).targets == ("5:3@5,6", "2:0@10,12", "class:1")


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_unit_that_rests_at_the_start_climbs(recipe: Recipe) -> None:
    module = small_classifier()
    with torch.no_grad():
        module[4].bias.fill_(-3)
    resting = make(module)
    start = torch.tensor(MEAN).view(1, 3, 1, 1).expand(1, 3, *SIZE)
    assert not resting.outputs(start, ["5"])["5"].any()
    result = class_model(resting, "5:3", recipe=recipe, steps=60)
    assert result.scores[0] > float(result.trace[0]) + 0.05


def test_a_linear_network_shows_its_weights() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 20 * 24, 2))
    result = class_model(Net(module, (0.5,) * 3, STD, SIZE), 1, recipe="simonyan", steps=5)
    moved = (result.pixels - 0.5).double()
    slope = module[1].weight[1].detach().view(3, *SIZE) / torch.tensor(STD).view(3, 1, 1)
    likeness = torch.nn.functional.cosine_similarity(moved.flatten(), slope.double().flatten(), 0)
    assert float(likeness) > 0.9999
    assert float(moved.square().mean().sqrt()) == pytest.approx(5 * 2 / 255, rel=1e-3)


def test_what_does_not_count_stays_grey() -> None:
    result = class_model(Net(Quarter(), size=SIZE), 0, recipe="simonyan", steps=300)  # from black
    assert bool((result.pixels[:, :10, :12] > 0.9).all())
    assert not result.pixels[:, 10:].any()
    assert not result.pixels[:, :, 12:].any()


def test_a_spectrum_holds_images_of_any_size() -> None:
    for size in ((8, 8), (7, 9), (1, 5), (6, 11)):
        spectrum = Spectrum(2, size, 0)
        assert spectrum.pixels().shape == (2, 3, *size)
        assert torch.equal(spectrum.pixels()[0], spectrum.pixels()[1])
        assert spectrum.coefficients.is_leaf
        with torch.no_grad():
            spectrum.coefficients.zero_()
        assert bool((spectrum.pixels() == 0.5).all())


def test_a_spectrum_weighs_frequencies_evenly_and_turns_colours() -> None:
    spectrum = Spectrum(1, (16, 16), 0)
    with torch.no_grad():
        spectrum.coefficients.zero_()
        spectrum.coefficients[0, 0, 0, 2, 0] = 0.1  # a wave of 2 periods across, of the first colour axis
    logits = spectrum.pixels()[0].logit()
    wave = torch.cos(2 * torch.pi * 2 * torch.arange(16) / 16)
    height = 0.1 * 2 * (16 / (2 / 16)) / 256 / 4  # two halves of a wave, weight 16/frequency, the transform's 1/256
    expected = (COLOURS[:, 0] / COLOURS.norm(dim=0).max())[:, None, None] * height * wave
    torch.testing.assert_close(logits, expected.expand(3, 16, 16), rtol=1e-4, atol=1e-5)


class Recording(Watch):
    """Remembers all that it is told, and acts at a step."""

    def __init__(self, act: Callable[[int], None] = lambda done: None, stop: int = 10**9) -> None:
        self.told: list[tuple[int, int, str]] = []
        self.previews: list[object] = []
        self.said: list[str] = []
        self.act, self.stop = act, stop

    def say(self, text: str) -> None:
        self.said.append(text)

    def progress(self, done: int, total: int, unit: str) -> None:
        self.told.append((done, total, unit))
        self.act(done)

    def preview(self, result: object) -> None:
        self.previews.append(result)

    def stopped(self) -> bool:
        return len(self.told) >= self.stop


@pytest.mark.parametrize("target", ["dog", ["5:3", 0]], ids=["one", "two"])
def test_progress_and_previews(net: Net, target: Any) -> None:
    watch, count = Recording(), 2 * PREVIEWS
    result = class_model(net, target, steps=count, watch=watch)
    assert watch.told == [(done, count, "steps") for done in range(1, count + 1)]
    (preview,) = watch.previews  # at the end comes the result itself
    assert isinstance(preview, ClassModel)
    assert preview.steps == PREVIEWS
    assert preview.pixels.shape == result.pixels.shape
    assert torch.equal(preview.trace, result.trace[..., :PREVIEWS])
    early = class_model(net, target, steps=PREVIEWS)
    assert torch.equal(early.pixels, preview.pixels)  # and it did not change while the ascent went on
    assert [panel.kind for panel in convscope.draw(preview)] == ["tiles", "curve"]


@pytest.mark.parametrize("recipe", RECIPES)
def test_what_is_stopped_is_kept(net: Net, recipe: Recipe) -> None:
    expected = class_model(net, ["dog", "5:3"], recipe=recipe, steps=4)

    def interrupt(done: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    for watch in (Recording(stop=4), Recording(interrupt)):
        result = class_model(net, ["dog", "5:3"], recipe=recipe, steps=50, watch=watch)
        assert result.steps == 4
        assert torch.equal(result.trace, expected.trace)
        assert torch.equal(result.pixels, expected.pixels)
        assert result.scores == expected.scores
    assert watch.said == ["stopped after 4 of 50 steps: the image is as it was then"]


def test_a_stop_before_the_first_step_gives_one_step(net: Net) -> None:
    assert class_model(net, 0, steps=50, watch=Recording(stop=0)).steps == 1


def test_other_errors_of_a_watch_pass(net: Net) -> None:
    def fail(done: int) -> None:
        raise RuntimeError("the listener is gone")

    with pytest.raises(RuntimeError, match="the listener is gone"):
        class_model(net, 0, steps=5, watch=Recording(fail))


REFUSED: list[tuple[Any, type[Exception], str]] = [
    (None, convscope.BadAddress, "a class model is of a class or a unit\n\nhint: name one"),
    ([], convscope.BadAddress, "a class model is of a class or a unit\n\nhint: name one"),
    (np.array([], int), convscope.BadAddress, "a class model is of a class or a unit"),
    (convscope.Address("5"), convscope.BadAddress, '5 is a layer\n\nhint: name one of its units: "5:0"'),
    ([0, convscope.Address("2")], convscope.BadAddress, "2 is a layer"),
    (convscope.Address("9"), convscope.BadAddress, "9 is the output"),
    (4, convscope.BadAddress, "4 is none"),
    (-1, convscope.BadAddress, "-1 is no class"),
    (True, convscope.BadAddress, "True is no class"),
    ("wolf", convscope.BadAddress, "wolf"),
    ("5:8", convscope.BadAddress, "5 has 8 units, so 8 is none"),
    ("5:3@10,0", convscope.BadAddress, "so 10,0 is none"),
    ("55:1", convscope.UnknownLayer, "tiny has no layer '55'"),
]


@pytest.mark.parametrize(("target", "error", "text"), REFUSED, ids=[str(target) for target, _, _ in REFUSED])
def test_bad_targets_are_named(net: Net, target: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as refused:
        class_model(net, target, steps=1)
    assert text in str(refused.value)


@pytest.mark.parametrize("options", [{"steps": 0}, {"seed": -1}, {"recipe": "deepdream"}, {"step": 3}])
def test_bad_options_are_named(net: Net, options: dict[str, Any]) -> None:
    with pytest.raises(convscope.BadOption, match=f"(?s){next(iter(options))}.*hint: "):
        class_model(net, 0, **options)


def infinite(_: nn.Module, x: Tensor) -> Tensor:
    """Class 0 is sound, class 1 infinite or not a number on all images."""
    mean = x.mean((1, 2, 3))
    return torch.stack([mean, mean / (mean - mean)], 1)


def steep(_: nn.Module, x: Tensor) -> Tensor:
    """Scores of 0 with an infinite slope."""
    return torch.stack([(x.mean((1, 2, 3)) * 0).sqrt()] * 2, 1)


def counting(_: nn.Module, x: Tensor) -> Tensor:
    """No slope anywhere."""
    return torch.stack([(x > 0).float().mean((1, 2, 3))] * 2, 1)


@pytest.mark.parametrize("recipe", RECIPES)
def test_scores_that_cannot_be_climbed(recipe: Recipe) -> None:
    with pytest.raises(convscope.BadWeights, match=r"the score of .*:1 is not finite\n\nhint: check the network"):
        class_model(make(Does(infinite)), [0, 1], recipe=recipe, steps=2)
    with pytest.raises(convscope.BadWeights, match=r"the gradient of .*:1 is not finite\n\nhint: "):
        class_model(make(Does(steep)), 1, recipe=recipe, steps=2)
    with pytest.raises(convscope.NoRule, match=r"cannot be climbed: it has no gradient at the pixels\n\nhint: "):
        class_model(make(Does(counting)), 1, recipe=recipe, steps=2)


@pytest.mark.parametrize("recipe", RECIPES)
def test_all_is_left_as_it_was(recipe: Recipe) -> None:
    module = small_classifier()
    module[0].weight.requires_grad_(False)
    known = {name: value.clone() for name, value in module.state_dict().items()}
    flags = [parameter.requires_grad for parameter in module.parameters()]
    one = make(module)
    weights = {name: value.clone() for name, value in one.weights.items()}
    state, drawn = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index,union-attr]
    class_model(one, ["5:3", 0], recipe=recipe, steps=3)
    with pytest.raises(convscope.BadAddress):
        class_model(one, [0, "5"], recipe=recipe, steps=3)
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], drawn)  # type: ignore[index]
    assert torch.is_grad_enabled()
    assert module.training
    assert [parameter.requires_grad for parameter in module.parameters()] == flags
    assert all(parameter.grad is None for parameter in module.parameters())
    assert all(torch.equal(value, known[name]) for name, value in module.state_dict().items())
    assert all(torch.equal(value, weights[name]) for name, value in one.weights.items())
    assert all(value.grad is None for value in one.weights.values())
    for part in module.modules():
        assert not part._forward_hooks
        assert not part._forward_pre_hooks
        assert not part._backward_hooks


@pytest.mark.parametrize("recipe", RECIPES)
def test_within_no_grad_and_inference_mode(recipe: Recipe) -> None:
    expected = class_model(make(small_classifier()), [0, "5:3"], recipe=recipe, steps=4)
    for mode in (torch.no_grad(), torch.inference_mode()):
        one = make(small_classifier())
        with mode:
            result = class_model(one, [0, "5:3"], recipe=recipe, steps=4)
        assert torch.equal(result.pixels, expected.pixels)
        assert not result.pixels.is_inference()
        assert not result.pixels.requires_grad
        assert not result.trace.requires_grad


def test_double_precision() -> None:
    for recipe in RECIPES:
        result = class_model(make(smooth(nn.GELU).double()), 1, recipe=recipe, steps=20)
        assert float(result.trace[-1]) > float(result.trace[0])


def test_defaults_of_the_recipes() -> None:
    one = Net(nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(3, 2)), size=(8, 8))
    for recipe in RECIPES:
        assert class_model(one, 0, recipe=recipe).steps == STEPS[recipe]


@pytest.mark.parametrize("target", ["dog", ["5:3", "dog", "2:0@0,0"]], ids=["one", "several"])
def test_results_can_be_kept(net: Net, target: Any, tmp_path: Path) -> None:
    result = class_model(net, target, steps=3)
    lines = result.lines()
    assert lines[0] == ["target", "score at the start", "at the end", "probability"]
    assert [line[0] for line in lines[1:]] == list(result.names)
    assert [line[2] for line in lines[1:]] == [f"{score:.4g}" for score in result.scores]
    assert bool(lines[1][3]) == (target == "dog")  # units have no probability
    with np.load(result.save(tmp_path / "r.npz")) as saved:
        np.testing.assert_array_equal(saved["pixels"], result.pixels.numpy())
        np.testing.assert_array_equal(saved["trace"], result.trace.numpy())
        assert tuple(saved["targets"].tolist()) == result.targets
        assert tuple(saved["scores"].tolist()) == result.scores
        assert saved["boxes"].shape == (len(result.targets), 4)
    assert result.save(tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")
    assert "<html" in result.save(tmp_path / "r.html").read_text(encoding="utf-8")
    tiles, curve = convscope.draw(result)
    assert "3 steps, seed 0" in tiles.caption
    assert ("cropped to all that they can see" in tiles.caption) == (target != "dog")
    assert curve.kind == "curve"


@pytest.mark.heavy
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_real_network_is_sure_of_its_class_model(recipe: Recipe) -> None:
    real = convscope.load("efficientnet-lite0")
    result = class_model(real, [259, "blocks.3.0.bn1.act:5"] if recipe == "fourier" else [259], recipe=recipe, steps=48)
    assert result.scores[0] > float(result.trace[0, 0]) + 3
    assert result.probabilities[0] > 0.9
    assert bool((result.trace[:, -5:].mean(1) > result.trace[:, :5].mean(1)).all())


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_network_made_in_inference_mode_can_be_climbed(recipe: Recipe) -> None:
    expected = class_model(make(small_classifier()), [0, "5:3"], recipe=recipe, steps=3)
    with torch.inference_mode():
        one = make(small_classifier())
        sibling = one.with_weights(small_classifier().state_dict())
        one.refresh()
    for made in (one, sibling):
        assert not any(value.is_inference() for value in made.weights.values())
        assert torch.equal(class_model(made, [0, "5:3"], recipe=recipe, steps=3).pixels, expected.pixels)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (3, 2), (1, 9), (4, 4)])
def test_images_that_are_smaller_than_the_blur(size: tuple[int, int]) -> None:
    """Edges are mirrors, there and back again, as numpy has it."""
    torch.manual_seed(0)
    images = torch.rand(2, 3, *size)
    for length in size:
        line = np.arange(length)
        assert reflected(length, 3).tolist() == np.pad(line, 3, mode="reflect" if length > 1 else "edge").tolist()
    expected = gaussian_filter(images.double().numpy(), (0, 0, 1, 1), mode="mirror", truncate=3)
    np.testing.assert_allclose(blurred(images, 1.0), expected, rtol=1e-4, atol=1e-5)
    parts = [nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * size[0] * size[1], 2)]
    for recipe in RECIPES:
        found = class_model(Net(nn.Sequential(*parts), MEAN, STD, size), 0, recipe=recipe, steps=9)
        assert found.scores[0] > float(found.trace[0])


def resting() -> Net:
    """All rest at the mean image: rectifiers, the pools and the scores behind them."""
    torch.manual_seed(0)
    convolutions = [nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 8, 3, padding=1)]
    pools = [nn.MaxPool2d(2), nn.MaxPool2d(2)]
    parts = [part for one in zip(convolutions, [nn.ReLU(), nn.ReLU(True)], pools, strict=True) for part in one]
    module = nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
    with torch.no_grad():
        for convolution in convolutions:
            convolution.bias.fill_(-0.5)
    return make(module)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("target", ["2:1", "4:3", "5:3", "6:3"])
def test_what_lies_behind_rectifiers_at_rest_is_woken(recipe: Recipe, target: Any) -> None:
    one = resting()
    mean = torch.tensor(MEAN).view(1, 3, 1, 1).expand(1, 3, *SIZE)
    outputs = one.outputs(mean, ["1", "4", "8"])
    assert not outputs["1"].any()
    assert not outputs["4"].any()
    found = class_model(one, target, recipe=recipe, steps=150)
    assert found.scores[0] > float(found.trace[0]) + 0.02
    assert found.unmoved == ()
    assert found.reason == ""
    assert len(found.lines()) == 2


def test_what_nothing_can_move_is_said() -> None:
    module = small_classifier()
    with torch.no_grad():
        module[4].weight[3] = 0
    found = class_model(make(module), ["5:3", "5:2", "4:3"], steps=3)
    assert found.unmoved == ("5, unit 3 at row 5, column 6", "4, unit 3 at row 5, column 6")
    assert found.reason == (
        "No step changed the score of 5, unit 3 at row 5, column 6 and 4, unit 3 at row 5, column 6: "
        "what leads there stayed at rest, and the image means nothing."
    )
    assert found.lines()[-1][0] == found.reason
    assert class_model(make(module), "5:3", recipe="simonyan", steps=2).unmoved
