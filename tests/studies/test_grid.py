"""The grid: every image in one cell, four ways, seams, pictures, shapes, few images."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import convscope
from convscope.atlas import Atlas
from convscope.layouts.assignment import assign, mean_cost
from convscope.layouts.quality import dpq
from convscope.render.mosaic import cells_picture
from convscope.store.kept import all_kept
from convscope.store.thumbnails import Thumbnails
from convscope.studies.grid import GRIDS, PLACED, kept_grid, shape_of
from convscope.watch import Watch
from tests.studies.test_mapping import Stopping, net, pictures


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    folder = tmp_path_factory.mktemp("grid")
    return convscope.build(pictures(folder / "images", 58), net(), folder / "atlas")


def test_every_image_has_one_cell(atlas: Atlas) -> None:
    for way in ("assignment", "greedy", "sorted"):
        found = atlas.grid(way=way)
        assert (found.rows, found.columns) == (8, 8)
        assert len({tuple(cell) for cell in found.cells.tolist()}) == found.images == 58
        owners = found.owners()
        assert sorted(owners[owners >= 0].tolist()) == list(range(58))
        for row, column in np.argwhere(owners >= 0):
            assert tuple(found.cells[owners[row, column]]) == (row, column)
    exact = atlas.grid(way="exact")
    placed = exact.cells[exact.cells[:, 0] >= 0]
    assert len({tuple(cell) for cell in placed.tolist()}) == len(placed) == exact.images <= 58


def test_all_at_once_is_no_worse_than_greedy_and_the_numbers_are_true(atlas: Atlas) -> None:
    ours, greedy = atlas.grid(), atlas.grid(way="greedy")
    assert ours.cost < greedy.cost
    down = np.stack(
        [-atlas.map().positions[:, 1], atlas.map().positions[:, 0]], 1
    )  # row downwards, column to the right
    assert ours.cost == pytest.approx(mean_cost(down, ours.cells, 8, 8))
    assert ours.preservation == pytest.approx(dpq(np.asarray(atlas.codes(), np.float32), ours.cells))
    assert atlas.grid(way="sorted").preservation > 0.5
    assert np.array_equal(ours.cells, atlas.grid().cells)


def test_up_on_the_map_is_up_on_the_grid(atlas: Atlas) -> None:
    positions, cells = atlas.map().positions, atlas.grid().cells
    assert np.corrcoef(positions[:, 1], cells[:, 0])[0, 1] < -0.5
    assert np.corrcoef(positions[:, 0], cells[:, 1])[0, 1] > 0.5


@pytest.mark.parametrize(
    ("count", "aspect", "shape"),
    [
        (1, 1, (1, 1)),
        (2, 1, (2, 1)),
        (762, 1, (28, 28)),
        (1797, 1, (43, 42)),
        (10, 5, (2, 5)),
        (10, 0.1, (10, 1)),
        (7, 99, (1, 7)),
    ],
)
def test_shapes(count: int, aspect: float, shape: tuple[int, int]) -> None:
    rows, columns = shape_of(count, aspect)
    assert (rows, columns) == shape
    assert rows * columns >= count
    assert (rows - 1) * columns < count


def test_seams_are_distances_of_codes(atlas: Atlas) -> None:
    found = atlas.grid()
    codes, owners = np.asarray(atlas.codes(), np.float64), found.owners()
    right, below = found.seams()
    for row in range(8):
        for column in range(8):
            for values, (down, across) in ((right, (0, 1)), (below, (1, 0))):
                inside = row + down < 8 and column + across < 8
                pair = (owners[row, column], owners[row + down, column + across]) if inside else (-1, -1)
                if min(pair) < 0:
                    assert np.isnan(values[row, column])
                else:
                    assert values[row, column] == pytest.approx(
                        np.linalg.norm(codes[pair[0]] - codes[pair[1]]), rel=1e-5
                    )


@pytest.mark.parametrize("cell", [1, 5, 8, 24, 40])
def test_pictures_show_each_image_in_its_cell(atlas: Atlas, cell: int) -> None:
    owners = atlas.grid().owners()
    picture = cells_picture(atlas.store, owners, cell)
    assert picture.shape == (8 * cell, 8 * cell, 3)
    for row, column in ((0, 0), (3, 5), (7, 7)):
        part = picture[row * cell : (row + 1) * cell, column * cell : (column + 1) * cell]
        if owners[row, column] < 0:
            assert (part == 255).all()
        else:
            mean = atlas.pixels(int(owners[row, column])).mean((0, 1))
            np.testing.assert_allclose(part.mean((0, 1)), mean, atol=4)


def test_panels_and_sizes(atlas: Atlas, tmp_path: Path) -> None:
    found = atlas.grid(size=160)
    whole, seams = convscope.draw(found)
    assert whole.picture(2.0).size == (160, 160)
    assert "58 of 58 images on 8 × 8 cells" in whole.caption
    assert "DPQ" in whole.caption
    assert seams.kind == "image"
    with np.load(found.save(tmp_path / "grid.npz")) as kept:
        np.testing.assert_array_equal(kept["cells"], found.cells)
    assert found.lines()[1] == ["images", "58 of 58"]


def test_it_is_kept_and_what_is_damaged_is_computed_again(atlas: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setitem(PLACED, "assignment", lambda *given: (calls.append(1), assign(*given))[1])
    first = atlas.grid(seed=7)
    again = convscope.open_atlas(atlas.folder).grid(seed=7, size=99)
    assert len(calls) == 1
    assert again.cells.tobytes() == first.cells.tobytes()
    assert (again.cost, again.preservation, again.size) == (first.cost, first.preservation, 99)
    atlas.grid(seed=7, aspect=2.0)
    assert len(calls) == 2  # another one
    (folder,) = (
        path for record, path in all_kept(atlas.folder, GRIDS)
        if record["key"]["map"]["seed"] == 7 and record["key"]["aspect"] == 1
    )  # fmt: skip
    cells = np.load(folder / "cells.npy")
    twice, outside, missing = cells.copy(), cells.copy(), cells.copy()
    missing[5] = -1
    twice[3], outside[3] = cells[4], (0, 8)
    for damage in (twice, outside, missing, np.full_like(cells, -1), cells[:-1], cells.astype("U3"), cells.ravel()):
        np.save(folder / "cells.npy", damage)
        assert atlas.grid(seed=7).cells.tobytes() == first.cells.tobytes()
    for text in ("{}", "[]", '{"cost": "x", "preservation": 1}'):
        (folder / "record.json").write_text(text)
        assert atlas.grid(seed=7).cost == first.cost


class Saying(Watch):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def test_where_it_cannot_be_kept_it_is_computed_and_that_is_said(atlas: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Saying()
    monkeypatch.setattr("convscope.studies.grid.keep", lambda *_: "Read-only file system")
    assert atlas.grid(way="greedy", seed=9, watch=watch).complete
    assert "the grid is not kept in the atlas: Read-only file system" in watch.said
    assert kept_grid(atlas.store, way="greedy", seed=9) is None


def test_stopped_ones_are_not_kept(atlas: Atlas) -> None:
    assert not atlas.grid(seed=8, watch=Stopping()).complete
    assert kept_grid(atlas.store, seed=8) is None


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_images(count: int, tmp_path: Path) -> None:
    found = convscope.build(pictures(tmp_path / "images", count), net(), tmp_path / "atlas").grid()
    assert found.images == count
    assert convscope.draw(found)


def test_too_many_to_sort_is_said(atlas: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convscope.layouts.sorting.LARGEST", 50)
    with pytest.raises(convscope.BadOption, match="assignment"):
        atlas.grid(way="sorted", seed=1)


def test_thumbnails_are_means_of_the_pictures_and_made_once(atlas: Atlas) -> None:
    found = Thumbnails(atlas.store)
    assert [level.shape[1:3] for level in found.levels] == [(24, 24), (12, 12), (6, 6), (3, 3), (2, 2), (1, 1), (1, 1)]
    np.testing.assert_array_equal(found.levels[0][7], atlas.pixels(7))  # never enlarged
    for level in found.levels[:4]:
        np.testing.assert_allclose(level[9].mean((0, 1)), atlas.pixels(9).mean((0, 1)), atol=2)
    assert found.at_least(5).shape[1] == 6
    assert found.at_least(500).shape[1] == 24
    before = (atlas.folder / "thumbnails" / "0.npy").stat().st_mtime_ns
    Thumbnails(atlas.store)
    assert (atlas.folder / "thumbnails" / "0.npy").stat().st_mtime_ns == before


def test_thumbnails_of_an_atlas_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = convscope.build(pictures(tmp_path / "images", 4), net(), tmp_path / "atlas")
    real, made_elsewhere = tempfile.mkdtemp, []

    def refusing(*given: Any, **options: Any) -> str:
        if options.get("dir") is not None:
            raise OSError(30, "Read-only file system")
        made_elsewhere.append(real(*given, **options))
        return str(made_elsewhere[-1])

    monkeypatch.setattr(tempfile, "mkdtemp", refusing)
    for _ in range(3):
        assert len(Thumbnails(made.store).levels[0]) == 4
    assert len(made_elsewhere) == 1  # made once a process, and gone when it ends
    assert not (made.folder / "thumbnails").exists()


def test_thumbnails_of_other_images_and_broken_ones_are_made_anew(tmp_path: Path) -> None:
    made = convscope.build(pictures(tmp_path / "images", 4), net(), tmp_path / "atlas")
    first = np.array(Thumbnails(made.store).levels[0])
    for content in (b"", (made.folder / "thumbnails" / "0.npy").read_bytes()[:-5]):
        (made.folder / "thumbnails" / "0.npy").write_bytes(content)
        np.testing.assert_array_equal(Thumbnails(made.store).levels[0], first)
