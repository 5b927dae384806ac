"""One tiny atlas for all tests of the faces."""

import pytest

from convscope.atlas import Atlas
from tests.tiny_atlas import tiny_atlas


@pytest.fixture(scope="session")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    return tiny_atlas(tmp_path_factory.mktemp("tiny"))
