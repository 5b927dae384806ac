"""Other work never mixes with what is in a folder: shards of other images or options, other formats, other builds."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

import convscope
from convscope.store.workspace import FORMAT, MANIFEST
from tests.builds import (
    FEW,
    SHARD,
    bytes_of,
    digit_files,
    digits_net,
    log_of,
    shards_in,
    shards_of,
    stamps_of,
    start_build,
    wait_for,
)

pytestmark = pytest.mark.usefixtures("one_thread")


class StopAfter(convscope.Watch):
    """Stops like Ctrl-C after so many shards."""

    def __init__(self, shards: int) -> None:
        self.left = shards + 1  # the first word of progress comes before the first shard

    def progress(self, done: int, total: int, unit: str) -> None:
        self.left -= 1

    def stopped(self) -> bool:
        return self.left <= 0


@pytest.fixture
def unfinished(tmp_path: Path) -> tuple[Path, Path]:
    """Images, and an atlas of which one shard of two is done."""
    images, out = digit_files(tmp_path / "digits", 80), tmp_path / "atlas"
    with pytest.raises(convscope.BuildStopped):
        convscope.build(images, digits_net(), out, watch=StopAfter(1))
    assert shards_of(out) == {"000000"}
    return images, out


def other_weights() -> convscope.Net:
    net = digits_net()
    state = {name: value.clone() for name, value in net.weights.items()}
    state["7.bias"][3] += 1e-3
    return net.with_weights(state)


def repainted(images: Path) -> Path:
    """One pixel of one file changed: no other size, no other name."""
    path = sorted(images.rglob("*.png"))[70]
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    return images


def one_more(images: Path) -> Path:
    shutil.copy(sorted(images.rglob("*.png"))[0], images / "0" / "new.png")
    return images


CHANGES: dict[str, tuple[str, Any]] = {
    "weights": ("the network changed since", lambda images: (images, other_weights(), {})),
    "a file's content": ("the times of the files changed since", lambda images: (repainted(images), None, {})),
    "a file more": ("the images, the options, the times", lambda images: (one_more(images), None, {})),
    "a limit": ("the images", lambda images: (images, None, {"limit": 70})),
    "k": ("the options changed since", lambda images: (images, None, {"k": 4})),
    "layers": ("the options changed since", lambda images: (images, None, {"layers": ["1", "7"]})),
    "batch size": ("the options changed since", lambda images: (images, None, {"batch_size": 3})),
    "seed": ("the options changed since", lambda images: (images, None, {"seed": 1})),
    "directions": ("the options changed since", lambda images: (images, None, {"directions": 2})),
    "codes": ("the options changed since", lambda images: (images, None, {"codes": ["4"]})),
}


@pytest.mark.parametrize("change", CHANGES)
def test_other_work_never_mixes_with_old_shards(change: str, unfinished: tuple[Path, Path]) -> None:
    images, out = unfinished
    before, stamps = bytes_of(out), stamps_of(out)
    words, changed = CHANGES[change]
    where, net, options = changed(images)
    with pytest.raises(convscope.AtlasInUse) as caught:
        convscope.build(where, net or digits_net(), out, **options)
    if change != "a file more":
        assert words in caught.value.problem
    else:
        assert "the images" in caught.value.problem
    assert caught.value.problem.startswith(f"{out} holds an unfinished atlas of other work: ")
    assert caught.value.hint == "give another --out, or --overwrite to begin anew"
    assert (bytes_of(out), stamps_of(out)) == (before, stamps)


def test_a_refusal_that_is_still_looked_at_holds_no_lock(unfinished: tuple[Path, Path]) -> None:
    """A notebook keeps the last error with all its frames; the right command has to work beside it."""
    images, out = unfinished
    with pytest.raises(convscope.AtlasInUse) as caught:
        convscope.build(images, digits_net(), out, k=4)
    assert len(convscope.build(images, digits_net(), out).images) == 80
    assert caught.value.__traceback__ is not None


def test_an_unfinished_atlas_of_another_format_is_left_as_it_is(unfinished: tuple[Path, Path]) -> None:
    images, out = unfinished
    note = out / "unfinished" / "key.json"
    right = note.read_text()
    for text, version in ((json.dumps({**json.loads(right), "the format": "1"}), "1"), ("[]", "unknown")):
        note.write_text(text)
        before = bytes_of(out)
        with pytest.raises(convscope.AtlasInUse) as caught:
            convscope.build(images, digits_net(), out)
        found = f"{out} holds an unfinished atlas of the format {version}, this Convscope writes {FORMAT}"
        assert caught.value.problem == found
        assert "--overwrite" in caught.value.hint
        assert bytes_of(out) == before
    note.write_text(right)
    assert len(convscope.build(images, digits_net(), out).images) == 80


def test_a_finished_atlas_of_another_format_is_left_as_it_is(tmp_path: Path) -> None:
    """Also where another version keeps other things in its manifest, or none that we know of."""
    images, out = digit_files(tmp_path / "digits", 3), tmp_path / "atlas"
    convscope.build(images, digits_net(), out)
    right = (out / MANIFEST).read_text()
    manifest = json.loads(right)
    later = {**manifest, "format": 99, "key": {**manifest["key"], "the format": "99"}}
    for content, version in ((later, "99"), ({"format": 99}, "unknown"), ([1], "unknown")):
        (out / MANIFEST).write_text(json.dumps(content))
        before = bytes_of(out)
        with pytest.raises(convscope.AtlasInUse, match=f"a finished atlas of the format {version}, this Convscope"):
            convscope.build(images, digits_net(), out)
        with pytest.raises(convscope.BadAtlas, match="has the atlas format"):
            convscope.open_atlas(out)
        assert bytes_of(out) == before
    (out / MANIFEST).write_text(right)
    assert len(convscope.open_atlas(out).exemplars("class:3")) == 3


def test_a_manifest_of_something_else_makes_no_atlas(tmp_path: Path) -> None:
    """Many programs have a manifest.json; a folder with one is never taken for an atlas and emptied."""
    images, out = digit_files(tmp_path / "digits", 2), tmp_path / "site"
    (out / "maps").mkdir(parents=True)
    (out / MANIFEST).write_text('{"name": "my site"}')
    (out / "maps" / "home.txt").write_text("years of work")
    before = bytes_of(out)
    for overwrite in (False, True):
        with pytest.raises(convscope.AtlasInUse, match="a folder with other things in it"):
            convscope.build(images, digits_net(), out, overwrite=overwrite)
    assert bytes_of(out) == before


def test_two_builds_at_once(few: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    """The second is refused, overwriting or not, and the first goes on unharmed."""
    images, expected = few
    out = tmp_path / "atlas"
    process = start_build(images, out)
    wait_for(lambda: len(shards_of(out)) >= 2, process)
    for overwrite in (False, True):
        with pytest.raises(convscope.AtlasInUse, match="another build is at work in"):
            convscope.build(images, digits_net(), out, overwrite=overwrite)
    assert process.is_alive()
    process.join()
    assert process.exitcode == 0
    assert shards_in(log_of(out)) == FEW // SHARD
    assert bytes_of(out) == expected
