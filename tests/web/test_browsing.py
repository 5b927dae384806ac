"""What the server tells of an atlas: the same as Python does."""

import io
import json
import threading

import numpy as np
from PIL import Image
from starlette.testclient import TestClient

from convscope.atlas import Atlas
from convscope.faces.answers.arrays import pack_arrays
from convscope.faces.web.browsing import Desk
from convscope.faces.web.live import LiveNet
from tests.tiny_atlas import CLASSES, FULL_UNIT, HOSTILE_FILE, HOSTILE_LABEL, SILENT_UNIT
from tests.web.conftest import TECHNIQUES


def unpack(content: bytes) -> dict[str, np.ndarray]:
    """The arrays of an answer, as the page reads them."""
    length = int.from_bytes(content[:4], "little")
    at, found = -(-(4 + length) // 8) * 8, {}
    for name, (kind, shape) in json.loads(content[4 : 4 + length]).items():
        array = np.frombuffer(content, kind, int(np.prod(shape)), at).reshape(shape)
        found[name] = array
        at = -(-(at + array.nbytes) // 8) * 8
    return found


def test_arrays_survive_the_way() -> None:
    given = {"a": np.arange(6, dtype=np.int64).reshape(2, 3), "b": np.array([0.5, np.nan]), "c": np.array([True, False, True]),
             "d": np.zeros((0, 4), np.int16), "e": np.float32(2), "f": np.arange(5, dtype=">f8")[::2]}  # fmt: skip
    found = unpack(pack_arrays({name: np.asarray(array) for name, array in given.items()}))
    assert {name: array.dtype.str for name, array in found.items()} == {
        "a": "<i4",
        "b": "<f4",
        "c": "|u1",
        "d": "<i2",
        "e": "<f4",
        "f": "<f4",
    }
    for name, array in given.items():
        np.testing.assert_array_equal(found[name], array)


def test_overview(client: TestClient, atlas: Atlas) -> None:
    found = client.get("/api/atlas").json()
    assert (found["note"], found["count"], found["skipped"]) == ("A note.", 6, 1)
    assert found["health"]["layers"] == list(atlas.layers)
    assert found["health"]["dead"] == [*(int(atlas.vitals(name).dead.sum()) for name in atlas.layers[:2]), None]
    assert found["net"]["labels"] == CLASSES
    inputs = {record["name"]: record["inputs"] for record in found["net"]["layers"]}
    assert inputs["0"] == ["input"]
    assert inputs["1"] == ["0"]
    assert found["accuracy"]["of"] == 2
    wrong = sum(one["count"] for one in found["confusions"])
    assert found["accuracy"]["right"] + wrong == 2
    assert {form["name"] for form in found["techniques"]} == set(TECHNIQUES)


def test_units_are_those_of_python(client: TestClient, atlas: Atlas) -> None:
    for layer in atlas.layers:
        found = unpack(client.get(f"/api/layers/{layer}/units.bin").content)
        vitals = atlas.vitals(layer)
        np.testing.assert_array_equal(found["maximum"], vitals.maximum)
        np.testing.assert_array_equal(found["activeImages"], vitals.active_images)
        for unit in range(len(vitals.maximum)):
            patches = atlas.exemplars(f"{layer}:{unit}")
            kept = found["strongest/rows"][unit]
            assert kept[kept >= 0].tolist() == [patch.row for patch in patches]
            assert found["strongest/boxes"][unit][: len(patches)].tolist() == [
                list(patch.input_box) for patch in patches
            ]
            assert found["directions/rows"].shape[0] == 16
        histograms = unpack(client.get(f"/api/layers/{layer}/histograms.bin").content)
        np.testing.assert_array_equal(histograms["counts"], vitals.histogram)
    assert unpack(client.get("/api/layers/1/units.bin").content)["state"][SILENT_UNIT] & 1


def test_layers_by_any_name_and_others(client: TestClient, atlas: Atlas) -> None:
    page = client.get("/api/layers/1").json()
    assert (page["dead"], page["saturated"], page["ceiling"]) == (1, 1, 6)
    assert atlas.vitals("1").maximum[FULL_UNIT] == 6
    assert client.get("/api/layers/class").json()["quantity"] == "score (logit)"
    missing = client.get("/api/layers/conv2")
    assert missing.status_code == 404
    assert "conv2" in missing.json()["problem"]
    assert client.get("/api/layers/0").status_code == 404  # it was not followed
    assert "followed are" in client.get("/api/layers/0").json()["hint"]


def test_images_are_found_and_paged(client: TestClient, atlas: Atlas) -> None:
    every = client.get("/api/images").json()
    assert (every["total"], len(every["rows"])) == (6, 6)
    two = client.get("/api/images", params={"offset": 4, "count": 1}).json()
    assert (two["total"], [row["row"] for row in two["rows"]]) == (6, [4])
    labelled = client.get("/api/images", params={"label": HOSTILE_LABEL}).json()
    assert (labelled["total"], {row["label"] for row in labelled["rows"]}) == (2, {HOSTILE_LABEL})
    assert client.get("/api/images", params={"label": ""}).json()["total"] == 0
    assert client.get("/api/images", params={"search": HOSTILE_FILE[:5].upper()}).json()["total"] == 1
    right = client.get("/api/images", params={"correct": True}).json()["total"]
    assert right + client.get("/api/images", params={"correct": False}).json()["total"] == 2
    best = atlas.images["predicted_class"].to_pylist()
    assert client.get("/api/images", params={"predicted": best[0]}).json()["total"] == best.count(best[0])


def test_one_image(client: TestClient, atlas: Atlas) -> None:
    found = client.get("/api/images/2").json()
    assert (found["height"], found["width"], len(found["top"])) == (32, 40, 3)
    assert found["probability"] == round(atlas.images["probability"][2].as_py(), 4)
    for row in ("6", "-1", "1e3", "x", "9" * 30):
        assert client.get(f"/api/images/{row}").status_code == 404
    answer = client.get("/api/images/2/picture")
    with Image.open(io.BytesIO(answer.content)) as picture:
        np.testing.assert_array_equal(np.asarray(picture.convert("RGB")), atlas.pixels(2))
    again = client.get("/api/images/2/picture", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/api/images/3/picture", headers={"if-none-match": answer.headers["etag"]}).status_code == 200


def test_several_pictures_in_one_answer(client: TestClient, atlas: Atlas) -> None:
    found = unpack(client.get("/api/pictures", params={"rows": "5,0,2"}).content)
    assert list(found) == ["row5", "row0", "row2"]
    assert all(found[f"row{row}"].tobytes() == atlas.store.packed(row) for row in (5, 0, 2))
    for rows, status in {"0,9999": 404, "": 404, "0,a": 404, "-1": 404, "0," * 251: 422}.items():
        assert client.get("/api/pictures", params={"rows": rows}).status_code == status


def test_layers_are_prepared_until_the_server_ends(atlas: Atlas) -> None:
    desk, ended = Desk(atlas, LiveNet(atlas, None)), threading.Event()
    ended.set()
    desk.prepare(ended)
    assert not desk.layer.cache_info().currsize  # type: ignore[attr-defined]
    desk.prepare(threading.Event())
    assert desk.layer.cache_info().currsize == desk.units.cache_info().currsize == len(atlas.layers)  # type: ignore[attr-defined]


def test_skipped(client: TestClient) -> None:
    ((name, reason),) = client.get("/api/skipped").json()
    assert name.endswith("two/broken.png")
    assert reason


def test_without_its_network_all_that_the_atlas_holds_shows(alone: TestClient, atlas: Atlas) -> None:
    for path in (
        "/api/atlas",
        f"/api/layers/{atlas.layers[0]}",
        f"/api/layers/{atlas.layers[0]}/units.bin",
        "/api/images/0/picture",
    ):
        assert alone.get(path).status_code == 200
    assert alone.get("/api/live").json()["reason"] == "the network 'tiny' was not given"
    for path in ("/api/maps?image=0&layer=1", "/api/fields?layer=1", "/api/weights?layer=1&unit=0"):
        answer = alone.get(path)
        assert answer.status_code == 409
        assert answer.json() == {"problem": "the network 'tiny' was not given", "hint": "--net NAME"}
    assert alone.post("/api/run/activations", json={"image": "0", "layer": "1"}).status_code == 409
    assert alone.post("/api/uploads", content=b"x").status_code == 409
