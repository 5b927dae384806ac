"""The rotation note's first experiment, on a few photos: what is true of rotated units, and what is not."""

import pytest
import torch

from convscope.faces.demo import demo_photos
from docs.rotation import STAGES, Change, experiment, random_permutation, random_rotation


@pytest.fixture(scope="module")
def changes() -> list[Change]:
    return list(experiment(demo_photos()[:3]))


def test_a_rotation_undone_by_the_next_layers_changes_nothing(changes: list[Change]) -> None:
    undone = [one for one in changes if "bn1" not in one.layer and "control" not in one.done]
    assert len(undone) == len(STAGES) + 1
    for one in undone:
        assert one.greatest < 1e-5
        assert one.kept == one.photos == 3


def test_the_same_rotation_not_undone_changes_nearly_all(changes: list[Change]) -> None:
    left = [one for one in changes if "not undone" in one.done]
    assert len(left) == len(STAGES)
    assert all(one.least > 1e-2 for one in left)


def test_around_a_rectifier_it_changes_the_scores_though_undone(changes: list[Change]) -> None:
    found = {
        done: [one for one in changes if "bn1" in one.layer and done in one.done]
        for done in ("before ReLU6", "control")
    }
    assert len(found["before ReLU6"]) == len(STAGES)
    assert all(one.least > 1e-2 for one in found["before ReLU6"])
    assert len(found["control"]) == 2 * len(STAGES)
    assert all(one.greatest < 1e-5 for one in found["control"])


def test_the_matrices_are_orthogonal() -> None:
    for matrix in (random_rotation(24), random_permutation(24)):
        torch.testing.assert_close(matrix @ matrix.T, torch.eye(24, dtype=torch.float64), atol=1e-12, rtol=0)
    assert (random_rotation(24) - random_rotation(24, seed=1)).abs().max() > 0.1
