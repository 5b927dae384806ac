"""Ctrl-C ends the server at once and without a trace, whatever runs."""

import subprocess
import sys
import time
from pathlib import Path
from threading import Thread
from typing import Any

import requests

from convscope.atlas import Atlas
from tests.browser.served import Served

PROMPT = 4.0  # seconds, on a busy machine
DEAF = """
import sys, torch
from convscope import open_atlas, registry
from convscope.faces.cli import words
from convscope.faces.web.live import LiveNet
from convscope.faces.web.serve import serve
from convscope.models.net import Net
from convscope.technique import checked
from tests.tiny_atlas import tiny_net

@checked
def deaf(net: Net, image: object) -> object:
    values = torch.rand(700, 700)
    while True:
        values = (values @ values).softmax(1)

registry.TECHNIQUES["deaf"] = deaf
atlas = open_atlas(sys.argv[1])
serve(atlas, LiveNet(atlas, tiny_net), browser=False, say=words)
"""


class Deaf(Served):
    """A server with a technique that does not listen."""

    def __init__(self, atlas: Path) -> None:
        command = [sys.executable, "-c", DEAF, str(atlas)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()
        assert self.address.startswith("http://"), self.process.communicate()[1]


def running(address: str, technique: str, body: dict[str, Any]) -> str:
    """The id of a job that has begun."""
    end = time.monotonic() + 60
    while requests.get(f"{address}api/live", timeout=30).json()["state"] == "opening":
        assert time.monotonic() < end
        time.sleep(0.05)
    job = requests.post(f"{address}api/run/{technique}", json=body, timeout=30).json()
    assert "id" in job, job
    while requests.get(f"{address}api/jobs/{job['id']}", timeout=30).json()["state"] == "waiting":
        assert time.monotonic() < end
        time.sleep(0.05)
    return str(job["id"])


def test_neither_a_job_that_does_not_listen_nor_a_listener_keeps_the_server(atlas: Atlas) -> None:
    with Deaf(atlas.folder) as server:
        job = running(server.address, "deaf", {"image": "0"})
        waiting = requests.post(f"{server.address}api/run/deaf", json={"image": "1"}, timeout=30).json()
        assert waiting["state"] == "waiting"
        lines: list[str] = []

        def listen() -> None:
            address = f"{server.address}api/jobs/events?ids={job},{waiting['id']}"
            with requests.get(address, stream=True, timeout=30) as told:
                lines.extend(line.decode() for line in told.iter_lines())

        listener = Thread(target=listen)
        listener.start()
        time.sleep(0.3)
        began = time.monotonic()
        code, said = server.end()
        assert time.monotonic() - began < PROMPT
        assert (code, said.split("\n")[-2]) == (0, "ended")
        assert "Traceback" not in said
        listener.join()  # the stream ended in good order
        assert any(line.startswith("data: ") for line in lines)
