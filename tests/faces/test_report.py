"""The report holds what the atlas holds, in one file that does nothing but show it."""

import base64
import hashlib
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from convscope.atlas import Atlas
from convscope.errors import BuildStopped
from convscope.faces.report import embedded, write_report
from convscope.faces.report.choice import choose_units, exemplary_units
from convscope.faces.report.images import common_folder, wilson
from convscope.faces.report.layers import Patches
from convscope.watch import Watch
from tests.tiny_atlas import CLASSES, HOSTILE_FILE, HOSTILE_LABEL, SILENT_UNIT


@pytest.fixture(scope="module")
def text(atlas: Atlas, tmp_path_factory: pytest.TempPathFactory) -> str:
    out = tmp_path_factory.mktemp("report") / "report.html"
    assert write_report(atlas, out, note="A note </script> & more.") == out
    return out.read_text("utf-8")


def data_of(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    assert found is not None
    return dict(json.loads(found[1]))


def array(text: str, kind: str) -> Any:
    return np.frombuffer(base64.b64decode(text), kind)


def test_patches_are_those_of_the_atlas(atlas: Atlas, text: str) -> None:
    data = data_of(text)
    assert [layer["name"] for layer in data["layers"]] == list(atlas.layers)
    for layer in data["layers"]:
        start, count = atlas.store.followed[layer["name"]]
        units = array(layer["units"], "<i4")
        assert sorted([*units, *layer["never"]]) == list(range(count))
        rows, values, places, boxes = (
            atlas.store.array(f"strongest/{name}")[start + units] for name in ("rows", "values", "places", "boxes")
        )
        assert np.array_equal(array(layer["rows"], "<i4").reshape(rows.shape), rows)
        shown = array(layer["values"], "<f4").reshape(values.shape)
        assert np.array_equal(shown[rows >= 0], values[rows >= 0])
        table = array(layer["table"], "<i2").reshape(-1, 6)[array(layer["cells"], "<i4")].reshape(*rows.shape, 6)
        assert np.array_equal(table[..., :2], places)
        assert np.array_equal(table[..., 2:], boxes)


def test_each_picture_is_in_the_file_once(atlas: Atlas, text: str) -> None:
    data = data_of(text)
    assert array(data["images"]["rows"], "<i4").tolist() == list(range(len(atlas.images)))
    assert len(data["pictures"]) == len(atlas.images) == 6
    for row, picture in enumerate(data["pictures"]):
        with Image.open(io.BytesIO(base64.b64decode(picture)), formats=["WEBP"]) as found:
            difference = np.asarray(found.convert("RGB")).astype(int) - atlas.pixels(row)
        assert np.abs(difference).mean() < 8


def test_silent_and_saturated_units_are_named(text: str) -> None:
    layer = data_of(text)["layers"][0]
    assert layer["never"] == [SILENT_UNIT]
    assert layer["ceiling"] == 6
    rectifier, output = data_of(text)["layers"][1:]
    assert layer["saturated"] == 1
    assert rectifier["ceiling"] is None
    assert not output["silences"]  # a score below 0 says nothing
    assert not output["never"]


def test_hostile_names_stay_text(text: str) -> None:
    data = data_of(text)
    assert HOSTILE_LABEL in data["images"]["labels"]
    assert any(name.endswith(HOSTILE_FILE) for name in data["images"]["names"])
    assert data["net"]["labels"] == CLASSES
    assert data["note"] == "A note </script> & more."
    assert "<img" not in text
    assert "alert(1)</script>" not in text
    assert "<title>tiny &#60;net&#62; · Convscope</title>" in text
    assert text.count("</script>") == 2


def test_nothing_is_loaded_from_elsewhere(text: str) -> None:
    outside = text.replace(
        '"http://www.w3.org/2000/svg"', ""
    )  # the name of a kind of element, which nothing is read from
    assert not re.search(r"https?:|//cdn|@import|url\(|<link|<iframe", outside)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", text)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy[1]
    for tag, kind in (("style", "style"), ('script type="module"', "script")):
        body = text.split(f"<{tag}>")[1].split(f"</{kind}>")[0]
        assert f"{kind}-src 'sha256-{base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()}'" in policy[1]


def test_without_scripts_it_says_what_is_needed(text: str) -> None:
    assert re.search(r"<noscript>.*allow scripts for this page.*</noscript>", text, re.S)


def test_no_path_of_this_machine_is_told(atlas: Atlas, text: str) -> None:
    assert str(atlas.folder.parent) not in text
    assert data_of(text)["images"]["names"][-1] == "two/b.png"


def test_same_atlas_same_bytes(atlas: Atlas, text: str, tmp_path: Path) -> None:
    out = write_report(atlas, tmp_path / "again.html", note="A note </script> & more.")
    assert out.read_text("utf-8") == text


def test_accuracy_counts_only_labels_that_are_classes(text: str) -> None:
    data = data_of(text)
    assert data["accuracy"]["of"] == 2
    assert {group["label"]: group["count"] for group in data["groups"]} == {"two": 2, HOSTILE_LABEL: 2, "other": 2}
    assert [group["accuracy"] is None for group in data["groups"]] == [True, True, False]  # <img…, other, two
    assert [name for name, _ in data["skipped"]] == ["two/broken.png"]


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


def test_budget_is_told(atlas: Atlas, tmp_path: Path) -> None:
    data = data_of(write_report(atlas, tmp_path / "small.html", budget=5).read_text("utf-8"))
    first = data["layers"][0]
    assert first["active"] == 4
    assert array(first["units"], "<i4").size < 4 or len(data["pictures"]) <= 6


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
