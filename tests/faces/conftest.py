"""One tiny atlas for all tests of the faces, and commands in this process."""

from functools import partial
from pathlib import Path

import pytest

from convscope.atlas import Atlas
from tests.faces.commands import Run, run_here
from tests.tiny_atlas import tiny_atlas


@pytest.fixture(scope="session")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    return tiny_atlas(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Gives a command from the project's folder."""
    monkeypatch.chdir(Path(__file__).parents[2])
    return partial(run_here, capsys)
