"""Images whose scores are no numbers are listed, and change nothing else."""

from pathlib import Path

import numpy as np
import pytest
import torch

import convscope
from tests.builds import (
    digit_files,
    digits_net,
)


class Overflowing(torch.nn.Module):
    """Scores that are NaN for black images, infinite for white ones, and numbers for all others."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = x.mean((1, 2, 3))[:, None]
        scale = mean / mean.sign() + 1 / (1 - mean).sign()
        return torch.relu(self.conv(x)).mean((2, 3)) * scale


def test_images_without_a_number_are_listed_and_change_nothing_else(tmp_path: Path) -> None:
    from PIL import Image

    torch.manual_seed(0)
    net = convscope.Net(Overflowing(), size=(16, 16), name="overflowing")
    images = digit_files(tmp_path / "digits", 30)
    clean = convscope.build(images, net, tmp_path / "clean", batch_size=4)
    for number, shade in enumerate((0, 255, 0, 255, 255)):
        Image.new("RGB", (16, 16), (shade, shade, shade)).save(images / str(2 * number) / f"zz{number}.png")
    mixed = convscope.build(images, net, tmp_path / "mixed", batch_size=4)
    assert [Path(row["uri"]).stem for row in mixed.skipped.to_pylist()] == [f"zz{number}" for number in range(5)]
    assert set(mixed.skipped["reason"].to_pylist()) == {
        "the network gives scores that are no numbers (NaN or infinite) for it"
    }
    assert mixed.images.drop_columns(["uri"]).equals(clean.images.drop_columns(["uri"]))
    for fold in ("strongest", "directions", "vitals", "middle", "places", "gradients", "classes", "codes"):
        for path in (clean.folder / fold).rglob("*.npy"):
            if path.stem != "rows" or fold != "codes":  # positions in the listing
                one, other = (np.load(atlas.folder / fold / path.name) for atlas in (clean, mixed))
                np.testing.assert_array_equal(one, other, err_msg=f"{fold}/{path.name}")


def test_a_network_without_a_number_for_any_image_is_named(tmp_path: Path) -> None:
    state = {name: value.clone() for name, value in digits_net().weights.items()}
    state["0.weight"] *= 1e37
    state["3.weight"] *= 1e37
    said: list[str] = []
    watch = convscope.Watch()
    watch.say = said.append  # type: ignore[method-assign]
    with pytest.raises(convscope.UnsuitableNet) as caught:
        convscope.build(
            digit_files(tmp_path / "digits", 70), digits_net().with_weights(state), tmp_path / "atlas", watch=watch
        )
    assert caught.value.problem == (
        "digits gives no image a score that is a number: NaN or infinite for all 70 of them"
    )
    assert "check its weights" in caught.value.hint
    assert any("gives NaN or infinite scores for all of the first 8: check its weights" in text for text in said)
