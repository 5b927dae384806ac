"""list_images of datasets, arrays and tensors."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch.utils.data import Subset, TensorDataset
from torchvision.datasets import ImageFolder

from convscope.data.reasons import TRUNCATED
from convscope.data.sources import list_images
from convscope.errors import UnreadableImage
from tests.data.listed import FLOWER, Pairs, labels, names, refusal, uris


def test_a_dataset_of_every_kind_of_image() -> None:
    chw = np.moveaxis(FLOWER, 2, 0)
    items = [
        (Image.fromarray(FLOWER), 0),
        (FLOWER, "lily"),
        (torch.from_numpy(chw / np.float32(255)), torch.tensor(2)),
        (torch.from_numpy(chw.copy()), np.int64(3)),
        (chw / 255, None),
        (torch.from_numpy(chw / 255), 4),
        FLOWER,
        Image.fromarray(FLOWER),
        (FLOWER,),
    ]
    listing = list_images(Pairs(items))
    assert uris(listing)[:2] == ["dataset[0]", "dataset[1]"]
    assert names(listing) == [str(index) for index in range(len(items))]
    contents = set()
    for file in listing.files:
        content, pixels = file.read()
        contents.add(content)
        assert pixels.dtype == np.uint8
        assert np.array_equal(pixels, FLOWER)
    assert len(contents) == 1
    assert labels(listing) == ["0", "lily", "2", "3", None, "4", None, None, None]


def test_grey_alpha_and_half_precision() -> None:
    grey = FLOWER[:, :, 0]
    opaque = np.dstack([FLOWER, np.full_like(grey, 255)])
    items = [
        grey,
        grey[:, :, None],
        grey[None].astype(np.float32) / 255,
        torch.from_numpy(grey[None] / 255.0),
    ]
    listing = list_images(Pairs(items))
    assert all(np.array_equal(file.read()[1], np.dstack([grey] * 3)) for file in listing.files)
    assert np.array_equal(list_images(Pairs([opaque])).files[0].read()[1], FLOWER)
    rough = list_images(Pairs([torch.from_numpy(np.moveaxis(FLOWER, 2, 0) / 255.0).bfloat16()])).files[0].read()[1]
    assert np.abs(rough.astype(int) - FLOWER).max() <= 1


@pytest.mark.parametrize("shape", [(3, 5, 3), (4, 2, 3), (3, 3, 3)])
def test_bytes_are_rows_first_and_floats_channels_first(shape: tuple[int, int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert np.array_equal(list_images(Pairs([pixels])).files[0].read()[1], pixels)
    if shape[0] == 3:
        expected = np.moveaxis(pixels, 0, 2)
        assert np.array_equal(list_images(Pairs([pixels / 255])).files[0].read()[1], expected)


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (np.full((3, 4, 4), -0.01), "float values from -0.01 to -0.01, not 0 to 1"),
        (np.full((3, 4, 4), np.nan), "float values that are not finite"),
        (np.full((4, 4, 3), 7), "values of type int64"),
        (np.zeros((4, 4), bool), "values of type bool"),
        (np.zeros((7, 4, 5), np.uint8), "the shape (7, 4, 5) is not that of an image"),
        (np.zeros((2, 3, 4, 4), np.uint8), "the shape (2, 3, 4, 4) is not that of an image"),
        (np.zeros((0, 4, 3), np.uint8), "the shape (0, 4, 3) is not that of an image"),
        ({"image": FLOWER}, "of type dict, not an image"),
        (OSError("image file is truncated (3 bytes not processed)"), TRUNCATED),
        (FileNotFoundError(2, "No such file", "/tmp/x"), "no such file or directory"),
    ],
)  # fmt: skip
def test_items_that_cannot_be_read(item: Any, reason: str) -> None:
    file = list_images(Pairs([item])).files[0]
    with pytest.raises(UnreadableImage) as caught:
        file.read()
    assert caught.value.problem == reason
    assert file.label is None


def test_a_bug_in_the_dataset_is_not_hidden() -> None:
    with pytest.raises(KeyError):
        list_images(Pairs([KeyError("bug")])).files[0].read()


def test_what_rounds_to_a_byte_is_accepted() -> None:
    edge = np.array([-0.4, 255.4, 254.6, 0.4]).reshape(1, 2, 2) / 255
    assert list_images(Pairs([edge])).files[0].read()[1][:, :, 0].tolist() == [[0, 255], [255, 0]]


def test_an_item_is_read_once_for_picture_and_label() -> None:
    dataset = Pairs([(FLOWER, 5)])
    file = list_images(dataset).files[0]
    assert dataset.asked == 0
    file.read()
    assert (file.label, file.label, dataset.asked) == ("5", "5", 1)
    assert list_images(dataset).files[0].label == "5"


def test_arrays_and_tensors_are_datasets() -> None:
    digits = load_digits()
    images = (digits.images[:5] * 15).astype(np.uint8)
    listing = list_images(images)
    assert np.array_equal(listing.files[3].read()[1][:, :, 1], images[3])
    tensors = TensorDataset(torch.from_numpy(images[:, None] / 255.0), torch.from_numpy(digits.target[:5]))
    assert labels(list_images(tensors)) == ["0", "1", "2", "3", "4"]
    assert np.array_equal(list_images(tensors).files[3].read()[1][:, :, 1], images[3])


def test_torchvision_datasets(photos: Path) -> None:
    (photos / "root.png").unlink()
    dataset = ImageFolder(str(photos))
    listing = list_images(dataset)
    assert labels(listing) == ["a", "a", "a", "b"]
    assert np.array_equal(listing.files[0].read()[1], FLOWER)
    subset = Subset(Subset(dataset, [3, 1, 0]), [0, 2])
    assert labels(list_images(subset)) == ["b", "a"]
    renamed = ImageFolder(str(photos), target_transform=lambda label: 1 - label)
    assert labels(list_images(renamed)) == ["b", "b", "b", "a"]


def test_the_labels_of_a_dataset_are_not_read_from_its_items() -> None:
    dataset = Pairs([(FLOWER, 1), (FLOWER, 0)])
    dataset.targets, dataset.classes = torch.tensor([1, 0]), [("cat", "tabby"), "dog"]  # type: ignore[attr-defined]
    assert labels(list_images(dataset)) == ["dog", "cat, tabby"]
    assert dataset.asked == 0
    dataset.targets = [1]  # type: ignore[attr-defined]
    assert labels(list_images(dataset)) == ["dog", "cat, tabby"]
    assert dataset.asked == 2


def test_an_empty_dataset() -> None:
    assert refusal(Pairs([])).problem == "no images in the Pairs"
