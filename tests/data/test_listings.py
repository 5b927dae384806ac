"""A listing's shards, samples, fingerprints and names."""

import dataclasses
import hashlib
import os
import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convscope.data.sources import ImageFile, Listing, Skipped, image_id, list_images
from convscope.errors import BadOption
from tests.data.listed import CHINA, FLOWER, Pairs


def listing_of(count: int) -> Listing:
    files = tuple(ImageFile(Path(f"/gone/{index}"), f"{index}", f"{index}", None) for index in range(count))
    return Listing(files, (Skipped("x", "y"),))


@settings(deadline=None)
@given(st.integers(0, 300), st.integers(1, 70))
def test_shards_partition_the_listing(count: int, size: int) -> None:
    listing = listing_of(count)
    shards = listing.shards(size)
    assert tuple(file for shard in shards for file in shard.files) == listing.files
    assert all(shard.files[0] == listing.files[shard.first_row] for shard in shards)
    assert all(len(shard.files) == size for shard in shards[:-1])
    assert all(0 < len(shard.files) <= size for shard in shards)
    assert [shard.index for shard in shards] == list(range(len(shards)))


@settings(deadline=None)
@given(st.integers(1, 200), st.integers(1, 250), st.integers(0, 2**32))
def test_a_limited_listing_is_a_sorted_sample(count: int, limit: int, seed: int) -> None:
    listing = listing_of(count)
    limited = listing.limited(limit, seed)
    positions = [int(file.name) for file in limited.files]
    assert positions == sorted(set(positions))
    assert len(positions) == min(limit, count)
    assert set(limited.files) <= set(listing.files)
    assert limited == listing.limited(limit, seed)
    assert limited.skipped == listing.skipped
    assert (limited is listing) == (limit >= count)


def test_the_seed_decides_and_every_file_has_its_chance() -> None:
    listing = listing_of(100)
    samples = [listing.limited(10, seed).files for seed in range(80)]
    assert len(set(samples)) == 80
    assert {file for sample in samples for file in sample} == set(listing.files)
    assert listing.limited(None, 0) is listing
    # Pinned, since resumed builds rely on it.
    assert [file.name for file in listing.limited(5, 0).files] == ["5", "33", "49", "53", "97"]


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_refused(limit: int) -> None:
    with pytest.raises(BadOption, match=f"limit is {limit}"):
        listing_of(3).limited(limit, 0)
    with pytest.raises(BadOption):
        listing_of(3).shards(limit)


def changes(photos: Path) -> Iterator[str]:
    target = photos / "a" / "one.png"
    yield "nothing"
    target.write_bytes(target.read_bytes() + b" ")
    yield "a size"
    os.utime(target, ns=(1, 1))
    yield "a time"
    target.rename(photos / "a" / "renamed.png")
    yield "a name"
    (photos / "a").rename(photos / "z")
    yield "a label"
    (photos / "z" / "renamed.png").unlink()
    yield "a file less"


def test_a_fingerprint_tells_every_change(photos: Path) -> None:
    seen = [list_images("photos").fingerprint()]
    assert len(seen[0]) == 64
    for change in changes(photos):
        now = list_images("photos").fingerprint()
        assert (now == seen[-1]) == (change == "nothing"), change
        seen.append(now)
    listing = list_images("photos")
    photos.rename(photos.parent / "moved")
    assert list_images("moved").fingerprint() == seen[-1]
    assert listing.fingerprint() != seen[-1]  # its files are missing now
    assert listing_of(3).fingerprint() == listing_of(3).fingerprint() != listing_of(4).fingerprint()


def test_a_fingerprint_tells_labels_apart() -> None:
    file = listing_of(1).files[0]
    assert isinstance(file, ImageFile)
    prints = {
        Listing((dataclasses.replace(file, name=name, label=label),)).fingerprint()
        for name, label in [("a", None), ("a", "b"), ("ab", None), ("a", "None"), ('a", "b', None)]
    }
    assert len(prints) == 5


def test_a_fingerprint_of_a_dataset_looks_at_some_items() -> None:
    def fingerprint(images: np.ndarray) -> str:
        return list_images(Pairs([(image, 0) for image in images])).fingerprint()

    images = np.random.default_rng(0).integers(0, 256, (100, 4, 4, 3), dtype=np.uint8)
    assert fingerprint(images) == fingerprint(images)
    assert len({fingerprint(images), fingerprint(255 - images), fingerprint(images[:99])}) == 3
    dataset = Pairs([(image, 0) for image in images])
    list_images(dataset).fingerprint()
    assert dataset.asked <= 16


def test_image_ids() -> None:
    expected = hashlib.sha256(b"content\0name").hexdigest()[:16]
    assert image_id("content", "name") == expected
    assert len({image_id("ab", "c"), image_id("a", "bc"), image_id("a", "b"), image_id("b", "a")}) == 4
    assert len(image_id("a", "日本")) == 16


def test_shards_travel_between_processes(photos: Path) -> None:
    for source in ("photos", Pairs([(FLOWER, 5), (CHINA, 6)])):
        shard = list_images(source).shards(1)[0]
        copy = pickle.loads(pickle.dumps(shard))
        assert copy.files[0].read()[0] == shard.files[0].read()[0]
        assert copy.files[0].label == shard.files[0].label
