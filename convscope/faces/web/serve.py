"""Starts the server: a free port, the network in the background, a browser, and a clean end at Ctrl-C."""

import os
import re
import secrets
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType

import uvicorn

from convscope.atlas import Atlas
from convscope.errors import BadOption
from convscope.faces.web.app import make_app
from convscope.faces.web.guard import is_loopback
from convscope.faces.web.jobs import JobQueue
from convscope.faces.web.live import LiveNet
from convscope.models.net import Net

PATIENCE = 2  # seconds that open connections have when the server ends
BUNDLED = re.compile("efficientnet-lite[0-2]")


def serve(
    atlas: Atlas,
    live: LiveNet,
    *,
    note: str = "",
    host: str = "127.0.0.1",
    port: int | None = None,
    browser: bool = True,
    say: Callable[[str], None] = print,
) -> None:
    """Serves until Ctrl-C. Prints the address on stdout. BadOption for a port that is taken or a host that is none."""
    token = "" if is_loopback(host) else secrets.token_urlsafe(24)
    listening = listen(host, port)
    address = address_of(host, listening.getsockname()[1], token)
    before, queue = threading.enumerate(), JobQueue()
    app = make_app(atlas, live, note=note, host=host, token=token, queue=queue)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=PATIENCE,
        lifespan="on",
    )  # fmt: skip
    server = Ending(config, queue.ended)
    sys.stdout.write(f"{address}\n")
    sys.stdout.flush()
    say("Ctrl-C ends it.")
    if browser:
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listening])
    say("ended")
    if any(thread.is_alive() for thread in threading.enumerate() if thread not in before):
        # a job, or the opening of a network, that does not listen: Python would abort while torch still computes
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


class Ending(uvicorn.Server):
    """Says that it ends before it waits for open connections, since streams of progress would keep it waiting."""

    def __init__(self, config: uvicorn.Config, ended: threading.Event) -> None:
        super().__init__(config)
        self.ended = ended

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """At Ctrl-C and where the process is asked to end."""
        self.ended.set()
        super().handle_exit(sig, frame)


def listen(host: str, port: int | None) -> socket.socket:
    """A socket on the port, or on a free one."""
    if not host:
        raise BadOption(
            "--host is empty", "127.0.0.1 is this machine alone, 0.0.0.0 every network that it is in, with a token"
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # named TCP, asyncio turns Nagle's delay off; with it every answer on an open connection would wait for 40 ms
    found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port or 0))
        found.listen(128)  # who comes while the server starts waits
    except (OSError, OverflowError) as error:
        found.close()
        where = f"{host}:{port}" if port else host
        hint = "leave --port out for a free one" if port else "--host 127.0.0.1 is this machine alone"
        raise BadOption(f"cannot listen on {where}: {getattr(error, 'strerror', None) or error}", hint) from error
    return found


def address_of(host: str, port: int, token: str) -> str:
    """What to open; for every address of this machine its name."""
    name = socket.gethostname() if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}/" + (f"?token={token}" if token else "")


def live_net(
    atlas: Atlas, net: str | None, weights: Path | None, pretrained: bool, device: str | None, off: bool = False
) -> LiveNet:
    """The network behind the page: the one that is given, else the atlas's own where it is at hand.

    A name in an atlas is data: a factory, and anything that would have to be fetched, has to be given.
    """
    from convscope.models.load import load

    if off:
        return LiveNet(atlas, None, "the page was started without a network", "leave --no-live out")
    name = net or own_net(atlas, weights is not None or not pretrained)
    if name is None:
        built = str(atlas.store.manifest["net"]["name"])
        given = built if built.startswith(("torchvision:", "timm:")) else "NAME"
        return LiveNet(
            atlas, None, f"the network {built!r} was not given", f"convscope serve {atlas.folder.name} --net {given}"
        )

    def opened() -> Net:
        return load(name, weights=weights, pretrained=pretrained, device=device)

    return LiveNet(atlas, opened)


def own_net(atlas: Atlas, local: bool) -> str | None:
    """The name of the atlas's own network where it is at hand."""
    built = str(atlas.store.manifest["net"]["name"])
    return built if at_hand(built, local) else None


def at_hand(name: str, local: bool) -> bool:
    """Whether a network can be opened by its name without running or fetching anything of a stranger's.

    Bundled ones can; torchvision's where their weights were fetched before, or are `local`: those of a file, or random.
    """
    if BUNDLED.fullmatch(name):
        return True
    found = re.fullmatch(r"torchvision:(\w+)(?:@(\w+))?", name)
    if found is None:
        return False
    import torch
    from torchvision import models

    model, weights = found.groups()
    if model not in models.list_models(module=models):
        return False
    choices = models.get_model_weights(model)
    record = choices.__members__.get(weights) if weights else choices.DEFAULT
    return record is not None and (
        local or (Path(torch.hub.get_dir()) / "checkpoints" / Path(record.url).name).exists()
    )
