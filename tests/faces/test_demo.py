"""The demo as its command: photos that packages ship, an atlas and a report with its techniques."""

from pathlib import Path

import pytest

import convscope
from tests.faces.commands import run_here
from tests.faces.test_report import data_of


def test_the_demo_of_some_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("demo", "--out", tmp_path / "demo", "--limit", "8", "--no-serve")
    first = run_here(capsys, *arguments)
    assert (first.returncode, first.stdout) == (0, f"{tmp_path / 'demo' / 'report.html'}\n")
    assert "22 photos" in first.stderr
    assert "next: convscope serve" in first.stderr
    report = tmp_path / "demo" / "report.html"
    overview = data_of(report.read_text("utf-8"))["answers"]["api/atlas"]
    assert overview["count"] == 8
    assert "regions cut from 22 photos" in overview["note"]
    assert len(overview["trials"]) == 1
    assert len(convscope.open_atlas(tmp_path / "demo" / "atlas").images) == 8
