"""The rotation note's first experiment, on a few photos: what is true of rotated units, and what is not."""

from pathlib import Path

import numpy as np
import pytest
import torch

from convscope.faces.demo import demo_photos
from docs.directions import MEASURES, alike, unit_length
from docs.page import table, write
from docs.rotation import DOCS, STAGES, Change, experiment, random_permutation, random_rotation


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
        for done in ("rotated before ReLU6", "control")
    }
    assert len(found["rotated before ReLU6"]) == len(STAGES)
    assert all(one.least > 1e-2 for one in found["rotated before ReLU6"])
    assert len(found["control"]) == 2 * len(STAGES)
    assert all(one.greatest < 1e-5 for one in found["control"])  # rotated behind it; and units exchanged


def test_the_matrices_are_orthogonal() -> None:
    for matrix in (random_rotation(24), random_permutation(24)):
        torch.testing.assert_close(matrix @ matrix.T, torch.eye(24, dtype=torch.float64), atol=1e-12, rtol=0)
    assert (random_rotation(24) - random_rotation(24, seed=1)).abs().max() > 0.1


def test_alikeness_counts_only_pairs_of_different_scenes() -> None:
    vectors = unit_length(np.random.default_rng(0).standard_normal((4, 5)))
    scenes = np.array(["a", "a", "b", "c"])
    pairs = [(0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    assert alike(vectors, scenes) == pytest.approx(np.mean([vectors[one] @ vectors[other] for one, other in pairs]))
    assert np.isnan(alike(vectors, ["a"] * 4))


def test_a_table_goes_between_its_marks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    page.write_text("above\n<!-- numbers -->\nold\n<!-- end of numbers -->\nbelow\n")
    write(page, "numbers", table(("layer", "N"), [("`a`", "3")]))
    lines = ["above", "<!-- numbers -->", "| layer | N |", "| --- | --- |", "| `a` | 3 |", "<!-- end of numbers -->"]
    assert page.read_text().splitlines() == [*lines, "below"]
    assert "| `a` | 3 |" in capsys.readouterr().out
    with pytest.raises(ValueError, match="0 times"):
        write(page, "other numbers", "")


def test_the_page_holds_every_table() -> None:
    page = (DOCS / "rotation.md").read_text()
    for name in ("rotation of linear layers", "rotation around a rectifier", *MEASURES.values()):
        found = page.partition(f"<!-- {name} -->")[2].partition(f"<!-- end of {name} -->")[0]
        for stage in STAGES:
            layers = (f"`blocks.{stage}`", f"`blocks.{stage + 1}.0.bn1`")
            assert any(layer in found for layer in layers), f"{name}: run `python -m docs.rotation`"
