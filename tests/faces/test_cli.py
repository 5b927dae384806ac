"""The command line: data to stdout, words to stderr, honest exit codes; some of it in a process of its own."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.faces.commands import Run

FACTORY = "tests.nets:small_classifier"
ROOT = Path(__file__).parents[2]


def started(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """A command as a user gives it; `run` does the same in this process, and soon."""
    return subprocess.run(
        [sys.executable, "-m", "convscope", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "photos"
    folder.mkdir()
    for number in range(12):
        noise = np.random.default_rng(number).integers(0, 256, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((240, 250), Image.Resampling.BICUBIC).save(folder / f"{number}.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    return folder


def test_from_photos_to_pictures(photos: Path, run: Run, tmp_path: Path) -> None:
    atlas = tmp_path / "atlas"
    built = started("build", photos, "--net", FACTORY, "--out", atlas)
    assert built.returncode == 0, built.stderr
    assert built.stdout == f"{atlas}\n"
    for words in (
        "13 images to read",
        "13 of 13 images",
        "12 images, 1 files skipped",
        "next: convscope serve",
    ):
        assert words in built.stderr
    table = run("exemplars", atlas, "5:2", "--k", "3")
    lines = table.stdout.splitlines()
    assert lines[0] == "value\tplace\tbox\timage"
    assert len(lines) == 4
    picture = tmp_path / "unit.png"
    assert run("exemplars", atlas, "class:1", "--save", picture).stdout == f"{picture}\n"
    assert picture.read_bytes()[:4] == b"\x89PNG"
    report = tmp_path / "report.html"
    assert run("report", atlas, "--out", report).stdout == f"{report}\n"
    assert report.read_text().lower().startswith("<!doctype html>")


def test_layers_are_listed(run: Run) -> None:
    found = run("layers", "--net", FACTORY)
    rows = [line.split("\t") for line in found.stdout.splitlines()]
    assert rows[0] == ["layer", "kind", "shape", "receptive field", "rectified", "also called"]
    assert ["2", "relu", "6×224×224", "3×3 every 1", "yes", ""] in rows
    assert rows[-1][:4] == ["9", "linear", "4", "whole image"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("build",), 2, "IMAGES"),
        (("build", "no-such-folder", "--net", FACTORY), 1, "no-such-folder: no such file"),
        (("build", "tests", "--net", "efficientnet-lite9"), 2, "did you mean 'efficientnet-lite"),
        (("build", "tests", "--nett", FACTORY), 2, "--nett"),
        (("exemplars", "no-such-atlas", "a:1"), 1, "is no atlas"),
        (("report", "tests"), 1, "is no atlas"),
        (("bild",), 2, "bild"),
    ],
)
def test_wrong_use_is_2_and_failed_work_is_1(arguments: tuple[str, ...], code: int, words: str, run: Run) -> None:
    found = run(*arguments)
    assert found.returncode == code
    assert words in found.stderr
    assert found.stdout == ""
    assert "Traceback" not in found.stderr


def test_a_process_ends_with_the_code() -> None:
    found = started("report", "tests")
    assert (found.returncode, found.stdout) == (1, "")
    assert "is no atlas" in found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.heavy  # tests/passes/test_never_lost.py does the same on a smaller net
def test_ctrl_c_keeps_what_is_finished_and_says_how_to_go_on(photos: Path, tmp_path: Path) -> None:
    listing = tmp_path / "many.csv"
    names = [str(photos / f"{number}.png") for number in range(12)]
    copies = tmp_path / "copies"
    copies.mkdir()
    for number in range(400):
        (copies / f"{number}.png").write_bytes(Path(names[number % 12]).read_bytes())
    listing.write_text("path\n" + "\n".join(str(copies / f"{number}.png") for number in range(400)))
    atlas = tmp_path / "atlas"
    command = [sys.executable, "-m", "convscope", "build", str(listing), "--net", FACTORY, "--out", str(atlas)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not (atlas / "unfinished" / "shards" / "000001").exists():
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    _, words = process.communicate(timeout=60)
    assert process.returncode == 130, words
    assert "what is finished is kept" in words
    assert "the same command goes on from there" in words
    assert "Traceback" not in words
    again = started("build", listing, "--net", FACTORY, "--out", atlas)
    assert again.returncode == 0
    assert "going on:" in again.stderr


def test_help_says_what_everything_is(run: Run) -> None:
    words = run("--help").stdout
    for command in ("build", "report", "layers", "exemplars", "demo"):
        assert command in words
    assert "goes on after it was stopped" in " ".join(run("build", "--help").stdout.split())
    assert run("--version").stdout.strip() == "0.1.0"


def test_a_factory_in_the_current_folder_is_found(tmp_path: Path) -> None:
    (tmp_path / "mynet.py").write_text(
        "from torch import nn\n"
        "def factory(): return nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())\n"
    )
    command = [Path(sys.executable).with_name("convscope"), "layers", "--net", "mynet:factory"]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "2×222×222" in found.stdout
