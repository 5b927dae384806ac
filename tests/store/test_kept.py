"""What studies keep in an atlas: whole or not at all, under the key of what it is of."""

import json
from pathlib import Path

import numpy as np
import pytest

from convscope.store import kept
from convscope.store.kept import all_kept, find, keep, place_of

KEY = {"layer": "a", "seed": 1}


def test_what_is_kept_is_found_again(tmp_path: Path) -> None:
    assert find(tmp_path, "maps", KEY) is None
    assert keep(tmp_path, "maps", KEY, {"divergence": 0.5}, {"positions": np.arange(6.0).reshape(3, 2)}) == ""
    found = find(tmp_path, "maps", KEY)
    assert found is not None
    assert found[0]["divergence"] == 0.5
    assert found[0]["key"] == KEY
    np.testing.assert_array_equal(found[1]["positions"], [[0, 1], [2, 3], [4, 5]])
    assert find(tmp_path, "maps", {**KEY, "seed": 2}) is None
    assert [record["key"] for record, _ in all_kept(tmp_path, "maps")] == [KEY]


def test_the_same_gives_the_same_bytes_and_replaces(tmp_path: Path) -> None:
    for name in ("one", "two"):
        keep(tmp_path / name, "maps", KEY, {"a": 1}, {"x": np.ones(3)})
    files = [sorted(path for path in (tmp_path / name).rglob("*") if path.is_file()) for name in ("one", "two")]
    assert [path.read_bytes() for path in files[0]] == [path.read_bytes() for path in files[1]]
    keep(tmp_path / "one", "maps", KEY, {"a": 2}, {"x": np.zeros(3)})
    found = find(tmp_path / "one", "maps", KEY)
    assert found is not None
    assert found[0]["a"] == 2


def test_a_broken_one_counts_as_none(tmp_path: Path) -> None:
    keep(tmp_path, "maps", KEY, {}, {"x": np.ones(3)})
    (place_of(tmp_path, "maps", KEY) / "record.json").write_text("{")
    assert find(tmp_path, "maps", KEY) is None
    assert list(all_kept(tmp_path, "maps")) == []
    keep(tmp_path, "maps", KEY, {}, {"x": np.ones(3)})
    (place_of(tmp_path, "maps", KEY) / "x.npy").write_bytes(b"no array")
    assert find(tmp_path, "maps", KEY) is None


def test_what_cannot_be_written_is_said_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kept, "write_json", full)
    assert keep(tmp_path, "maps", KEY, {}, {"x": np.ones(3)}) == "No space left on device"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    (tmp_path / "file").write_text("")
    assert keep(tmp_path / "file", "maps", KEY, {}, {}) != ""


def test_the_record_is_plain_json(tmp_path: Path) -> None:
    keep(tmp_path, "maps", KEY, {"divergence": None}, {})
    assert json.loads((place_of(tmp_path, "maps", KEY) / "record.json").read_text()) == {"divergence": None, "key": KEY}
