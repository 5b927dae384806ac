"""What a unit's patches send back to the pixels: the page's route."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from starlette.testclient import TestClient
from torch import nn

import convscope
from convscope.atlas import Atlas
from convscope.faces.web import projecting
from convscope.faces.web.app import make_app
from convscope.faces.web.projecting import Projecting
from convscope.render.gradient import about_grey
from convscope.studies.projections import Method, projections
from tests.tiny_atlas import CLASSES, SILENT_UNIT, SIZE, tiny_images, tiny_net
from tests.web.conftest import BASE, opened
from tests.web.test_browsing import unpack

METHODS: tuple[Method, ...] = ("deconvnet", "guided_backprop", "saliency")
PATH = "/api/projections"


@pytest.mark.parametrize("method", METHODS)
def test_it_is_the_study_in_the_frames_of_the_patches(client: TestClient, atlas: Atlas, method: Method) -> None:
    net = tiny_net()
    filled = 0
    asked = [("1", 0, 9), ("class", 1, 9), ("1", SILENT_UNIT, 9), *(("4", unit, 4) for unit in range(6))]
    for layer, unit, k in asked:
        answer = client.get(PATH, params={"layer": layer, "unit": unit, "method": method, "k": k})
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/octet-stream")
        found = unpack(answer.content)
        (expected,) = projections(atlas.store, net, f"{layer}:{unit}", k=k, method=method).rows
        name = str(net.layer("7").name) if layer == "class" else layer
        units = unpack(client.get(f"/api/layers/{name}/units.bin").content)
        for part in ("rows", "places", "boxes"):  # the page puts them below the tiles that it has
            excited = (units["strongest/values"][unit][:k] != 0) | (layer == "class")
            own = units[f"strongest/{part}"][unit][:k]
            np.testing.assert_array_equal(found[part], own[(units["strongest/rows"][unit][:k] >= 0) & excited])
        np.testing.assert_allclose(found["values"], [one.value for one in expected], rtol=1e-5)
        np.testing.assert_allclose(
            found["greatest"], [np.abs(one.signal).max(initial=0) for one in expected], rtol=1e-5
        )
        assert sum(name.startswith("picture") for name in found) == len(expected)
        filled += len(expected)
        for number, one in enumerate(expected):
            shown, (top, left, bottom, right) = found[f"picture{number}"], found["boxes"][number]
            assert shown.dtype == np.uint8
            assert shown.shape == (bottom - top, right - left, 3)
            np.testing.assert_allclose(shown.astype(int), about_grey(one.signal).astype(int), atol=1)
            assert bool(found["greatest"][number]) == bool((shown != 128).any())
    assert filled > 20


def test_what_is_wrong_is_named(client: TestClient) -> None:
    for query, status, words in (
        ("layer=1&unit=5", 404, "5 units"),
        ("layer=nowhere&unit=0", 404, "no layer"),
        ("layer=2&unit=0", 404, "did not follow"),
        ("layer=1:3&unit=0", 404, "no layer"),
        ("layer=1", 422, "unit"),
        ("unit=1", 422, "layer"),
        ("layer=1&unit=-1", 422, "unit"),
        ("layer=1&unit=x", 422, "unit"),
        ("layer=1&unit=0&method=magic", 422, "method"),
        ("layer=1&unit=0&k=0", 422, "k"),
        ("layer=1&unit=0&k=10", 422, "k"),
    ):
        answer = client.get(f"{PATH}?{query}")
        assert (answer.status_code, query) == (status, query)
        assert words in answer.json()["problem"]


def test_without_its_network(alone: TestClient) -> None:
    answer = alone.get(f"{PATH}?layer=1&unit=0")
    assert (answer.status_code, answer.json()["hint"]) == (409, "--net NAME")


def smooth() -> convscope.Net:
    """A net without rectifiers, which the rules of deconvnet and guided backprop are about."""
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    return convscope.Net(nn.Sequential(*layers), size=SIZE, labels=CLASSES, name="smooth")


def test_a_method_that_has_no_rule_for_the_net_says_so(tmp_path: Path) -> None:
    atlas = convscope.build(tiny_images(tmp_path / "images"), smooth(), tmp_path / "atlas")
    with TestClient(make_app(atlas, opened(atlas, smooth)), BASE) as client:
        for method in METHODS[:2]:
            answer = client.get(f"{PATH}?layer=class&unit=0&method={method}")
            assert answer.status_code == 422
            assert answer.json()["problem"]
            assert "saliency" in answer.json()["hint"]
        assert client.get(f"{PATH}?layer=class&unit=0&method=saliency").status_code == 200


def test_the_last_few_are_kept_and_made_one_at_a_time(atlas: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    running, most, made = 0, 0, 0

    def counted(*given: object, **options: object) -> object:
        nonlocal running, most, made
        running, made = running + 1, made + 1
        most = max(most, running)
        time.sleep(0.005)
        found = projections(*given, **options)  # type: ignore[arg-type]
        running -= 1
        return found

    monkeypatch.setattr(projecting, "projections", counted)
    live = opened(atlas)
    desk, found = Projecting(live), dict[tuple[int, Method], set[bytes]]()

    def ask() -> None:
        for unit in range(3):
            for method in METHODS:
                found.setdefault((unit, method), set()).add(desk.answer("4", unit, method, 9))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, made) == (1, 9)
    assert all(len(answers) == 1 for answers in found.values())
    with live.lock:  # what is known does not wait for the network
        assert desk.answer("4", 0, "saliency", 9) in found[0, "saliency"]
    monkeypatch.setattr(projecting, "KEPT", 4)
    desk.answer("4", 3, "saliency", 9)
    assert len(desk.kept) == 4
    assert next(reversed(desk.kept)) == ("4", 3, "saliency", 9)
