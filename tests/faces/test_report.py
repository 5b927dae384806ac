"""The report holds what the atlas holds, in one file that does nothing but show it."""

import base64
import gzip
import hashlib
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from convscope.atlas import Atlas
from convscope.errors import BuildStopped
from convscope.faces.answers.choice import choose_units, exemplary_units
from convscope.faces.answers.images import common_folder
from convscope.faces.answers.patches import Patches
from convscope.faces.answers.rates import wilson
from convscope.faces.offline import embedded
from convscope.faces.report import write_report
from convscope.faces.web.app import make_app
from convscope.faces.web.live import LiveNet
from convscope.watch import Watch
from tests.tiny_atlas import CLASSES, HOSTILE_FILE, HOSTILE_LABEL
from tests.web.test_browsing import unpack


@pytest.fixture(scope="module")
def text(atlas: Atlas, tmp_path_factory: pytest.TempPathFactory) -> str:
    out = tmp_path_factory.mktemp("report") / "report.html"
    assert write_report(atlas, out, note="A note </script> & more.") == out
    return out.read_text("utf-8")


def data_of(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="recorded">(.*?)</script>', text, re.S)
    assert found is not None
    return dict(json.loads(found[1]))


def file_of(data: dict[str, Any], path: str) -> bytes:
    media, content = data["files"][path].split(";base64,")
    found = base64.b64decode(content)
    return gzip.decompress(found) if media == "data:application/gzip" else found


def test_the_answers_are_those_of_the_server(atlas: Atlas, text: str) -> None:
    data = data_of(text)
    assert data["start"] == "#/net"
    with TestClient(
        make_app(atlas, LiveNet(atlas, None), note="A note </script> & more."), "http://localhost"
    ) as client:
        first = client.get("/api/atlas").json()
        assert data["answers"]["api/atlas"] == {**first, "techniques": []}
        assert data["answers"]["api/skipped"] == client.get("/api/skipped").json()
        for name in atlas.layers:
            assert data["answers"][f"api/layers/{name}"] == client.get(f"/api/layers/{name}").json()
            for kind in ("units", "histograms"):
                given = unpack(client.get(f"/api/layers/{name}/{kind}.bin").content)
                kept = unpack(file_of(data, f"api/layers/{name}/{kind}.bin"))
                assert set(kept) == set(given)
                for part, array in kept.items():
                    np.testing.assert_array_equal(array, given[part][: len(array)])  # fewer random directions
        for image in data["answers"]["api/images"]:
            assert image == client.get(f"/api/images/{image['row']}").json()


def test_each_picture_is_in_the_file_once(atlas: Atlas, text: str) -> None:
    data = data_of(text)
    assert [image["row"] for image in data["answers"]["api/images"]] == list(range(len(atlas.images)))
    assert sum(path.endswith("/picture") for path in data["files"]) == len(atlas.images) == 6
    for row in range(6):
        with Image.open(io.BytesIO(file_of(data, f"api/images/{row}/picture")), formats=["WEBP"]) as found:
            difference = np.asarray(found.convert("RGB")).astype(int) - atlas.pixels(row)
        assert np.abs(difference).mean() < 8


def test_hostile_names_stay_text(text: str) -> None:
    data = data_of(text)["answers"]
    assert HOSTILE_LABEL in [image["label"] for image in data["api/images"]]
    assert any(image["name"].endswith(HOSTILE_FILE) for image in data["api/images"])
    assert data["api/atlas"]["net"]["labels"] == CLASSES
    assert data["api/atlas"]["note"] == "A note </script> & more."
    assert "<img src=x" not in text
    assert "alert(1)</script>" not in text
    assert "<title>tiny &#60;net&#62; · Convscope</title>" in text
    assert text.count("</script>") == 2


def test_nothing_is_loaded_from_elsewhere(text: str) -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; script-src 'sha256-")
    assert "img-src data: blob:;" in policy[1]
    assert "unsafe" not in policy[1]
    outside = re.sub(r"<script type=.module.>.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r"<link|<iframe|@import|https?:", outside)
    for tag, kind in (("style", "style"), ('script type="module"', "script")):
        body = text.split(f"<{tag}>")[1].split(f"</{kind}>")[0]
        assert f"{kind}-src 'sha256-{base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()}'" in policy[1]


def test_without_scripts_it_says_what_is_needed(text: str) -> None:
    assert re.search(r"<noscript>.*allow scripts for this page.*</noscript>", text, re.S)


def test_no_path_of_this_machine_is_told(atlas: Atlas, text: str) -> None:
    assert str(atlas.folder.parent) not in text
    assert data_of(text)["answers"]["api/images"][-1]["name"] == "two/b.png"


def test_same_atlas_same_bytes(atlas: Atlas, text: str, tmp_path: Path) -> None:
    out = write_report(atlas, tmp_path / "again.html", note="A note </script> & more.")
    assert out.read_text("utf-8") == text


def test_accuracy_counts_only_labels_that_are_classes(text: str) -> None:
    data = data_of(text)["answers"]["api/atlas"]
    assert data["accuracy"]["of"] == 2
    assert {group["label"]: group["count"] for group in data["groups"]} == {"two": 2, HOSTILE_LABEL: 2, "other": 2}
    assert [group["accuracy"] is None for group in data["groups"]] == [True, True, False]  # <img…, other, two


def test_wilson_interval() -> None:
    assert wilson(8, 10) == pytest.approx((0.4901625, 0.9433178), abs=1e-6)
    assert wilson(0, 10)[0] == 0
    assert wilson(10, 10)[1] == pytest.approx(1)


@pytest.mark.parametrize(
    ("names", "folder"),
    [
        ([], ""),
        (["a.png"], ""),
        (["/x/a/1"], "/x/a/"),
        (["/x/a/1", "/x/a/2"], "/x/a/"),
        (["/x/a/1", "/x/ab/2"], "/x/"),
        (["/x/a", "b"], ""),
    ],
)
def test_common_folder(names: list[str], folder: str) -> None:
    assert common_folder(names) == folder


def test_a_stopped_report_leaves_no_file(atlas: Atlas, tmp_path: Path) -> None:
    class Stopping(Watch):
        def stopped(self) -> bool:
            return True

    with pytest.raises(BuildStopped, match="stopped before the report was written"):
        write_report(atlas, tmp_path / "report.html", watch=Stopping())
    assert not list(tmp_path.iterdir())


def many_patches(units: int, images: int, kind: str = "relu", seed: int = 0) -> Patches:
    generator = np.random.default_rng(seed)
    rows = np.stack([generator.choice(images, 9, replace=False) for _ in range(units)]).astype(np.int32)
    values = -np.sort(-generator.random((units, 9)).astype(np.float32) - 0.1, axis=1)
    places, boxes = (np.zeros((units, 9, size), np.int16) for size in (2, 4))
    return Patches("layer", kind, True, rows, values, places, boxes, values.copy())


def test_all_units_are_shown_where_they_fit() -> None:
    layer = many_patches(40, 100)
    units, rows = choose_units([layer], {}, 100, budget=100)
    assert units["layer"].tolist() == list(range(40))
    assert rows.tolist() == list(range(100))


def test_within_the_budget_units_are_evenly_spaced() -> None:
    layer = many_patches(400, 5000)
    units, rows = choose_units([layer], {"layer": [7]}, 5000, budget=300)
    assert len(rows) <= 300
    assert set(layer.rows[units["layer"]].ravel().tolist()) == set(rows.tolist())
    chosen = units["layer"].tolist()
    assert 7 in chosen
    gaps = np.diff([unit for unit in chosen if unit != 7])
    assert len(chosen) > 25
    assert gaps.max() - gaps.min() <= 1


def test_a_budget_too_small_still_shows_a_unit_of_each_layer() -> None:
    units, rows = choose_units([many_patches(400, 5000)], {}, 5000, budget=3)
    assert len(units["layer"]) == 1
    assert len(rows) == 9


def test_a_smaller_budget_holds_fewer_units(atlas: Atlas, tmp_path: Path) -> None:
    data = data_of(write_report(atlas, tmp_path / "small.html", budget=2).read_text("utf-8"))
    for name in atlas.layers[:2]:
        units = unpack(file_of(data, f"api/layers/{name}/units.bin"))
        assert 0 < len(units["units"]) < atlas.store.followed[name][1]
        rows = units["strongest/rows"]
        assert set(rows[rows >= 0].tolist()) <= {image["row"] for image in data["answers"]["api/images"]}


def test_examples_have_the_highest_activation_of_several_labels() -> None:
    layer = many_patches(50, 90)
    labels = [f"label {row % 3}" for row in range(90)]
    chosen = exemplary_units(layer, labels)
    assert len(chosen) == 3
    assert chosen[0] == max(
        (unit for unit in range(50) if len({labels[row] for row in layer.rows[unit]}) == 3),
        key=lambda unit: layer.values[unit, 0],
    )
    layer.rows[:] = np.arange(9) + 9 * (np.arange(50)[:, None] % 10)
    blocks = [f"label {row // 9}" for row in range(90)]  # no unit has three: the condition falls
    assert exemplary_units(layer, blocks)[0] == layer.values[:, 0].argmax()


def test_examples_are_ranked_by_what_drives_them() -> None:
    layer = many_patches(50, 90, "hardtanh")
    layer.drives[33] += 100
    layer.values[:] = np.minimum(layer.values, 0.5)
    assert exemplary_units(layer, [None] * 90)[0] == 33


def test_json_cannot_leave_its_element() -> None:
    hostile = {"</script><script>": "<!--<script>\u2028&amp;\udc80"}
    assert not re.search("[<>&\u2028]", embedded(hostile))
    assert json.loads(embedded(hostile)) == hostile
