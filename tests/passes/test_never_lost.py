"""Whatever happens to a build – a kill, Ctrl-C – nothing that was finished is lost.

Real processes and real signals, over 28 shards of real digits.
"""

import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

import convscope
from convscope.passes.merging import EVERY
from convscope.store import workspace
from convscope.store.workspace import MANIFEST, OWN, remove
from tests.builds import (
    FEW,
    SHARD,
    SHARDS,
    bytes_of,
    digit_files,
    digits_net,
    finish_build,
    kill,
    log_of,
    run_command,
    shards_in,
    shards_of,
    stamps_of,
    start,
    start_build,
    wait_for,
)

pytestmark = pytest.mark.usefixtures("one_thread")


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
