"""Whatever happens to a build – a kill, Ctrl-C, a full disk, other work – nothing that was finished is lost.

Real processes and real signals, over 28 shards of real digits.
"""

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import convscope
from convscope.passes.merging import EVERY
from convscope.store import workspace
from convscope.store.workspace import FORMAT, MANIFEST, OWN, remove
from tests.builds import (
    SHARD,
    bytes_of,
    digit_files,
    digits_net,
    finish_build,
    kill,
    log_of,
    run_command,
    shards_in,
    start,
    start_build,
    wait_for,
)

SHARDS = 28
FEW = 704  # images: 11 shards


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Child processes compute with one thread, and find the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
        yield


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = digit_files(tmp_path_factory.mktemp("digits") / "digits", SHARDS * SHARD)
    assert len(list(folder.rglob("*.png"))) == SHARDS * SHARD
    return folder


@pytest.fixture(scope="module")
def unbroken(images: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The bytes of every file of an atlas that was built in one go."""
    out = tmp_path_factory.mktemp("unbroken") / "atlas"
    assert finish_build(images, out) == SHARDS
    found = bytes_of(out)
    assert {name.split("/")[0] for name in found} == OWN - {"unfinished"}
    return found


@pytest.fixture(scope="module")
def few(images: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Eleven shards' worth of the images, and the atlas of them."""
    folder = digit_files(tmp_path_factory.mktemp("few") / "digits", FEW)
    out = tmp_path_factory.mktemp("few-atlas") / "atlas"
    assert finish_build(folder, out) == FEW // SHARD
    return folder, bytes_of(out)


def shards_of(out: Path) -> set[str]:
    """The shards that an unfinished atlas holds."""
    return {path.name for path in (out / "unfinished" / "shards").glob("[0-9]*")}


def stamps_of(out: Path) -> dict[str, int]:
    """When the shards' tables were written: a shard that is done again has another time."""
    tables = (out / "unfinished" / "shards").glob("[0-9]*/images.parquet")
    return {path.parent.name: path.stat().st_mtime_ns for path in tables}


# ------------------------------------------------------------------------------------------------- SIGKILL


KILLS = {"early": (5, EVERY - 6), "after a saving": (EVERY, EVERY + 2)}  # so many shards are done, about


@pytest.mark.parametrize("kind", KILLS)
def test_a_kill_at_a_random_moment_loses_at_most_the_shard_in_work(
    kind: str, images: Path, unbroken: dict[str, str], tmp_path: Path
) -> None:
    """Killed by its progress, after at least 5 shards and with at least 5 left, each time somewhere else in the work."""
    dice, out = random.Random(kind), tmp_path / "atlas"
    at = dice.randint(*KILLS[kind])
    before: dict[str, int] = {}
    for target in (at, at + 2) if kind == "early" else (at,):  # the second one kills a build that goes on
        process = start_build(images, out)
        wait_for(lambda at=target: len(shards_of(out)) >= at, process)  # type: ignore[misc]
        if kind == "after a saving":
            wait_for((out / "unfinished" / "merged" / f"{EVERY:06d}").exists, process)
        time.sleep(dice.uniform(0, 0.15))  # in the work on a shard, in its commit, or in what follows a saving
        kill(process)
        there = stamps_of(out)
        assert target <= len(there) <= SHARDS - 5
        assert set(there) == {f"{index:06d}" for index in range(len(there))}
        assert {name: there[name] for name in before} == before, "a finished shard was done again"
        assert len(there) - len(before) - max(shards_in(log_of(out)), 0) in (0, 1)  # one is kept before it is told of
        before = there
    assert (out / "unfinished" / "merged").is_dir() == (kind == "after a saving")
    assert finish_build(images, out) == SHARDS - len(before)
    assert bytes_of(out) == unbroken


MOMENTS = {
    "between shards and finish": "packs/000003",
    "while arrays are written": "vitals/maximum.npy",
    "while codes are written": "codes/0.npy",
    "after the images' table": "images.parquet",
    "after the manifest": MANIFEST,
}


@pytest.mark.heavy
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_kill_while_the_atlas_is_finished(
    moment: str, few: tuple[Path, dict[str, str]], few_at_the_end: Path, tmp_path: Path
) -> None:
    """From a copy of the same work, all but its last shard done: killed as soon as a certain file is there."""
    images, expected = few
    out = tmp_path / "atlas"
    shutil.copytree(few_at_the_end, out)
    process = start_build(images, out)
    wait_for(lambda: (out / MOMENTS[moment]).exists(), process)
    kill(process)
    assert (out / MANIFEST).exists() == (moment == "after the manifest")
    assert finish_build(images, out) <= 1
    assert bytes_of(out) == expected


@pytest.fixture(scope="module")
def few_at_the_end(few: tuple[Path, dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An unfinished atlas of these images that lacks its last shard."""
    out = tmp_path_factory.mktemp("end") / "atlas"
    process = start_build(few[0], out)
    wait_for(lambda: len(shards_of(out)) >= FEW // SHARD - 1, process)
    kill(process)
    return out


FRAGMENTS: dict[str, tuple[str, ...]] = {
    "nothing but the folder": (),
    "the folder of shards": ("unfinished/shards/",),
    "a lock": ("unfinished/shards/", "unfinished/lock"),
    "half a key": ("unfinished/shards/", "unfinished/lock", "unfinished/.key.json.part"),
}


@pytest.mark.heavy
@pytest.mark.parametrize("fragment", FRAGMENTS)
def test_a_kill_before_the_first_word_is_no_obstacle(fragment: str, tmp_path: Path) -> None:
    """What a kill can leave in the first moments is taken for what it is, and not for the user's own things."""
    images, out = digit_files(tmp_path / "digits", 3), tmp_path / "atlas"
    out.mkdir()
    for name in FRAGMENTS[fragment]:
        path = out / name
        path.mkdir(parents=True) if name.endswith("/") else path.write_text("")
    assert len(convscope.build(images, digits_net(), out).images) == 3
    assert {path.name for path in out.iterdir()} == OWN - {"unfinished"}


def test_a_kill_while_an_atlas_is_overwritten(tmp_path: Path) -> None:
    """At every moment the folder is known as an atlas, and never looks finished while it is not."""
    images, out = digit_files(tmp_path / "digits", 5), tmp_path / "atlas"
    convscope.build(images, digits_net(), out, limit=4)
    process = start_build(images, out, overwrite=True)
    wait_for(lambda: not (out / MANIFEST).exists(), process)
    kill(process)
    with pytest.raises(convscope.BadAtlas, match="is an unfinished atlas"):
        convscope.open_atlas(out)
    finish_build(images, out, overwrite=True)
    finish_build(images, tmp_path / "straight")
    assert bytes_of(out) == bytes_of(tmp_path / "straight")


@pytest.mark.parametrize("removed", [0, 1, 4])
def test_an_atlas_that_is_being_thrown_away_never_looks_finished(
    removed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off after so many of its parts: it is no finished atlas any more, and still known as one of ours."""
    images, out = digit_files(tmp_path / "digits", 3), tmp_path / "atlas"
    convscope.build(images, digits_net(), out)
    gone: list[Path] = []

    def cut_off(path: Path) -> None:
        if len(gone) == removed:
            raise KeyboardInterrupt
        gone.append(path)
        remove(path)

    monkeypatch.setattr(workspace, "remove", cut_off)
    with pytest.raises(KeyboardInterrupt):
        convscope.build(images, digits_net(), out, overwrite=True)
    monkeypatch.undo()
    assert not (out / MANIFEST).exists()
    with pytest.raises(convscope.BadAtlas, match="is an unfinished atlas"):
        convscope.open_atlas(out)
    assert len(convscope.build(images, digits_net(), out, overwrite=True).images) == 3


def test_half_an_overwriting_goes_on_only_when_it_is_asked_for(tmp_path: Path) -> None:
    images, out = digit_files(tmp_path / "digits", 3), tmp_path / "atlas"
    convscope.build(images, digits_net(), out, limit=2)
    (out / "unfinished").mkdir()
    (out / "unfinished" / "key.json").write_text('{"work": "none: its atlas is being thrown away"}')
    (out / MANIFEST).unlink()
    (out / ".images.parquet.part").write_text("")
    with pytest.raises(convscope.AtlasInUse, match="was being overwritten"):
        convscope.build(images, digits_net(), out)
    assert len(convscope.build(images, digits_net(), out, overwrite=True).images) == 3


# -------------------------------------------------------------------------------------------------- Ctrl-C


def test_ctrl_c_of_the_command_line_ends_with_130_and_the_same_command_goes_on(tmp_path: Path) -> None:
    images = digit_files(tmp_path / "digits", 15 * SHARD)
    outs = {name: tmp_path / name for name in ("straight", "stopped")}
    words = tmp_path / "words.txt"
    command = ["build", str(images), "--net", "tests.builds:coarse", "--out"]
    straight = start(run_command, [*command, str(outs["straight"])], tmp_path / "others.txt")
    process = start(run_command, [*command, str(outs["stopped"])], words)
    wait_for(lambda: len(shards_of(outs["stopped"])) >= 2, process)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGINT)
    process.join()
    assert process.exitcode == 130, words.read_text()
    assert "what is finished is kept" in words.read_text()
    assert "Traceback" not in words.read_text()
    assert len(shards_of(outs["stopped"])) >= 2
    again = start(run_command, [*command, str(outs["stopped"])], words)
    for one in (straight, again):
        one.join()
        assert one.exitcode == 0, words.read_text()
    assert "going on:" in words.read_text()
    assert bytes_of(outs["stopped"]) == bytes_of(outs["straight"])


# ------------------------------------------------------------------------------------------- other work


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


# ------------------------------------------------------------------------------------------------ full disk


@pytest.mark.heavy
@pytest.mark.parametrize(("largest", "finishing"), [(2_000, False), (300_000, True)])
def test_files_that_may_not_grow(
    largest: int, finishing: bool, few: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    """EFBIG from the kernel, in a shard or while the atlas is finished; with room the same command goes on."""
    images, expected = few
    out = tmp_path / "atlas"
    process = start_build(images, out, largest_file=largest)
    process.join()
    said = log_of(out).read_text().splitlines()[-1]
    assert process.exitcode == 1, said
    done = FEW // SHARD if finishing else 0
    assert said == (
        f"DiskFull: the disk is full, after {done * SHARD} of {FEW} images; what is finished is kept in {out}"
        " | make room, then give the same command to go on"
    )
    assert len(shards_of(out)) == done
    assert finish_build(images, out) == FEW // SHARD - done
    assert bytes_of(out) == expected


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own that holds one and a half megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("a small file system can only be mounted by root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.heavy
def test_a_disk_that_fills_up(small_disk: Path, few: tuple[Path, dict[str, str]]) -> None:
    """ENOSPC in the middle of the work: the shards before it are kept, and go into the same atlas once there is room."""
    images, expected = few
    out = small_disk / "atlas"
    process = start(run_there, images, out, small_disk.with_name("log"))
    process.join()
    said = small_disk.with_name("log").read_text().splitlines()[-1]
    assert process.exitcode == 1, said
    kept = len(shards_of(out))
    assert 1 <= kept < FEW // SHARD
    assert said.startswith(f"DiskFull: the disk is full, after {kept * SHARD} of {FEW} images")
    before = stamps_of(out)
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    again = start(run_there, images, out, small_disk.with_name("log"))
    again.join()
    assert again.exitcode == 0
    assert shards_in(small_disk.with_name("log")) == FEW // SHARD - len(before)
    assert bytes_of(out) == expected


def run_there(images: Path, out: Path, log: Path) -> None:
    """A build whose log is on another disk."""
    from tests.builds import run_build

    run_build(images, out, log, {}, None)


def test_a_disk_that_is_full_from_the_start(small_disk: Path, tmp_path: Path) -> None:
    images, out = digit_files(tmp_path / "digits", 2), small_disk / "atlas"
    fill(small_disk / "filler")
    with pytest.raises(convscope.DiskFull) as caught:
        convscope.build(images, digits_net(), out)
    assert caught.value.problem == f"the disk of {out} is full"
    assert "make room" in caught.value.hint
    (small_disk / "filler").unlink()
    assert len(convscope.build(images, digits_net(), out).images) == 2


def fill(path: Path) -> None:
    """Writes until nothing more fits."""
    with path.open("wb", buffering=0) as stream:
        try:
            while stream.write(b"0" * 65536):
                pass
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


# --------------------------------------------------------------------------------- images without a number


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
