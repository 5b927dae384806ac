"""The square on the page: what the net says behind it."""

import io
import json
import threading
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient
from torch import Tensor

from convscope.atlas import Atlas
from convscope.errors import UnreadableImage
from convscope.faces.web import hiding
from convscope.faces.web.app import make_app
from convscope.faces.web.hiding import Hiding, Square
from convscope.models.incremental.engine import Incremental
from convscope.models.occluders import Fill, make_occluder
from convscope.models.prepared import to_pixels
from tests.tiny_atlas import SIZE, tiny_net
from tests.web.conftest import BASE, opened
from tests.web.test_working import png

JSON = {"content-type": "application/json"}
FILLS = ("zero", "mean", "grey", "blur", "noise")


def hidden(pixels: Tensor, fill: Fill, corner: tuple[int, int], sides: tuple[int, int], seed: int = 0) -> Tensor:
    """The image with the square over it, pixel by pixel; what of the square lies outside the image is cut off."""
    occluder = make_occluder(tiny_net(), pixels, fill, sides, seed).pixels
    covered = pixels.clone()
    for down, right in np.ndindex(sides):
        row, column = corner[0] + down, corner[1] + right
        if 0 <= row < SIZE[0] and 0 <= column < SIZE[1]:
            place = {"blur": (row, column), "noise": (down, right)}.get(str(fill), (0, 0))
            covered[0, :, row, column] = occluder[:, place[0], place[1]]
    return covered


@pytest.mark.parametrize(
    "fill", [fill if fill in ("zero", "noise") else pytest.param(fill, marks=pytest.mark.heavy) for fill in FILLS]
)
def test_it_is_what_the_net_says_of_the_really_occluded_image(client: TestClient, atlas: Atlas, fill: Fill) -> None:
    net = tiny_net()
    for image, top, left, window, sides in (
        ("3", 0, 0, "9", (9, 9)), ("3", 20, 31, "12x9", (12, 9)), ("2", 31, 39, "5", (5, 5)), ("2", 4, 7, "32x40", SIZE),
        ("2", -3, -4, "8", (8, 8)),
    ):  # fmt: skip
        body = {"image": image, "top": top, "left": left, "window": window, "fill": fill, "seed": 4}
        answer = client.post("/api/occlude", json=body)
        assert answer.status_code == 200, answer.text
        found = answer.json()
        box = max(top, 0), max(left, 0), min(top + sides[0], SIZE[0]), min(left + sides[1], SIZE[1])
        assert found["box"] == list(box)
        pixels = to_pixels(atlas.pixels(int(image))[None])
        clean = net.scores(pixels).double().softmax(1)[0]
        now = net.scores(hidden(pixels, fill, (top, left), sides, 4)).double().softmax(1)[0]
        assert [one for one, _ in found["before"]] == clean.argsort(descending=True).tolist()
        assert [one for one, _ in found["top"]] == now.argsort(descending=True).tolist()
        np.testing.assert_allclose(
            [p for _, p in found["before"]], clean.sort(descending=True).values.detach(), atol=1e-5
        )
        np.testing.assert_allclose([p for _, p in found["top"]], now.sort(descending=True).values.detach(), atol=1e-4)
        order = [one for one, _ in found["before"]]
        np.testing.assert_allclose(found["now"], now[order].detach(), atol=1e-4)
        assert found["milliseconds"] > 0


def test_its_scores_are_those_of_the_really_occluded_image(atlas: Atlas) -> None:
    net = tiny_net()
    pixels = to_pixels(atlas.pixels(1)[None])
    looked = hiding.Looked(net, "1", pixels)
    for top, left in ((0, 0), (3, 30), (25, 17)):
        square = Square(image="1", top=top, left=left, window="7", fill="noise", seed=1)
        found = looked.behind(square, (7, 7)).log()
        real = net.scores(hidden(pixels, "noise", (top, left), (7, 7), 1))[0].detach().double()
        np.testing.assert_allclose(found - found[0], real - real[0], atol=1e-4)


def test_the_last_image_stays_ready(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def counted(name: str, make: Callable[..., object]) -> Callable[..., object]:
        return lambda *given: (made.append(name), make(*given))[1]

    monkeypatch.setattr(hiding, "Incremental", counted("looked", hiding.Incremental))
    monkeypatch.setattr(hiding, "everywhere", counted("planned", hiding.everywhere))
    monkeypatch.setattr(hiding, "make_occluder", counted("filled", hiding.make_occluder))
    body = {"image": "4", "top": 1, "left": 1, "window": "8"}

    def ask(**change: object) -> list[str]:
        made.clear()
        assert client.post("/api/occlude", json={**body, **change}).status_code == 200
        return list(made)

    assert ask() == ["looked", "planned", "filled"]
    assert ask(top=20) == []
    assert ask(fill="blur") == ["filled"]
    assert ask(fill="blur", left=9) == []
    assert ask(fill="blur", window="9") == ["planned", "filled"]
    assert ask(image="5") == ["looked", "planned", "filled"]


def test_an_upload_is_an_image_like_any_other(client: TestClient) -> None:
    image = client.post("/api/uploads", content=png()).json()["image"]
    found = client.post("/api/occlude", json={"image": image, "top": 5, "left": 5, "window": 6}).json()
    assert [one for one, _ in found["before"]] == [one for one, _ in client.get(f"/api/images/{image}").json()["top"]]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"window": "33"}, "window"), ({"window": "32x41"}, "window"), ({"window": "0"}, "window"),
        ({"window": "nonsense"}, "window"), ({"window": "9" * 5000}, "window"), ({"window": [8, 8]}, "window"),
        ({"window": None}, "window"), ({"window": -1}, "window"),
        ({"top": "4"}, "top"), ({"top": 1.5}, "top"), ({"top": None}, "top"), ({"top": True}, "top"),
        ({"top": 32}, "top"), ({"top": -8}, "top"), ({"left": 40}, "left"), ({"left": 10**30}, "left"),
        ({"fill": "red"}, "fill"), ({"fill": [0, 0, 0]}, "fill"), ({"seed": -1}, "seed"), ({"seed": 2**64}, "seed"),
        ({"image": None}, "image"), ({"image": "\ud800"}, ""), ({"size": 3}, ""),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(client: TestClient, change: dict[str, object], field: str) -> None:
    body = json.dumps({"image": "0", "top": 1, "left": 1, "window": "8", **change})
    answer = client.post("/api/occlude", content=body, headers=JSON)
    assert answer.status_code == 422
    said = answer.json()
    assert said["problem"]
    assert said["hint"]
    assert not field or said["field"] == field


def test_numbers_that_are_none_and_bodies_that_are_none(client: TestClient) -> None:
    for value in ("NaN", "Infinity", "-Infinity", "1e999"):
        answer = client.post("/api/occlude", content=f'{{"image": "0", "top": {value}, "left": 1}}', headers=JSON)
        assert (answer.status_code, answer.json()["field"]) == (422, "top")
    assert client.post("/api/occlude", json=[1]).status_code == 422
    assert client.post("/api/occlude", json={"image": "0", "left": 1}).json()["field"] == "top"
    for image, status in (("6", 404), ("upload-nothing", 404), ("-1", 404), (7, 404), (0, 200)):
        answer = client.post("/api/occlude", json={"image": image, "top": 1, "left": 1, "window": 8})
        assert answer.status_code == status
        assert status == 200 or answer.json()["field"] == "image"


def test_without_its_network(alone: TestClient) -> None:
    for answer in (
        alone.post("/api/occlude", json={"image": "0", "top": 1, "left": 1}),
        alone.get("/api/occluder.webp?image=0"),
    ):
        assert answer.status_code == 409
        assert answer.json()["hint"] == "--net NAME"


@pytest.mark.parametrize("fill", FILLS)
def test_the_picture_is_what_the_square_shows(client: TestClient, atlas: Atlas, fill: Fill) -> None:
    answer = client.get("/api/occluder.webp", params={"image": "3", "window": "8x6", "fill": fill, "seed": 4})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/webp")
    expected = make_occluder(tiny_net(), to_pixels(atlas.pixels(3)[None]), fill, (8, 6), 4).pixels
    with Image.open(io.BytesIO(answer.content)) as shown:
        assert shown.size == {"blur": SIZE[::-1], "noise": (6, 8)}.get(fill, (1, 1))
        found = np.asarray(shown.convert("RGB")) / 255
    np.testing.assert_allclose(found, expected.permute(1, 2, 0), atol=0.51 / 255)
    again = client.get(
        "/api/occluder.webp",
        params={"image": "3", "window": "8x6", "fill": fill, "seed": 4},
        headers={"if-none-match": answer.headers["etag"]},
    )
    assert again.status_code == 304


def test_a_picture_that_is_none_is_named(client: TestClient) -> None:
    for query, status in (
        ("image=9", 404),
        ("image=0&window=99", 422),
        ("image=0&window=x", 422),
        ("image=0&fill=red", 422),
        ("image=0&seed=-1", 422),
        ("", 422),
    ):
        answer = client.get(f"/api/occluder.webp?{query}")
        assert answer.status_code == status
        assert answer.json()["problem"]


def test_scores_that_are_no_numbers_are_said(atlas: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    squares = Hiding(opened(atlas))
    square = Square(image="0", top=1, left=1, window="8")
    squares.look(square)
    looked = squares.looked
    assert looked is not None
    broken = torch.tensor([1.0, float("nan"), 0.0])
    with pytest.raises(UnreadableImage, match="not finite"):
        hiding.probabilities(broken)
    monkeypatch.setattr(Incremental, "scores", property(lambda _: broken))
    with pytest.raises(UnreadableImage, match="not finite"):
        squares.look(square.model_copy(update={"image": "1"}))
    assert squares.looked is None  # nothing half ready stays


def test_many_hands_at_once(client: TestClient) -> None:
    """Pages that drag over other images, with other windows: no answer is another's."""
    bodies = [{"image": str(image), "top": image, "left": 3, "window": str(6 + image % 2)} for image in range(4)]
    expected = [client.post("/api/occlude", json=body).json() for body in bodies]
    wrong: list[object] = []

    def drag(number: int) -> None:
        for _ in range(10):
            found = client.post("/api/occlude", json=bodies[number]).json()
            if found["top"] != expected[number]["top"] or found["before"] != expected[number]["before"]:
                wrong.append(found)

    threads = [threading.Thread(target=drag, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_it_is_in_the_schema(client: TestClient) -> None:
    paths = client.get("/api/openapi.json").json()["paths"]
    schema = paths["/api/occlude"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(schema["properties"]) >= {"image", "top", "left", "window", "fill"}
    assert schema["required"] == ["image", "top", "left"]
    assert "/api/occluder.webp" in paths


@pytest.mark.parametrize("state", ["opening", "off"])
def test_while_the_network_opens(atlas: Atlas, state: str) -> None:
    live = opened(atlas)
    live._net, live.state = None, state
    with TestClient(make_app(atlas, live), BASE) as found:
        answer = found.post("/api/occlude", json={"image": "0", "top": 1, "left": 1, "window": "8"})
    assert answer.status_code == (200 if live.state == "on" else 409)
