"""Files are whole or not there, and nothing that is read can run."""

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import convscope
from convscope.store.files import (
    commit_folder,
    read_array,
    read_arrays,
    read_json,
    write_arrays,
    write_bytes,
    write_json,
)


def test_arrays_come_back_as_they_were(tmp_path: Path) -> None:
    arrays = {"a/values": np.arange(6, dtype=np.float32).reshape(2, 3), "rows": np.array([-1, 2], np.int64)}
    write_arrays(tmp_path, arrays)
    found = read_arrays(tmp_path)
    assert found.keys() == arrays.keys()
    assert all(np.array_equal(found[name], arrays[name]) and found[name].dtype == arrays[name].dtype for name in arrays)


def test_json_is_the_same_for_the_same_content(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1, "a": "é"})
    write_json(tmp_path / "b.json", {"a": "é", "b": 1})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert read_json(tmp_path / "a.json") == {"a": "é", "b": 1}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", float("nan"))
    assert read_json(tmp_path / "a.json") == {"a": "é", "b": 1}


def test_a_file_under_a_killed_writer_is_always_whole(tmp_path: Path) -> None:
    """A real SIGKILL, many times, in the middle of writing one of two contents over and over."""
    target = tmp_path / "file"
    code = (
        "import sys; from pathlib import Path; from convscope.store.files import write_bytes\n"
        "while True:\n"
        "  for letter in b'ab': write_bytes(Path(sys.argv[1]), bytes([letter]) * 3_000_000)"
    )
    for attempt in range(6):
        process = subprocess.Popen([sys.executable, "-c", code, str(target)])
        while not target.exists():
            time.sleep(0.001)
        time.sleep(0.01 + 0.013 * attempt)
        process.send_signal(signal.SIGKILL)
        process.wait()
        content = target.read_bytes()
        assert content in (b"a" * 3_000_000, b"b" * 3_000_000)


def test_a_folder_gets_its_name_when_it_is_finished(tmp_path: Path) -> None:
    for word in ("old", "new"):
        (tmp_path / ".part").mkdir()
        write_bytes(tmp_path / ".part" / "file", word.encode())
        commit_folder(tmp_path / ".part", tmp_path / "final")
    assert (tmp_path / "final" / "file").read_text() == "new"
    assert not (tmp_path / ".part").exists()


class Bomb:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_arrays_with_objects_are_never_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "evil.npy", np.array([Bomb(tmp_path / "ran")], dtype=object), allow_pickle=True)
    (tmp_path / "plain.npy").write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    for name in ("evil.npy", "plain.npy", "missing.npy"):
        with pytest.raises(convscope.BadAtlas, match="missing or broken"):
            read_array(tmp_path / name, mapped=False)
    assert not (tmp_path / "ran").exists()
