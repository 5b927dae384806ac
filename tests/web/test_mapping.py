"""Maps, grids and neighbours: the page's routes give what the studies give, and name what is wrong."""

import io
import json
import threading
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from convscope.atlas import Atlas
from convscope.faces.answers.mapping import TILE, levels_of, tile_picture
from convscope.faces.report import record
from convscope.faces.web import mapping
from convscope.faces.web.app import make_app
from convscope.faces.web.browsing import Desk
from convscope.faces.web.jobs import JobQueue
from convscope.render.mosaic import cells_picture
from convscope.studies.grid import Grid, grid
from convscope.studies.mapping import map as map_images
from convscope.studies.neighbours import neighbours
from convscope.watch import SILENT
from tests.tiny_atlas import HOSTILE_LABEL, tiny_atlas, tiny_net
from tests.web.conftest import BASE, opened, until
from tests.web.test_browsing import unpack

MAP, GRID = "/api/map", "/api/grid"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    """An atlas of which nobody has asked for a map yet."""
    return tiny_atlas(tmp_path_factory.mktemp("mapping"))


@pytest.fixture(scope="module")
def client(own: Atlas) -> Iterator[TestClient]:
    """Without a network: none of this needs one."""
    with TestClient(make_app(own, opened(own, None, reason="off")), BASE) as found:
        yield found


def ended(client: TestClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """A job, when it has ended."""
    answer = client.post(path, json=body)
    assert answer.status_code == 202, answer.text
    job = f"/api/jobs/{answer.json()['id']}"
    until(lambda: client.get(job).json()["state"] not in ("waiting", "running"))
    found: dict[str, Any] = client.get(job).json()
    return found


def test_a_map_is_computed_once_and_kept(client: TestClient, own: Atlas) -> None:
    answer = client.get(MAP)
    assert answer.status_code == 404
    assert "POST /api/maps" in answer.json()["hint"]
    assert client.get(f"{MAP}/positions.bin").status_code == 404
    assert [one["maps"] for one in client.get("/api/codes").json()] == [[]]
    job = ended(client, "/api/maps", {"seed": 3})
    assert (job["state"], job["technique"], job["asked"]) == ("done", "map", {"layer": own.code_layer, "seed": 3})
    assert client.get(MAP).status_code == 404, "another seed is another map"
    assert client.get("/api/codes").json()[0]["maps"] == []
    job = ended(client, "/api/maps", {})
    assert ended(client, "/api/maps", {})["id"] == job["id"]
    found = map_images(own.store)
    shown = unpack(client.get(f"{MAP}/positions.bin?layer={own.code_layer}&method=tsne").content)
    np.testing.assert_array_equal(shown["positions"], found.positions)
    np.testing.assert_array_equal(
        unpack(client.get(f"/api/jobs/{job['id']}/positions.bin").content)["positions"], found.positions
    )
    said = client.get(MAP).json()
    assert said["purity"]["codes"] == pytest.approx(found.purity.codes)
    assert said["truth"]["recall"] == pytest.approx(found.truth.recall)
    plain = [said[name] for name in ("layer", "dimension", "rectified", "method", "images", "laid_out", "perplexity")]
    assert plain == [own.code_layer, 6, True, "tsne", 6, 6, 5 / 3]  # at most a third of the others
    with TestClient(make_app(own, opened(own, None)), BASE) as other:  # after the server was started again
        assert other.get(MAP).json() == said
        assert other.get("/api/codes").json()[0]["maps"] == ["tsne"]


def test_principal_components(client: TestClient, own: Atlas) -> None:
    assert ended(client, "/api/maps", {"method": "pca"})["state"] == "done"
    said = client.get(f"{MAP}?method=pca").json()
    assert (said["method"], said["divergence"], said["perplexity"]) == ("pca", None, None)
    assert json.loads(json.dumps(said, allow_nan=False)) == said
    assert "nothing" in client.get(f"{MAP}?method=pca&begin={own.code_layer}").json()["problem"]


def test_a_map_where_the_atlas_cannot_be_written_to(
    own: Atlas, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convscope.studies.mapping.keep", lambda *_: "Read-only file system")
    job = ended(client, "/api/maps", {"seed": 9})
    assert (job["state"], client.get(f"{MAP}?seed=9").status_code) == ("done", 200)


def test_a_job_shows_where_it_stands_and_can_be_stopped(
    own: Atlas, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    going, release = threading.Event(), threading.Event()
    found = map_images(own.store)

    def slow(store: Any, layer: str, *, seed: int = 0, watch: Any) -> Any:
        watch.preview(found)
        watch.progress(25, 750, "steps of t-SNE")
        going.set()
        release.wait(60)
        watch.progress(50, 750, "steps of t-SNE")
        return found

    monkeypatch.setattr(mapping, "map_images", slow)
    with TestClient(make_app(own, opened(own, None)), BASE) as other:
        job = other.post("/api/maps", json={"seed": 1}).json()["id"]
        waiting = other.post("/api/maps", json={"seed": 2}).json()["id"]
        assert going.wait(60)
        shown = unpack(other.get(f"/api/jobs/{job}/positions.bin").content)["positions"]
        np.testing.assert_array_equal(shown, found.positions)
        assert unpack(other.get(f"/api/jobs/{waiting}/positions.bin").content)["positions"].shape == (0, 2)
        assert other.get(f"/api/jobs/{job}").json()["done"] == 25
        for one in (job, waiting):
            other.post(f"/api/jobs/{one}/stop")
        release.set()
        until(lambda: other.get(f"/api/jobs/{job}").json()["state"] == "stopped")
        shown = unpack(other.get(f"/api/jobs/{job}/positions.bin").content)["positions"]
        np.testing.assert_array_equal(shown, found.positions)
        assert other.get("/api/jobs/nowhere/positions.bin").status_code == 404


def test_a_map_begins_with_that_of_other_codes(tmp_path: Path) -> None:
    atlas = tiny_atlas(tmp_path)
    atlas.add_codes(tiny_net(), "1")
    with TestClient(make_app(atlas, opened(atlas, None)), BASE) as client:
        assert [one["name"] for one in client.get("/api/codes").json()] == [atlas.code_layer, "1"]
        assert ended(client, "/api/maps", {"begin": "1", "perplexity": 1.5})["state"] == "done"
        said = client.get(f"{MAP}?begin=1&perplexity=1.5").json()
        assert (said["begun"], said["perplexity"], said["seed"]) == ("1", 1.5, 0)
        assert client.get(MAP).status_code == 404
        assert client.get(f"{MAP}?layer=1&perplexity=1.5").status_code == 200, "the map it began with is kept too"


@pytest.mark.parametrize("path", ["/api/maps", "/api/grids"])
def test_odd_bodies_are_named(client: TestClient, path: str) -> None:
    for body, status, words in (
        ({"layer": "nowhere"}, 404, "no codes of 'nowhere'"),
        ({"layer": "\ud800"}, 422, "no Unicode"),
        ({"layer": 3}, 404, "name of a layer"),
        ({"layer": "x" * 5000}, 404, "no codes"),
        ({"sed": 1}, 422, "no option 'sed'"),
        ({"seed": -1}, 422, "seed"),
        ({"seed": 1.5}, 422, "seed"),
        ({"perplexity": 0}, 422, "perplexity"),
        ({"watch": 1}, 422, "watch"),
        ({"store": 1}, 422, "store"),
        ({"method": "magic"}, 422, "method"),
        ({"way": "magic"}, 422, "way"),
        ([], 422, "dictionary"),
    ):
        answer = client.post(path, content=json.dumps(body), headers={"content-type": "application/json"})
        assert (answer.status_code, body) == (status, body)
        assert words in answer.json()["problem"]


def test_what_is_wrong_is_named(client: TestClient) -> None:
    for path, status, words in (
        (f"{MAP}?layer=nowhere", 404, "no codes"),
        (f"{MAP}?begin=nowhere", 404, "no codes"),
        (f"{MAP}?method=x", 422, "method"),
        (f"{MAP}?perplexity=nan", 422, "perplexity"),
        (f"{MAP}?perplexity=0", 422, "perplexity"),
        (f"{MAP}?seed=4294967296", 422, "seed"),
        (f"{GRID}?way=x", 422, "way"),
        (f"{GRID}?way=sorted", 404, "not computed"),
        (f"{GRID}/owners.bin?layer=nowhere", 404, "no codes"),
        (f"{GRID}/tiles/0/0_0.webp?way=greedy", 404, "not computed"),
        (f"{GRID}/tiles/0/x_0.webp", 422, "column"),
        ("/api/rows?rows=6", 404, "no image '6'"),
        ("/api/rows?rows=", 422, "rows"),
        ("/api/rows?rows=1,,2", 404, "no image ''"),
        ("/api/rows?rows=-1", 404, "no image '-1'"),
        ("/api/thumbnails?rows=1&side=65", 422, "side"),
        ("/api/thumbnails?rows=1&side=0", 422, "side"),
        ("/api/thumbnails", 422, "rows"),
        ("/api/images/6/neighbours", 404, "no image"),
        ("/api/images/upload-1/neighbours", 404, "no image"),
        ("/api/images/0/neighbours?k=0", 422, "k"),
        ("/api/images/0/neighbours?k=101", 422, "k"),
        ("/api/images/0/neighbours?layer=nowhere", 404, "no codes"),
    ):
        answer = client.get(path)
        assert (answer.status_code, path) == (status, path)
        assert words in answer.json()["problem"]


def test_a_grid_computes_its_map_and_is_shown_in_tiles(client: TestClient, own: Atlas) -> None:
    assert ended(client, "/api/grids", {"way": "exact"})["state"] == "done"
    found = grid(own.store, way="exact")
    said = client.get(f"{GRID}?way=exact").json()
    assert [said[name] for name in ("rows", "columns", "images", "of", "tile")] == [3, 2, found.images, 6, TILE]
    assert (said["levels"], said["cell"]) == ([1, 2, 4, 8, 16, 32, 64], [51, 64])
    assert client.get("/api/codes").json()[0]["grids"] == ["exact"]
    np.testing.assert_array_equal(unpack(client.get(f"{GRID}/owners.bin?way=exact").content)["owners"], found.owners())
    empty = found.owners() < 0
    for level, side in enumerate(said["levels"]):
        answer = client.get(f"{GRID}/tiles/{level}/0_0.webp?way=exact")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/webp")
        expected = cells_picture(own.store, found.owners(), side)
        with Image.open(io.BytesIO(answer.content)) as picture:
            assert picture.size == expected.shape[1::-1]
            shown = np.asarray(picture.convert("RGBA")).astype(int)
        clear = np.kron(empty, np.ones((len(expected) // 3, expected.shape[1] // 2), bool))
        np.testing.assert_array_equal(shown[..., 3] == 0, clear)
        assert np.abs(shown[..., :3] - expected)[~clear].mean() < (20 if side > 2 else 40), "WebP halves colours"
    for beyond in ("7/0_0", "-1/0_0", "0/1_0", "0/0_1", "0/-1_0", f"0/{10**30}_0"):
        assert client.get(f"{GRID}/tiles/{beyond}.webp?way=exact").status_code == 404
    with TestClient(make_app(own, opened(own, None)), BASE) as other:  # after the server was started again
        assert other.get(f"{GRID}?way=exact").json() == said
        assert other.get("/api/codes").json()[0]["grids"] == ["exact"]
    assert ended(client, "/api/grids", {"way": "greedy", "seed": 3})["state"] == "done"
    assert client.get(f"{GRID}?way=greedy").status_code == 404, "another seed is another grid"


def test_tiles_are_not_sent_twice(client: TestClient) -> None:
    ended(client, "/api/grids", {})
    path = f"{GRID}/tiles/3/0_0.webp"
    first = client.get(path)
    again = client.get(path, headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    others = {client.get(f"{GRID}/tiles/{level}/0_0.webp").headers["etag"] for level in range(5)}
    assert len(others) == 5
    ended(client, "/api/grids", {"way": "exact"})
    assert client.get(f"{path}?way=exact").headers["etag"] != first.headers["etag"]


def test_tiles_together_are_the_whole_grid(atlas: Atlas) -> None:
    """A grid of many cells, with each image in many of them."""
    rows, columns, side = 70, 41, 8
    owners = np.random.default_rng(0).integers(0, 6, (rows, columns))

    class Repeated(Grid):
        def owners(self) -> Any:
            return owners

    found = Repeated(
        net="", layer="", way="assignment", rows=rows, columns=columns, cells=np.zeros((6, 2), np.int64), cost=0.0,
        preservation=0.0, complete=True, size=64, labels=(None,) * 6, store=atlas.store,
    )  # fmt: skip
    across = TILE // side
    tiles = [
        [np.asarray(tile_picture(found, side, column, row)) for column in range(-(-columns // across))]
        for row in range(-(-rows // across))
    ]
    whole = np.concatenate([np.concatenate(line, 1) for line in tiles])
    np.testing.assert_array_equal(whole, cells_picture(atlas.store, owners, side))
    assert tile_picture(found, side, 2, 0) is None
    assert tile_picture(found, side, 0, 3) is None


@pytest.mark.parametrize(
    ("size", "levels"),
    [((224, 224), 9), ((32, 40), 7), ((1, 1), 2), ((64, 64), 7), ((65, 10), 8)],
)
def test_the_last_level_is_as_large_as_the_pictures(size: tuple[int, int], levels: int) -> None:
    found = levels_of(*size)
    assert (len(found), found[0]) == (levels, 1)
    assert found[-1] >= max(size)
    assert all(after == 2 * before for before, after in pairwise(found))


def test_neighbours_are_those_of_the_study(client: TestClient, own: Atlas) -> None:
    for row in range(6):
        found = neighbours(own.store, row, 4)
        said = client.get(f"/api/images/{row}/neighbours?k=4&layer={own.code_layer}").json()
        assert said["layer"] == own.code_layer
        assert said["rows"] == found.rows.tolist()
        assert said["pixel_rows"] == found.pixel_rows.tolist()
        np.testing.assert_allclose(said["distances"], found.distances, atol=1e-4)
        np.testing.assert_allclose(said["pixel_distances"], found.pixel_distances, atol=1e-4)
        assert row not in said["rows"] + said["pixel_rows"]
    assert len(client.get("/api/images/0/neighbours?k=100").json()["rows"]) == 5


def test_a_report_has_the_neighbours_that_the_server_gives(client: TestClient, own: Atlas) -> None:
    map_images(own.store)
    recorded = record(own, "", 1500, SILENT, None, 0)
    for row in range(6):
        path = f"api/images/{row}/neighbours?layer={own.code_layer}&k=9"
        assert recorded.answers[path] == client.get(f"/{path}").json()


def test_what_points_are_coloured_by(client: TestClient, own: Atlas) -> None:
    found = unpack(client.get("/api/images.bin").content)
    labels = json.loads(found["labels"].tobytes())
    assert labels == sorted(["two", "other", HOSTILE_LABEL])
    assert [labels[one] for one in found["label"]] == own.images["label"].to_pylist()
    np.testing.assert_array_equal(found["predicted"], own.images["predicted_class"].to_numpy())
    np.testing.assert_allclose(found["probability"], own.images["probability"].to_numpy(), rtol=1e-6)
    verdicts = {True: 1, False: 0, None: 2}
    assert found["correct"].tolist() == [verdicts[one] for one in own.images["correct"].to_pylist()]


def test_rows_and_thumbnails_come_in_the_order_asked_for(client: TestClient) -> None:
    rows = client.get("/api/rows?rows=4,0,4").json()
    assert [one["row"] for one in rows] == [4, 0, 4]
    whole = client.get("/api/images").json()["rows"]
    assert rows[1] == whole[0]
    found = unpack(client.get("/api/thumbnails?rows=4,0,4&side=8").content)["pictures"]
    assert found.dtype == np.uint8
    assert found.shape == (3, 8, 10, 3)
    np.testing.assert_array_equal(found[0], found[2])
    assert unpack(client.get("/api/thumbnails?rows=4").content)["pictures"].shape == (1, 32, 40, 3)


def test_the_last_few_are_kept(own: Atlas) -> None:
    queue = JobQueue()
    layouts = mapping.Layouts(Desk(own, opened(own, None)), queue)
    made: list[int] = []

    def make(number: int) -> int:
        made.append(number)
        return number

    for number in (1, 2, 1, 3, 1, 2):
        assert layouts.once("table", number, partial(make, number)) == number
    assert made == [1, 2, 3, 2]
    assert layouts.once("table", 9, lambda: None) is None
    queue.close()
