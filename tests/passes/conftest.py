"""What builds in processes of their own need, and an atlas that was built in one go."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builds import FEW, SHARD, bytes_of, digit_files, finish_build


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Child processes compute with one thread, and find the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
        yield


@pytest.fixture(scope="module")
def few(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Eleven shards' worth of the images, and the atlas of them."""
    folder = digit_files(tmp_path_factory.mktemp("few") / "digits", FEW)
    out = tmp_path_factory.mktemp("few-atlas") / "atlas"
    assert finish_build(folder, out) == FEW // SHARD
    return folder, bytes_of(out)
