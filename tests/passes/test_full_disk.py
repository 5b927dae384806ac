"""A disk that fills up loses nothing that was finished: real limits of the kernel, real small file systems."""

import errno
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import convscope
from tests.builds import (
    FEW,
    SHARD,
    bytes_of,
    digit_files,
    digits_net,
    finish_build,
    log_of,
    shards_in,
    shards_of,
    stamps_of,
    start,
    start_build,
)

pytestmark = pytest.mark.usefixtures("one_thread")


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
