"""A folder of photos to work in."""

from pathlib import Path

import pytest

from tests.data.listed import save


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five photos in two labelled folders and the root, one of them two folders deep, and a text."""
    monkeypatch.chdir(tmp_path)
    for name in ("b/two.png", "a/one.png", "a/deep/three.png", "a/B.png", "root.png"):
        save(tmp_path / "photos" / name)
    (tmp_path / "photos" / "a" / "notes.txt").write_text("no image")
    return tmp_path / "photos"
