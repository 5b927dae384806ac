"""Ctrl-C in a study or technique with --save: what is known so far is drawn, kept, and said."""

import signal
from pathlib import Path

import numpy as np
import pytest

import convscope
from convscope.faces.bar import Bar
from tests.faces.commands import Run
from tests.studies.test_mapping import net, pictures


def press_at(monkeypatch: pytest.MonkeyPatch, unit: str, done: int) -> None:
    """Ctrl-C, as the terminal sends it, when so much is done."""
    real = Bar.progress

    def progress(self: Bar, now: int, total: int, what: str) -> None:
        real(self, now, total, what)
        if what == unit and now >= done:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Bar, "progress", progress)


def test_a_map_is_saved_as_far_as_it_came(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    atlas = convscope.build(pictures(tmp_path / "images", 40), net(), tmp_path / "atlas").folder
    press_at(monkeypatch, "steps of t-SNE", 100)
    found = run("map", atlas, "--save", tmp_path / "map.npz")
    assert (found.returncode, found.stdout) == (130, "")
    assert f"what is known so far is saved in {tmp_path / 'map.npz'}" in found.stderr
    with np.load(tmp_path / "map.npz") as kept:
        assert kept["positions"].shape == (40, 2)
        assert np.ptp(kept["positions"], 0).min() > 0
    assert run("map", atlas, "--save", tmp_path / "map.png").returncode == 130
    assert (tmp_path / "map.png").read_bytes()[:4] == b"\x89PNG"
    assert not list((atlas / "layouts").glob("*/record.json"))


def test_a_grid_has_nothing_yet_while_its_map_is_made(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    atlas = convscope.build(pictures(tmp_path / "images", 40), net(), tmp_path / "atlas").folder
    press_at(monkeypatch, "steps of t-SNE", 100)
    found = run("grid", atlas, "--save", tmp_path / "grid.png")
    assert found.returncode == 130
    assert "saved" not in found.stderr
    assert not (tmp_path / "grid.png").exists()
