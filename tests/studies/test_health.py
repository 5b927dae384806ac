"""The health of a net in use: what the command line prints of a trained one and of one that is broken."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import convscope
from tests.digits import SIZE, accuracy, digits, trained_digits, untrained_digits


def photos(folder: Path, count: int) -> Path:
    """Some digits as files, each in the folder of its label."""
    data = digits()
    for number in range(count):
        target = folder / str(int(data.test_labels[number]))
        target.mkdir(parents=True, exist_ok=True)
        pixels = (data.test_images[number].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        Image.fromarray(pixels).save(target / f"{number:04d}.png")
    return folder


def atlas_of(module: object, images: Path, out: Path) -> convscope.Atlas:
    net = convscope.Net(module, size=SIZE, labels=[str(digit) for digit in range(10)], name="digits")
    return convscope.build(images, net, out)


def test_a_learning_rate_far_too_high_kills_units_and_the_trained_net_has_none(tmp_path: Path) -> None:
    images = photos(tmp_path / "images", 160)
    trained, burnt = trained_digits(0.005, 16, 0.0, seed=8), trained_digits(0.3, 2, 0.0, seed=8)
    assert accuracy(trained) > 0.95
    healthy, broken = (
        atlas_of(trained, images, tmp_path / "well").health(),
        atlas_of(burnt, images, tmp_path / "ill").health(),
    )
    assert healthy.accuracy > 0.95
    assert healthy.gradient_dead.sum() == 0
    hidden = slice(0, -1)  # the rectified layers
    assert broken.gradient_dead[hidden].sum() >= 8
    assert (broken.dead[hidden] <= broken.gradient_dead[hidden]).all()  # what never fires gets no gradient


def test_the_filters_of_the_trained_net_are_smoother_and_the_atlas_says_so(tmp_path: Path) -> None:
    images = photos(tmp_path / "images", 8)
    found = {}
    for name, module in (("trained", trained_digits()), ("untrained", untrained_digits())):
        atlas = atlas_of(module, images, tmp_path / name)
        found[name] = {record["name"]: record for record in atlas.store.manifest["filters"]["layers"]}
    for layer in ("0", "3"):
        trained, untrained = found["trained"][layer], found["untrained"][layer]
        assert trained["roughness"] < untrained["roughness"]
        assert untrained["grade"] == "noisy"
        assert trained["grade"] in ("smooth", "partly smooth")


@pytest.mark.heavy
def test_the_command_prints_a_table(tmp_path: Path) -> None:
    atlas = atlas_of(untrained_digits(), photos(tmp_path / "images", 8), tmp_path / "atlas")
    command = [sys.executable, "-m", "convscope", "health", str(atlas.folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert lines[0][:3] == ["layer", "units", "dead"]
    assert [line[0] for line in lines[1:]] == list(atlas.layers)
    saved = subprocess.run(
        [*command, "--save", str(tmp_path / "health.png")], capture_output=True, text=True, check=True
    )
    assert saved.stdout.strip() == str(tmp_path / "health.png")
    with Image.open(tmp_path / "health.png") as picture:
        assert picture.width > 800
