"""Who may talk to the server, and what it lets out."""

import json

import pytest
from starlette.testclient import TestClient

from convscope.atlas import Atlas
from convscope.faces.web.app import make_app
from convscope.faces.web.guard import LARGEST, LARGEST_UPLOAD, is_loopback
from convscope.faces.web.live import LiveNet
from tests.web.conftest import BASE


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "10.0.0.5", "[bad", "localhost.evil"]
)
def test_a_foreign_host_gets_400(client: TestClient, host: str) -> None:
    answer = client.get("/api/atlas", headers={"host": host})
    assert answer.status_code == 400
    assert answer.json()["hint"] == "open the address that `convscope serve` printed"


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "LOCALHOST:1", "[::1]:8000", "127.0.0.2"])
def test_this_machine_has_many_names(client: TestClient, host: str) -> None:
    assert client.get("/api/live", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "http://127.0.0.1:9999",
        "https://localhost",
        "http://[",
        "https://127.0.0.1:8000",
        "",
    ],
)
def test_a_foreign_origin_gets_403(client: TestClient, origin: str) -> None:
    for answer in (
        client.post("/api/run/activations", json={}, headers={"origin": origin}),
        client.get("/api/atlas", headers={"origin": origin}),
    ):
        assert answer.status_code == 403


def test_the_page_itself_and_scripts_may(client: TestClient) -> None:
    assert client.get("/api/live", headers={"origin": BASE, "sec-fetch-site": "same-origin"}).status_code == 200
    assert client.get("/api/live").status_code == 200
    assert client.get("/", headers={"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}).status_code == 200
    assert (
        client.get(
            "/api/images/0/picture", headers={"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
        ).status_code
        == 403
    )


def test_every_answer_has_strict_headers(client: TestClient) -> None:
    for path in ("/", "/api/atlas", "/nowhere", "/api/images/999"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers


def test_what_is_too_large_is_refused_before_it_is_read(client: TestClient) -> None:
    answer = client.post("/api/uploads", content=b"x", headers={"content-length": str(LARGEST_UPLOAD + 1)})
    assert answer.status_code == 413
    assert "64 MB" in answer.json()["hint"]


def test_a_body_without_a_length_is_cut_off(client: TestClient) -> None:
    chunk = b"\0" * 2**20
    answer = client.post("/api/uploads", content=(chunk for _ in range(LARGEST_UPLOAD // 2**20 + 2)))
    assert answer.status_code == 413
    assert "64 MB" in answer.json()["hint"]


def test_only_images_may_be_large(client: TestClient) -> None:
    chunk = b"[" + b" " * LARGEST
    for path in ("/api/export", "/api/run/activations", "/api/jobs/0/stop"):
        assert client.post(path, content=chunk).status_code == 413
    parts = iter([b'{"image": "', b"0" * LARGEST, b'"}'])
    assert client.post("/api/run/activations", content=parts).status_code == 413
    paths = [f"api/layers/{number:0>85}" for number in range(5000)]
    assert len(json.dumps({"paths": paths})) <= LARGEST  # the longest view that can be saved


@pytest.mark.parametrize("path", ["/../../etc/passwd", "/assets/../../../../../etc/passwd", "/assets/%2e%2e/%2e%2e/__init__.py", "/assets/..%2f..%2fapp.py",
                                  "/manifest.json", "/api/layers/..%2f..%2fmanifest.json", "/api/images/..%2f..%2f..%2fetc%2fpasswd/picture", "/packs/000000"])  # fmt: skip
def test_no_file_but_the_page_is_served(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code in (400, 404)
    assert b"root:" not in answer.content


def test_elsewhere_a_token_is_asked_for(atlas: Atlas) -> None:
    app = make_app(atlas, LiveNet(atlas, None), host="0.0.0.0", token="secret")
    with TestClient(app, "http://192.168.1.7:8000", follow_redirects=False) as stranger:
        assert stranger.get("/api/atlas").status_code == 401
        assert stranger.get("/").status_code == 401
        assert stranger.get("/?token=wrong").status_code == 401
        assert stranger.get("/", headers={"cookie": f"{app.cookie}=wrong"}).status_code == 401
        assert (
            stranger.get("/api/atlas?token=secret").status_code == 401
        )  # the token belongs to the page's address only
        entered = stranger.get("/?token=secret")
        assert (entered.status_code, entered.headers["location"]) == (303, "/")
        cookie = entered.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert stranger.get("/api/atlas").status_code == 200
        assert stranger.get("/api/atlas", headers={"host": "evil.example"}).status_code == 400


def test_loopback() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "::1", "localhost", "127.3.2.1")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.0.1", "localhost.evil", "")))
