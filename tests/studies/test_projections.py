"""Projections of an atlas: values and signals are those of the whole images, units, mistakes, drawing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import convscope
from convscope import Atlas, Net
from convscope.models.backward import RULES, Backward, Method
from convscope.models.cropping import Crops
from convscope.models.patches import Patches, Wanted
from convscope.models.prepared import to_pixels
from convscope.studies.projections import PAGE, Projected, projections
from convscope.technique import Watch
from tests.tiny_atlas import CLASSES, FULL_UNIT, SILENT_UNIT, SIZE, tiny_atlas, tiny_images, tiny_net

METHODS: tuple[Method, ...] = ("deconvnet", "guided_backprop", "saliency")


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    return tiny_atlas(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def net() -> Net:
    return tiny_net()


@pytest.fixture(params=[True, False], ids=["crops", "whole"])
def cropped(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(Crops, "pays", lambda _: request.param)
    return bool(request.param)


def by_hand(atlas: Atlas, net: Net, layer: str, unit: int, one: Projected, method: Method) -> tuple[float, Tensor]:
    """Value and signal on the whole image, all of it."""
    pixels, values = to_pixels(atlas.pixels(one.patch.row)[None]), list[float]()

    def begin(value: Tensor) -> list[Tensor]:
        start, cell = torch.zeros_like(value), (0, unit, *one.patch.place)[: value.ndim]
        values.append(float(value[cell]))
        start[cell] = value[cell] if method == "deconvnet" and layer != "7" else 1
        return [start]

    (signal,) = Backward(net, net.layer(layer), RULES[method]).signals(pixels, begin)
    return values[0], signal[0]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("layer", ["1", "4", "7"])
def test_signals_are_those_of_whole_images(atlas: Atlas, net: Net, cropped: bool, layer: str, method: Method) -> None:
    units = tuple(range(net.layer(layer).units))
    result = projections(atlas.store, net, layer, units=units, method=method)
    assert result.cropped == (cropped and layer != "7")
    assert any(len(row) == 6 for row in result.rows)
    for unit, row in zip(units, result.rows, strict=True):
        for one in row:
            value, whole = by_hand(atlas, net, layer, unit, one, method)
            top, left, bottom, right = (int(edge) for edge in one.patch.input_box)
            expected = whole[:, top:bottom, left:right].numpy()
            np.testing.assert_allclose(one.signal, expected, rtol=1e-4, atol=1e-6)
            assert one.value == pytest.approx(value, abs=1e-6)
            assert one.value == pytest.approx(one.patch.value, abs=1e-5)  # what the build stored
            whole[:, top:bottom, left:right] = 0
            assert not whole.any()


def test_rows_are_the_atlas_own(atlas: Atlas, net: Net) -> None:
    result = projections(atlas.store, net, "4:4", k=3)
    assert result.units == (4,)
    assert result.address == "4:4"
    assert result.quantity == "activation"
    assert result.images == len(atlas.images)
    kept = [patch for patch in atlas.exemplars("4:4", k=3) if patch.value]
    assert [one.patch.row for one in result.rows[0]] == [patch.row for patch in kept]
    assert [one.patch.place for one in result.rows[0]] == [patch.place for patch in kept]
    for k in (1, 2, 100):
        found = projections(atlas.store, net, "1:1", k=k)
        assert len(found.rows[0]) == min(k, 6)
        values = [one.value for one in found.rows[0]]
        assert values == sorted(values, reverse=True)


def test_a_page_begins_with_the_units_that_are_alive(atlas: Atlas, net: Net) -> None:
    page = projections(atlas.store, net, "1")
    assert page.units == (0, 1, 3, 4)
    assert SILENT_UNIT not in page.units
    assert len(page.units) <= PAGE
    assert page.address == "1"
    assert atlas.projections(net, "1").units == page.units
    chosen = projections(atlas.store, net, "1", units=(4, 0, 4))
    assert chosen.units == (4, 0, 4)
    for mine, theirs in zip(chosen.rows[1], page.rows[0], strict=True):
        np.testing.assert_allclose(mine.signal, theirs.signal, rtol=1e-5, atol=1e-7)
        assert mine.patch.row == theirs.patch.row


def test_classes_have_names(atlas: Atlas, net: Net) -> None:
    one, named = (projections(atlas.store, net, address) for address in ("class:1", "class:two"))
    assert one.units == named.units == (1,)
    assert one.unit_names == (CLASSES[1],)
    assert one.quantity == "score (logit)"
    assert len(one.rows[0]) == 6  # a score below 0 is a score
    assert one.rows[0][0].signal.shape == (3, *SIZE)
    assert projections(atlas.store, net, "4:0").unit_names == ("",)


def test_a_page_of_classes_has_all_of_them(tmp_path: Path) -> None:
    """Also those whose greatest score is below 0; of another layer units that are silent are left out."""
    low = tiny_net()
    low = low.with_weights({**low.weights, "7.bias": torch.tensor([-100.0, 100.0, -100.0])})
    atlas = convscope.build(tiny_images(tmp_path / "images"), low, tmp_path / "atlas")
    page = atlas.projections(low, "class")
    assert page.units == (0, 1, 2)
    assert [len(row) for row in page.rows] == [6, 6, 6]
    assert page.rows[0][0].value < 0
    assert SILENT_UNIT not in atlas.projections(low, "1").units


@pytest.mark.parametrize("method", METHODS)
def test_the_caption_says_what_signals_begin_with(atlas: Atlas, net: Net, method: Method) -> None:
    for address, begun in (
        ("4:4", "beginning with the activation"),
        ("4", "beginning with the activation"),
        ("class:0", "beginning with 1"),
        ("class", "beginning with 1"),
    ):
        (panel,) = convscope.draw(projections(atlas.store, net, address, method=method))
        assert (begun in panel.caption) == (method == "deconvnet")
        assert "beginning" not in panel.caption.replace(begun, "")


def test_a_unit_at_its_ceiling(atlas: Atlas, net: Net) -> None:
    found = projections(atlas.store, net, f"1:{FULL_UNIT}")
    assert [one.value for one in found.rows[0]] == [6.0] * 6
    assert not any(one.signal.any() for one in found.rows[0])  # its weights are 0


def test_a_silent_unit_has_no_patches_and_says_so(atlas: Atlas, net: Net, tmp_path: Path) -> None:
    for method in METHODS:
        silent = projections(atlas.store, net, f"1:{SILENT_UNIT}", method=method)
        assert silent.rows == ((),)
        (panel,) = convscope.draw(silent)
        assert "is silent: none of 6 images excites it" in panel.caption
        for suffix in (".png", ".html", ".npz"):
            assert silent.save(tmp_path / f"silent{suffix}").stat().st_size > 100
    assert silent.lines() == [["unit", "value", "place", "greatest |signal|", "image"]]
    (page,) = convscope.draw(projections(atlas.store, net, "1", units=(SILENT_UNIT, 0)))
    footers = [tile["footer"] for row in page.numbers()["rows"] for tile in row["tiles"]]
    assert footers[:2] == [f"unit {SILENT_UNIT}: silent", ""]
    assert footers[2].startswith("unit 0: ")
    assert footers[3] == "its patches"


def test_mistakes_are_named(atlas: Atlas, net: Net) -> None:
    other = net.with_weights({**net.weights, "0.bias": torch.zeros(5)})
    with pytest.raises(convscope.BadOption, match=r"is not the network of this atlas(?s:.*)hint: the atlas was built"):
        projections(atlas.store, other, "1:0")
    cases: list[tuple[str, dict[str, Any], str, str]] = [
        ("1", {"units": (5,)}, "BadAddress", "1 has 5 units, so 5 is none"),
        ("1", {"units": (0, -1)}, "BadAddress", "so -1 is none"),
        ("1:5", {}, "BadAddress", "1 has 5 units, so 5 is none"),
        ("1:0", {"units": (1, 2)}, "BadOption", "1:0 is one unit"),
        ("0:1", {}, "BadAddress", "the build did not follow 0"),
        ("11:1", {}, "UnknownLayer", "no layer '11'"),
        ("class:wolf", {}, "BadAddress", "no class 'wolf'"),
        ("1:0@3,4", {}, "BadAddress", '1:0@3,4 names a place, and each patch has its own\n\nhint: leave it out: "1:0"'),
        ("class:1@0,0", {}, "BadAddress", 'hint: leave it out: "class:1"'),
        ("1:0", {"k": 0}, "BadOption", "k is 0"),
        ("1:0", {"method": "lime"}, "BadOption", "method is 'lime'"),
        ("1:0", {"unit": 1}, "BadOption", "did you mean 'units'?"),
    ]
    for address, options, error, words in cases:
        with pytest.raises(getattr(convscope, error)) as refused:
            projections(atlas.store, net, address, **options)
        assert words in str(refused.value), address


class Counting(Watch):
    def __init__(self) -> None:
        self.told: list[tuple[int, int, str]] = []

    def progress(self, done: int, total: int, unit: str) -> None:
        self.told.append((done, total, unit))


def test_progress_is_told(atlas: Atlas, net: Net, cropped: bool) -> None:
    watch = Counting()
    found = projections(atlas.store, net, "1", watch=watch)
    count = sum(map(len, found.rows))
    assert watch.told[-1] == (count, count, "patches")


@pytest.mark.parametrize("address", ["4:4", "4", "class:0"])
@pytest.mark.parametrize("method", ["deconvnet", "guided_backprop"])
def test_results_can_be_kept(atlas: Atlas, net: Net, address: str, method: Method, tmp_path: Path) -> None:
    result = projections(atlas.store, net, address, method=method)
    flat = [one for row in result.rows for one in row]
    assert len(result.lines()) == 1 + len(flat)
    with np.load(result.save(tmp_path / "r.npz")) as saved:
        assert tuple(saved["units"].tolist()) == result.units
        assert len(saved["values"]) == len(saved["unit_of"]) == len(flat)
        assert saved["boxes"].shape == saved["input_boxes"].shape == (len(flat), 4)
        np.testing.assert_array_equal(saved[f"signal {len(flat) - 1}"], flat[-1].signal)
    assert result.save(tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")
    html = result.save(tmp_path / "r.html").read_text(encoding="utf-8")
    assert "<html" in html
    assert "<img src=x" not in html
    assert "<b onmouseover" not in html
    assert "tiny <net>" not in html
    (panel,) = convscope.draw(result)
    assert panel.kind == "tiles"
    assert "mid-grey is 0" in panel.caption


def test_patches_come_in_the_order_asked(atlas: Atlas, net: Net, cropped: bool) -> None:
    layer, random = net.layer("4"), np.random.default_rng(0)
    wanted = [
        Wanted(int(random.integers(6)), int(random.integers(6)), convscope.Place(int(row), int(column)))
        for row, column in zip(
            random.integers(0, layer.shape[1], 80), random.integers(0, layer.shape[2], 80), strict=True
        )
    ]
    known = [to_pixels(atlas.pixels(row)[None])[0] for row in range(6)]
    values, signals = Patches(net, layer, "gradient").signals(wanted, known.__getitem__)
    outputs = net.outputs(torch.stack(known), ["4"])["4"]
    for one, value, signal in zip(wanted, values, signals, strict=True):
        assert value == pytest.approx(float(outputs[one.image, one.unit, one.place.row, one.place.column]), abs=1e-5)
        assert not signal.any() or value > 0
    empty, none = Patches(net, layer, "gradient").signals([], known.__getitem__)
    assert (empty.shape, none) == ((0,), [])


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_within_no_grad_and_inference_mode(atlas: Atlas, net: Net, cropped: bool, mode: Any) -> None:
    expected = projections(atlas.store, net, "4:4")
    with mode():
        found = projections(atlas.store, net, "4:4")
    for one, other in zip(found.rows[0], expected.rows[0], strict=True):
        np.testing.assert_array_equal(one.signal, other.signal)


@pytest.mark.heavy
def test_the_command(atlas: Atlas, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.faces.test_techniques import run

    target = tmp_path / "page.png"
    factory = ("--net", "tests.nets:small_classifier")
    folder = tmp_path / "atlas"
    code, out, words = run(capsys, "build", atlas.folder.parent / "images", "--out", folder, *factory)
    assert code == 0, words
    code, out, words = run(capsys, "projections", folder, "5", *factory, "--save", target)
    assert (code, out) == (0, f"{target}\n"), words
    assert target.read_bytes().startswith(b"\x89PNG")
    code, out, words = run(capsys, "projections", folder, "5:3", *factory, "--k", "2")
    assert code == 0, words
    assert out.splitlines()[0].split("\t")[0] == "unit"
    code, out, words = run(capsys, "projections", atlas.folder, "4:4", *factory)
    assert code == 2
    assert "is not the network of this atlas" in words
