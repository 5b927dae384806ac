"""What is odd: factories that exit, networks with infinities, half characters, two atlases at one address."""

import json
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from starlette.testclient import TestClient
from torch import nn

import convscope
from convscope.atlas import Atlas
from convscope.errors import BadAtlas, BadOption, UnreadableImage
from convscope.faces.answers.images import ImageList
from convscope.faces.answers.rates import groups
from convscope.faces.report import write_report
from convscope.faces.web import browsing, drawing, live
from convscope.faces.web.app import make_app
from convscope.faces.web.drawing import DRAWING, file_of
from convscope.faces.web.serve import listen
from tests.tiny_atlas import SIZE, tiny_images, tiny_net
from tests.web.conftest import BASE, opened, until
from tests.web.test_working import png


class Infinite(nn.Module):
    """Infinite inside, finite at its end."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.inner, self.outer, self.head = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.ReLU(), nn.Linear(4, 3)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        turned = self.outer(1 / self.inner(self.conv(pixels)))
        return self.head(torch.exp(-turned).mean((2, 3)))


def test_a_network_with_infinities_inside_has_an_atlas_and_a_page(tmp_path: Path) -> None:
    net = convscope.Net(Infinite(), size=SIZE)
    atlas = convscope.build(tiny_images(tmp_path / "images"), net, tmp_path / "atlas")
    scales = atlas.store.manifest["maps"]["scales"]
    assert all(of_image[1] is None and of_image[0] is not None for of_image in scales)
    with TestClient(make_app(atlas, opened(atlas, lambda: net)), BASE) as client:
        for path in ("atlas", "layers/outer", "layers/outer/units.bin", "layers/outer/histograms.bin"):
            assert client.get(f"/api/{path}").status_code == 200
        assert client.get("/api/layers/outer").json()["maps"] == []
        assert client.get("/api/layers/inner").json()["maps"]
    assert write_report(atlas, tmp_path / "report.html").stat().st_size


def test_an_upload_whose_scores_are_no_numbers_is_refused(atlas: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    behind = opened(atlas)
    monkeypatch.setattr(behind.net, "scores", lambda _: torch.tensor([[1.0, float("nan"), 0.0]]))
    with pytest.raises(UnreadableImage, match="scores are not finite") as error:
        behind.add(png(), "a.png")
    assert error.value.hint
    assert not behind.uploads


@pytest.mark.parametrize(
    ("error", "words"),
    [(SystemExit(3), "SystemExit 3"), (KeyboardInterrupt(), "KeyboardInterrupt"), (ValueError(), "ValueError")],
)
def test_a_factory_that_ends_python_leaves_the_page(atlas: Atlas, error: BaseException, words: str) -> None:
    def ends() -> convscope.Net:
        raise error

    assert opened(atlas, ends).status()["state"] == "off"
    assert opened(atlas, ends).reason == f"opening it ended with {words}"
    assert opened(atlas, lambda: None).state == "off"  # type: ignore[arg-type,return-value]


def test_the_network_opens_where_the_overview_fails(atlas: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ValueError("broken")

    monkeypatch.setattr(browsing, "overview", broken)
    behind = live.LiveNet(atlas, tiny_net)
    with TestClient(make_app(atlas, behind), BASE) as client:
        until(lambda: client.get("/api/live").json()["state"] == "on")
        assert client.get("/api/atlas").status_code == 500


def test_two_atlases_at_one_address_share_no_pictures(atlas: Atlas, tmp_path: Path) -> None:
    net = tiny_net()
    other = convscope.build(
        atlas.folder.parent / "images",
        net.with_weights({name: value + 1 for name, value in net.weights.items()}),
        tmp_path / "other",
    )
    tags = []
    for one in (atlas, other):
        with TestClient(make_app(one, opened(one, None)), BASE) as client:
            tags.append(client.get("/api/images/0/picture").headers["etag"])
    assert tags[0] != tags[1]


def test_uploads_have_names_and_the_last_used_are_kept(
    client: TestClient, atlas: Atlas, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = (client.post("/api/uploads", params={"name": name}, content=png()).json() for name in ("a", "b"))
    assert one["image"] != two["image"]
    assert [client.get(f"/api/images/{found['image']}").json()["name"] for found in (one, two)] == ["a", "b"]
    monkeypatch.setattr(live, "UPLOADS", 2)
    behind = opened(atlas)
    first, second = (behind.add(png(seed=seed), "x")[0] for seed in (0, 1))
    behind.upload(first)
    third, _ = behind.add(png(seed=2), "x")
    assert list(behind.uploads) == [first, third]
    with pytest.raises(live.Unknown):
        behind.upload(second)


def test_uploads_are_decoded_one_at_a_time(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    working, most, lock = 0, 0, threading.Lock()
    decode = live.decode

    def counted(content: bytes) -> np.ndarray:
        nonlocal working, most
        with lock:
            working += 1
            most = max(most, working)
        threading.Event().wait(0.05)
        found = decode(content)
        with lock:
            working -= 1
        return found

    monkeypatch.setattr(live, "decode", counted)
    threads = [threading.Thread(target=lambda: client.post("/api/uploads", content=png())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


@pytest.mark.parametrize("body", ['{"image": "0", "layer": "1", "\\ud800": 1}', '{"image": "0", "layer": "\\ud800"}'])
def test_half_a_character_is_refused(client: TestClient, body: str) -> None:
    answer = client.post("/api/run/activations", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["hint"]


@pytest.mark.parametrize("part", ["maps", "filters", "folds", "net"])
def test_a_manifest_without_a_part_is_broken(atlas: Atlas, tmp_path: Path, part: str) -> None:
    manifest = dict(atlas.store.manifest)
    del manifest[part]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BadAtlas, match="the manifest of"):
        convscope.open_atlas(tmp_path)


def test_files_are_drawn_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    found = convscope.filters(tiny_net(), "1")
    seen: list[bool] = []
    save: Callable[..., Path] = type(found).save
    monkeypatch.setattr(type(found), "save", lambda self, path: seen.append(DRAWING.locked()) or save(self, path))
    assert file_of(found, "npz")[:2] == b"PK"
    assert seen == [True]
    assert not drawing.DRAWING.locked()


def test_no_host_is_refused() -> None:
    with pytest.raises(BadOption, match="--host is empty") as error:
        listen("", None)
    assert error.value.hint


def test_head_is_like_get(client: TestClient) -> None:
    assert client.head("/").status_code == client.get("/").status_code
    assert client.head("/").content == b""


def test_no_label_and_an_empty_one_are_one_group(atlas: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    images = ImageList(atlas)
    labels = ["", None, "two", "", None, "two"]
    position = images.table.column_names.index("label")
    images.table = images.table.set_column(position, "label", [labels])
    found = {group["label"]: group["count"] for group in groups(images.table)}
    assert found == {None: 4, "two": 2}
    assert images.select(label="")["total"] == 4
    assert images.select(label="two")["total"] == 2


def test_a_saved_view_is_bounded_by_what_it_keeps(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    from convscope.faces.web import saving

    view = {"address": "#/net", "paths": ["api/atlas", "api/layers/1/units.bin", "api/images/0/picture"]}
    page = client.post("/api/export", json=view)
    if page.status_code == 422:
        pytest.skip("the page is not built")
    assert page.text.startswith("<!doctype html>")
    monkeypatch.setattr(saving, "LARGEST", 1000)
    answer = client.post("/api/export", json=view)
    assert (answer.status_code, "too large" in answer.json()["problem"]) == (422, True)
