"""The live network behind the page: uploads, maps, fields, weights, techniques as jobs."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient

import convscope
from convscope.arrays import Place
from convscope.atlas import Atlas
from convscope.faces.web.app import make_app
from convscope.faces.web.jobs import JobQueue
from tests.tiny_atlas import HOSTILE_FILE, tiny_net
from tests.web.conftest import BASE, opened, release, until
from tests.web.test_browsing import unpack


def png(height: int = 50, width: int = 70, seed: int = 0) -> bytes:
    """A picture file."""
    stream = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def finished(client: TestClient, job: dict[str, object]) -> dict[str, object]:
    """The job when it has ended."""
    until(lambda: client.get(f"/api/jobs/{job['id']}").json()["state"] not in ("waiting", "running"))
    return dict(client.get(f"/api/jobs/{job['id']}").json())


def test_maps_are_the_activations(client: TestClient, atlas: Atlas) -> None:
    net = tiny_net()
    pixels = net.prepare(atlas.pixels(3)).pixels
    for layer in ("0", "1", "4", "class"):
        found = unpack(client.get("/api/maps", params={"image": "3", "layer": layer}).content)["maps"]
        expected = net.outputs(pixels, [layer])[layer][0].detach()
        np.testing.assert_array_equal(found, expected.reshape(found.shape))
    assert client.get("/api/maps?image=3&layer=nowhere").status_code == 404
    assert client.get("/api/maps?image=77&layer=1").status_code == 404
    assert client.get("/api/maps?layer=1").status_code == 422


def test_fields_are_the_receptive_boxes(client: TestClient) -> None:
    net = tiny_net()
    for layer, unit in (("1", 0), ("4", 3), ("class", 1)):
        found = unpack(client.get("/api/fields", params={"layer": layer, "unit": unit}).content)
        rows, columns = (net.layer(layer).shape[1:] or (1, 1)) if net.layer(layer).spatial else (1, 1)
        assert (len(found["rows"]), len(found["columns"])) == (rows, columns)
        for row in range(rows):
            for column in range(columns):
                place = Place(row, column) if net.layer(layer).spatial else None
                box = net.layer(layer).input_box(unit, place)
                assert (*found["rows"][row], *found["columns"][column]) == (box.top, box.bottom, box.left, box.right)
    assert client.get("/api/fields?layer=1&unit=99").status_code == 404


def test_weights_are_the_filter(client: TestClient) -> None:
    found = client.get("/api/weights?layer=4&unit=2").json()
    own = tiny_net().weights["3.weight"][2]
    assert (found["layer"], found["reads"], found["size"], found["total"]) == ("3", "1", [3, 3], 5)
    order = own.square().sum((1, 2)).argsort(descending=True).tolist()
    assert found["channels"] == order
    np.testing.assert_allclose(found["kernels"], own[order].reshape(5, 9), atol=1e-6)
    assert client.get("/api/weights?layer=1&unit=0").json()["colours"]
    assert client.get("/api/weights?layer=2&unit=0").status_code == 404


def test_an_upload_is_an_image_like_any_other(client: TestClient) -> None:
    net = tiny_net()
    answer = client.post("/api/uploads", params={"name": "<b>mine</b>.png"}, content=png())
    found = answer.json()
    assert (answer.status_code, found["name"], found["height"], found["width"]) == (200, "<b>mine</b>.png", 50, 70)
    with Image.open(io.BytesIO(png())) as picture:
        prepared = net.prepare(picture)
    with Image.open(io.BytesIO(client.get(f"/api/images/{found['image']}/picture").content)) as shown:
        np.testing.assert_array_equal(np.asarray(shown), (prepared.pixels[0].permute(1, 2, 0) * 255).round().byte())
    best = net.probabilities(prepared.pixels)[0].topk(3)
    assert [one for one, _ in found["top"]] == best.indices.tolist()
    assert client.get(f"/api/images/{found['image']}").json()["label"] is None
    maps = unpack(client.get("/api/maps", params={"image": found["image"], "layer": "1"}).content)["maps"]
    np.testing.assert_allclose(maps, net.outputs(prepared.pixels, ["1"])["1"][0].detach(), rtol=1e-5, atol=1e-5)
    assert client.get("/api/images/upload-nothing").status_code == 404


@pytest.mark.parametrize("content", [b"", b"no picture", png()[:-400], b"\x80\x04\x95pickle"])
def test_what_is_no_image_is_refused(client: TestClient, content: bytes) -> None:
    answer = client.post("/api/uploads", content=content)
    assert answer.status_code == 422
    assert answer.json()["problem"]


def test_a_bomb_is_refused(client: TestClient) -> None:
    stream = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(stream, "PNG")
    assert len(stream.getvalue()) < 1_000_000
    answer = client.post("/api/uploads", content=stream.getvalue())
    assert answer.status_code == 422
    assert "pixels" in answer.json()["problem"]


def test_a_technique_runs_as_a_job(client: TestClient, atlas: Atlas) -> None:
    answer = client.post("/api/run/activations", json={"image": 2, "layer": "1", "boost": 3})
    assert answer.status_code == 202
    job = finished(client, answer.json())
    assert (job["state"], job["technique"]) == ("done", "activations")
    assert job["title"] == f"{atlas.images['uri'][2].as_py().rsplit('/', 1)[-1]}, 1, boost = 3"
    kinds = [panel["kind"] for panel in job["panels"]]
    assert kinds == ["image", "tiles"]
    tiles = job["panels"][1]
    assert tiles["scale"]["quantity"] == "activation"
    assert "never rose above 0 on the 6 images" in tiles["caption"]
    with Image.open(io.BytesIO(client.get(f"/{tiles['picture']}").content)) as light:
        assert light.size == (2 * tiles["width"], 2 * tiles["height"])
        plain = np.asarray(light.convert("RGB"))
    dark = client.get(f"/{tiles['picture']}?dark=1").content
    other = client.get(f"/{tiles['picture']}?low=0&high=60").content
    for content in (dark, other):
        with Image.open(io.BytesIO(content)) as picture:
            assert (np.asarray(picture.convert("RGB")) != plain).any()
    assert client.get(f"/{tiles['numbers']}").json()["value"] == "activation"
    with np.load(io.BytesIO(client.get(f"/api/jobs/{job['id']}/result.npz").content)) as arrays:
        net = tiny_net()
        expected = net.outputs(net.prepare(atlas.pixels(2)).pixels, ["1"])["1"][0].detach()
        np.testing.assert_array_equal(arrays["maps"], expected)
    assert client.get(f"/api/jobs/{job['id']}/result.png").content[:4] == b"\x89PNG"
    assert client.get(f"/api/jobs/{job['id']}/result.html").text.startswith("<!doctype html>")
    assert client.get(f"/api/jobs/{job['id']}/result.exe").status_code == 422
    assert client.get(f"/api/jobs/{job['id']}/panels/9.png").status_code == 404


def test_equal_jobs_are_computed_once(client: TestClient) -> None:
    body = {"layer": "1", "shuffles": 120}
    first = finished(client, client.post("/api/run/filters", json=body).json())
    again = client.post("/api/run/filters", json={"shuffles": 120, "layer": "1"}).json()
    assert (again["id"], again["state"], again["seconds"]) == (first["id"], "done", first["seconds"])
    assert client.post("/api/run/filters", json={**body, "seed": 1}).json()["id"] != first["id"]


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"image": "0", "layer": "1", "bost": 2}, "did you mean 'boost'"),
        ({"image": "0", "layer": "1", "boost": 0}, "greater than or equal to 1"),
        ({"image": "0", "layer": "1", "scale": "loud"}, "shared"),
        ({"image": "0"}, "layer"),
        ({"layer": "1"}, "image"),
        ({"image": ["0"], "layer": "1"}, "image"),
        ({"image": "0", "layer": "1", "atlas": "/etc"}, "atlas"),
        ({"image": "0", "layer": "1", "watch": None}, "watch"),
        ({"image": "0", "layer": "1", "net": "other"}, "net"),
    ],
)
def test_wrong_options_are_named(client: TestClient, body: dict[str, object], word: str) -> None:
    answer = client.post("/api/run/activations", json=body)
    assert answer.status_code == 422
    assert word in answer.json()["problem"] + answer.json()["hint"]


def test_what_is_wrong_with_the_selection_has_its_field(client: TestClient) -> None:
    for body, field in (
        ({"image": "99", "layer": "1"}, "image"),
        ({"image": "0", "layer": "conv"}, "layer"),
        ({"image": "0"}, "layer"),
    ):
        assert client.post("/api/run/activations", json=body).json()["field"] == field


@pytest.mark.parametrize("image", ["/etc/passwd", "../../etc/passwd", "upload-x", "99", "-1", HOSTILE_FILE])
def test_an_image_is_never_a_path(client: TestClient, image: str) -> None:
    answer = client.post("/api/run/activations", json={"image": image, "layer": "1"})
    assert answer.status_code == 404


def test_unknown_techniques_layers_and_jobs(client: TestClient) -> None:
    assert client.post("/api/run/nothing", json={}).status_code == 404
    assert "activations" in client.post("/api/run/nothing", json={}).json()["hint"]
    assert client.post("/api/run/filters", json={"layer": "conv"}).status_code == 404
    assert client.get("/api/jobs/0").status_code == 404
    assert client.post("/api/run/filters", content=b"{").status_code == 422
    assert client.post("/api/run/filters", json=[1]).status_code == 422


def test_a_crash_is_an_answer_and_the_server_lives_on(client: TestClient, capfd: pytest.CaptureFixture[str]) -> None:
    job = finished(client, client.post("/api/run/crashing", json={"image": "0"}).json())
    assert job["state"] == "failed"
    assert job["problem"] == "crashing failed: RuntimeError: a fault <b>inside</b>"
    assert "terminal" in str(job["hint"])
    assert "RuntimeError" in capfd.readouterr().err
    assert client.get("/api/live").json()["state"] == "on"
    fine = finished(client, client.post("/api/run/activations", json={"image": "1", "layer": "1"}).json())
    assert fine["state"] == "done"


def test_progress_is_streamed_and_a_job_can_be_stopped(client: TestClient) -> None:
    release.clear()
    job = client.post("/api/run/patient", json={"image": "1", "layer": "1"}).json()
    seen = []
    with client.stream("GET", f"/api/jobs/{job['id']}/events") as events:
        assert events.headers["content-type"].startswith("text/event-stream")
        for line in events.iter_lines():
            if line.startswith("data: "):
                seen.append(json.loads(line[6:]))
                if seen[-1]["done"] >= 3 and seen[-1]["panels"]:
                    client.post(f"/api/jobs/{job['id']}/stop")
    assert seen[-1]["state"] == "stopped"
    running = [one for one in seen if one["state"] == "running" and one["total"]]
    assert running
    assert (running[0]["total"], running[0]["unit"]) == (1000, "steps")
    again = client.post("/api/run/patient", json={"image": "1", "layer": "1"}).json()
    assert again["state"] in ("waiting", "running")  # a stopped one is no result
    waiting = client.post("/api/run/patient", json={"image": "2", "layer": "1"}).json()
    assert client.post(f"/api/jobs/{waiting['id']}/stop").json()["state"] == "stopped"
    release.set()
    assert finished(client, again)["state"] == "done"
    assert {one["id"] for one in client.get("/api/jobs").json()} >= {again["id"], waiting["id"]}


def test_several_jobs_share_a_stream_that_ends_by_itself(client: TestClient) -> None:
    release.clear()
    first, second = (
        client.post("/api/run/patient", json={"image": image, "layer": "4"}).json()["id"] for image in ("1", "2")
    )
    seen: list[dict[str, object]] = []
    with client.stream("GET", "/api/jobs/events", params={"ids": f"{first},{second},nothing"}) as events:
        assert events.headers["content-type"].startswith("text/event-stream")
        for line in events.iter_lines():
            if line.startswith("data: "):
                seen.append(json.loads(line[6:]))
                if len(seen) == 6:
                    release.set()
    assert [one["state"] for one in seen if one["id"] == "nothing"] == ["lost"]
    for name in (first, second):
        states = [one["state"] for one in seen if one["id"] == name]
        assert (states[-1], states.count("done")) == ("done", 1)
    assert {one["state"] for one in seen if one["id"] == second} >= {"waiting", "done"}
    assert client.get("/api/jobs/events").status_code == 422
    assert (
        client.get("/api/jobs/events", params={"ids": "nothing"}).text == 'data: {"id": "nothing", "state": "lost"}\n\n'
    )


def test_a_stream_follows_a_job_that_runs_again(client: TestClient) -> None:
    release.clear()
    body = {"image": "5", "layer": "4"}
    job = client.post("/api/run/patient", json=body).json()["id"]
    seen: list[dict[str, object]] = []
    with client.stream("GET", "/api/jobs/events", params={"ids": job}) as events:
        for line in events.iter_lines():
            if line.startswith("data: "):
                seen.append(json.loads(line[6:]))
                if len(seen) == 1:  # between two beats
                    client.post(f"/api/jobs/{job}/stop")
                    client.post("/api/run/patient", json=body)
                    release.set()
    assert seen[-1]["state"] in ("done", "stopped")
    assert finished(client, {"id": job})["state"] == "done"


def test_a_preview_has_its_picture_until_the_next_one(client: TestClient) -> None:
    release.clear()
    job = client.post("/api/run/patient", json={"image": "4", "layer": "4"}).json()["id"]
    until(lambda: client.get(f"/api/jobs/{job}").json()["panels"])
    first = client.get(f"/api/jobs/{job}").json()
    until(lambda: client.get(f"/api/jobs/{job}").json()["done"] > first["done"] + 5)
    assert first["panels"][0]["picture"].endswith(".png?preview=1")
    later = client.get(f"/api/jobs/{job}").json()["panels"][0]["picture"]
    assert later.endswith(("preview=1", "preview=2"))  # one a second, though it says something 100 times a second
    release.set()
    assert "?" not in finished(client, {"id": job})["panels"][0]["picture"]  # type: ignore[index]


def test_a_listener_that_goes_away_ends_nothing(client: TestClient) -> None:
    release.clear()
    job = client.post("/api/run/patient", json={"image": "3", "layer": "1"}).json()
    with client.stream("GET", f"/api/jobs/{job['id']}/events") as events:
        next(events.iter_lines())
        release.set()
    assert finished(client, job)["state"] == "done"


def test_results_are_kept_up_to_a_bound() -> None:
    queue = JobQueue(kept=1)
    net = tiny_net()
    jobs = [
        queue.submit(
            {"technique": "filters", "seed": seed},
            "",
            lambda watch, seed=seed: convscope.filters(net, "1", seed=seed, watch=watch),
        )
        for seed in range(3)
    ]
    until(lambda: jobs[-1].state == "done" and len(queue.jobs) == 1)
    with pytest.raises(convscope.ConvscopeError, match="there is no job"):
        queue.get(jobs[0].id)
    queue.close()
    assert not queue.thread.is_alive()


def test_another_network_is_not_taken_for_the_atlas_own(atlas: Atlas) -> None:
    def other() -> convscope.Net:
        net = tiny_net()
        return net.with_weights({name: value + 1 for name, value in net.weights.items()})

    live = opened(atlas, other)
    assert live.state == "off"
    assert "is not the network of this atlas" in live.reason

    def broken() -> convscope.Net:
        raise RuntimeError("no internet")

    assert opened(atlas, broken).reason == "no internet"


def test_the_network_is_left_as_it_was(atlas: Atlas, tmp_path: Path) -> None:
    live = opened(atlas)
    before = {name: value.clone() for name, value in live.net.weights.items()}
    with TestClient(make_app(atlas, live), BASE) as client:
        finished(client, client.post("/api/run/activations", json={"image": "0", "layer": "1"}).json())
    assert all(torch.equal(before[name], value) and value.grad is None for name, value in live.net.weights.items())
