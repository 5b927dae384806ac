"""Preprocessing equals the libraries' own transforms on real photos, and knows the way back."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import timm
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from timm.data import create_transform, resolve_model_data_config

import convscope
from convscope.arrays import Box
from convscope.data.decode import decode
from convscope.models.preprocess import Preprocess
from convscope.models.zoo import find_entry

PHOTOS = [skimage.data.astronaut(), skimage.data.chelsea(), skimage.data.coffee(), skimage.data.rocket()]
PHOTOS += [
    np.ascontiguousarray(skimage.data.chelsea()[:200, :90].transpose(1, 0, 2)),
    skimage.data.coffee()[:230, :231],
]


def denormalised(tensor: torch.Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> torch.Tensor:
    return tensor * torch.tensor(std)[:, None, None] + torch.tensor(mean)[:, None, None]


@pytest.mark.parametrize(
    "name",
    [
        "resnet50@IMAGENET1K_V1",
        "resnet50@IMAGENET1K_V2",
        "alexnet",
        "efficientnet_b1",
        "inception_v3",
        "convnext_tiny",
        "regnet_y_400mf",
    ],
)
def test_equals_torchvision_to_one_level(name: str) -> None:
    base, _, chosen = name.partition("@")
    choices = torchvision.models.get_model_weights(base)
    transform = (choices[chosen] if chosen else choices.DEFAULT).transforms()
    entry = find_entry(f"torchvision:{name}", None, False)
    for photo in PHOTOS:
        expected = denormalised(transform(Image.fromarray(photo)), tuple(transform.mean), tuple(transform.std))
        crop, _ = entry.preprocess.crop(photo)
        found = torch.from_numpy(crop.transpose(2, 0, 1).copy()).float() / 255
        assert float((found - expected).abs().max()) <= 1 / 255 + 1e-6
        assert entry.preprocess.mean == tuple(transform.mean)
        assert entry.preprocess.std == tuple(transform.std)
        own = entry.preprocess.normalise(expected[None])
        torch.testing.assert_close(own[0], transform(Image.fromarray(photo)), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "name",
    [
        "tf_efficientnet_lite0",
        "resnet18.a1_in1k",
        "convnext_atto",
        "efficientnet_b0",
        "mobilenetv3_small_100",
        "regnety_002",
    ],
)
def test_equals_timm_to_one_level(name: str) -> None:
    settings = resolve_model_data_config(timm.create_model(name, pretrained=False))
    transform = create_transform(**settings, is_training=False)
    entry = find_entry(f"timm:{name}", None, False)
    for photo in PHOTOS:
        expected = denormalised(transform(Image.fromarray(photo)), settings["mean"], settings["std"])
        crop, _ = entry.preprocess.crop(photo)
        found = torch.from_numpy(crop.transpose(2, 0, 1).copy()).float() / 255
        assert float((found - expected).abs().max()) <= 1 / 255 + 1e-6


def test_bundled_sizes_are_those_of_the_weights() -> None:
    sizes = {
        name: find_entry(name, None, False).preprocess
        for name in ("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2")
    }
    assert [(p.size, p.resize) for p in sizes.values()] == [
        ((224, 224), 256),
        ((240, 240), 272),
        ((260, 260), 292),
    ]


def test_an_image_of_just_the_nets_size_is_never_resized() -> None:
    preprocess = Preprocess((224, 200), resize=256, interpolation="bicubic")
    photo = skimage.data.astronaut()[:224, :200]
    crop, placement = preprocess.crop(photo)
    assert np.array_equal(crop, photo)
    assert (placement.top, placement.left, placement.row_scale, placement.column_scale) == (0, 0, 1, 1)
    whole, _ = preprocess.crop_float(torch.from_numpy(photo.copy()).permute(2, 0, 1) / 255)
    assert torch.equal((whole * 255).round().byte().permute(1, 2, 0), torch.from_numpy(photo.copy()))


@given(
    st.integers(1, 400),
    st.integers(1, 400),
    st.integers(1, 64),
    st.integers(1, 64),
    st.sampled_from([None, 70]),
)
def test_the_way_back_is_the_inverse(height: int, width: int, tall: int, wide: int, resize: int | None) -> None:
    placement = Preprocess((tall, wide), resize=resize).place(height, width)
    whole = placement.to_original(Box(0, 0, tall, wide))
    assert min(whole.top, whole.left) >= 0
    assert whole.bottom <= height
    assert whole.right <= width
    back = placement.to_input(whole)
    assert back == pytest.approx((0, 0, tall, wide), abs=1e-6)


def test_a_spot_is_found_again_where_the_box_says() -> None:
    image = np.zeros((300, 500, 3), np.uint8)
    image[100:120, 250:270] = 255
    preprocess = Preprocess((224, 224), resize=256)
    crop, placement = preprocess.crop(image)
    rows, columns = (crop[..., 0] > 127).any(1).nonzero()[0], (crop[..., 0] > 127).any(0).nonzero()[0]
    box = placement.to_original(Box(rows[0], columns[0], rows[-1] + 1, columns[-1] + 1))
    assert box == pytest.approx((100, 250, 120, 270), abs=1.5)


def test_a_long_strip_is_no_trouble() -> None:
    strip = np.zeros((3, 20_000, 3), np.uint8)
    strip[:, 9_990:10_010] = 200
    crop, placement = Preprocess((224, 224), resize=256, interpolation="bicubic").crop(strip)
    assert crop.shape == (224, 224, 3)
    assert crop.max() > 150
    assert placement.left == pytest.approx(10_000 - 112 * 3 / 256, abs=0.1)


def test_every_kind_of_image_gives_the_same_pixels(lite0: convscope.Net, tmp_path: Path) -> None:
    net = lite0
    photo = skimage.data.coffee()
    path = tmp_path / "coffee.png"
    Image.fromarray(photo).save(path)
    tensor = torch.from_numpy(photo.copy()).permute(2, 0, 1).float() / 255
    first = net.prepare(path)
    assert first.pixels.shape == (1, 3, 224, 224)
    assert np.array_equal(first.original, photo)
    for image in (str(path), Image.fromarray(photo), photo):
        assert torch.equal(net.prepare(image).pixels, first.pixels)
    difference = (
        net.prepare(tensor).pixels - first.pixels
    ).abs() * 255  # bytes are rounded and cut off between the two passes
    assert float(difference.mean()) < 0.4
    assert float(difference.max()) < 8
    for wrong in (tensor * 255, tensor[:1], photo.astype(np.float32), photo[..., 0], tensor - 0.5):
        with pytest.raises(convscope.BadOption):
            net.prepare(wrong)
    with pytest.raises(convscope.UnreadableImage):
        net.prepare(tmp_path / "nothing.png")


def test_lite0_gets_the_labelled_photos_right(lite0: convscope.Net) -> None:
    net = lite0
    spec = find_spec("foolbox")  # for its photos only: importing it warns
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "data"
    photos = sorted(folder.glob("imagenet_*.jpg"))
    assert len(photos) == 20
    pixels = torch.cat([net.prepare(decode(path)).pixels for path in photos])
    right = net.scores(pixels).argmax(1) == torch.tensor([int(path.stem.split("_")[2]) for path in photos])
    assert int(right.sum()) >= 17
