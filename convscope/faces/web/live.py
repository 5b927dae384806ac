"""The live network behind the page: it opens while the page already shows the atlas, and says why if it cannot."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from convscope.arrays import Place
from convscope.atlas import Atlas
from convscope.data.decode import decode
from convscope.errors import BadAddress, BadOption, ConvscopeError, UnreadableImage
from convscope.models.kernels import find_kernels
from convscope.models.net import Net
from convscope.models.prepared import to_pixels
from convscope.models.wiring import INPUT, wiring
from convscope.studies.exemplars import find_layer

UPLOADS = 64  # images of a user that are kept
TOP = 5
FEEDING = 24  # units whose weights are shown


class NotLive(ConvscopeError):
    """A question to the network where there is none, or not yet."""


class Unknown(ConvscopeError):
    """An image, job or panel that the server does not have."""


@dataclass(frozen=True, eq=False)
class Upload:
    """An image that a user gave, as the network sees it."""

    name: str
    pixels: NDArray[np.uint8]  # H×W×3, of the net's own size
    height: int  # of the original
    width: int
    top: list[list[Any]]  # class and probability


class LiveNet:
    """A network that may be off, opening or on; one question at a time."""

    def __init__(self, atlas: Atlas, opened: Callable[[], Net] | None, reason: str = "", hint: str = "") -> None:
        self.atlas = atlas
        self.state, self.reason, self.hint = ("opening", "", "") if opened else ("off", reason, hint)
        self.lock = threading.Lock()  # one forward at a time: two would only share the same cores
        self.keeping = threading.Lock()  # of the uploads
        self.uploads: OrderedDict[str, Upload] = OrderedDict()  # the last used at the end
        self._net: Net | None = None
        self._opened = opened

    def open(self) -> None:
        """Opens the network; what fails is told in `reason` and `hint`."""
        if self._opened is None or self.state != "opening":
            return
        try:
            net = self._opened()
            self.atlas.store.check_net(net.name, net.fingerprint)
        except BaseException as error:  # noqa: BLE001  (whatever a user's factory does, even sys.exit, the page stays)
            words = str(getattr(error, "problem", error))
            own = words and isinstance(error, Exception)
            self.reason = words if own else f"opening it ended with {type(error).__name__} {words}".rstrip()
            self.hint, self.state = str(getattr(error, "hint", "")), "off"
            return
        self._net, self.state = net, "on"

    @property
    def net(self) -> Net:
        """The network; NotLive where there is none."""
        if self._net is None:
            words = "the network is still being opened" if self.state == "opening" else self.reason
            raise NotLive(words, self.hint or "try again in a few seconds")
        return self._net

    def status(self) -> dict[str, Any]:
        """For the page."""
        device = str(self._net.device) if self._net is not None else ""
        return {"state": self.state, "reason": self.reason, "hint": self.hint, "device": device}

    def pixels(self, image: str) -> NDArray[np.uint8]:
        """An image as the network sees it, H×W×3: a row of the atlas or an upload; Unknown."""
        return self.upload(image).pixels if image.startswith("upload-") else self.atlas.pixels(self.row(image))

    def row(self, image: str) -> int:
        """The row that a text names; Unknown."""
        if not image.isdecimal() or len(image) > 12 or int(image) >= len(self.atlas.images):
            raise Unknown(f"there is no image {image[:40]!r}", f"images are numbered 0 to {len(self.atlas.images) - 1}")
        return int(image)

    def upload(self, image: str) -> Upload:
        """An image that was uploaded since the server was started; Unknown."""
        with self.keeping:
            if image in self.uploads:
                self.uploads.move_to_end(image)
                return self.uploads[image]
        raise Unknown(f"there is no {image[:40]!r}", f"the last {UPLOADS} uploads are kept: give the image again")

    def picture(self, image: str) -> Image.Image:
        """An image with its name, as techniques take it."""
        if image.startswith("upload-"):
            name = self.upload(image).name
        else:
            name = str(self.atlas.images["uri"][self.row(image)].as_py()).rsplit("/", 1)[-1]
        picture = Image.fromarray(self.pixels(image))
        picture.filename = name  # type: ignore[attr-defined]
        return picture

    def add(self, content: bytes, name: str) -> tuple[str, Upload]:
        """Keeps an image for this run of the server. UnreadableImage, NotLive."""
        net = self.net
        picture = decode(content)
        prepared = net.prepare(picture)
        pixels = (prepared.pixels[0].permute(1, 2, 0) * 255).round().byte().cpu().numpy()
        found = Upload(name, pixels, picture.shape[0], picture.shape[1], self.predict(pixels))
        named = name.encode("utf-8", "surrogatepass")
        image = f"upload-{sha256(sha256(content).digest() + named).hexdigest()[:16]}"
        with self.keeping:
            self.uploads[image] = found
            self.uploads.move_to_end(image)
            while len(self.uploads) > UPLOADS:
                self.uploads.popitem(last=False)
        return image, found

    def predict(self, pixels: NDArray[np.uint8]) -> list[list[Any]]:
        """The most probable classes with their probabilities. UnreadableImage where scores are no numbers."""
        net = self.net
        with self.lock, torch.no_grad():
            scores = net.scores(to_pixels(pixels[None]))
        return [[unit, probability] for unit, probability in best(probabilities(scores[0]))]

    def maps(self, image: str, layer: str) -> NDArray[np.float32]:
        """(C, H, W): every map of a layer for an image; a vector as (C, 1, 1). UnknownLayer."""
        net = self.net
        net.layer(layer)
        pixels = to_pixels(self.pixels(image)[None])
        with self.lock, torch.no_grad():
            values = net.outputs(pixels, [layer])[layer][0].float().cpu().numpy()
        return values.reshape(len(values), *(values.shape[1:] or (1, 1)))

    def fields(self, layer: str, unit: int) -> dict[str, NDArray[np.int32]]:
        """What each row and each column of a unit's map sees, first and stop, px of the net's input."""
        net = self.net
        found, number, _ = net.locate(f"{layer}:{unit}")
        rows, columns = found.shape[1:] if found.spatial else (1, 1)
        place = Place if found.spatial else lambda *_: None
        tall = [found.input_box(number, place(row, 0)) for row in range(rows)]
        wide = [found.input_box(number, place(0, column)) for column in range(columns)]
        return {
            "rows": np.array([[box.top, box.bottom] for box in tall], np.int32),
            "columns": np.array([[box.left, box.right] for box in wide], np.int32),
        }

    def weights(self, layer: str, unit: int) -> dict[str, Any]:
        """The kernels of one unit, those with the greatest norms first. UnknownLayer, BadAddress without any."""
        net = self.net
        found, number, _ = net.locate(f"{layer}:{unit}")
        kernels = find_kernels(net, found.name)
        if number is None or number >= len(kernels.weights):
            raise BadAddress(f"no filter of {kernels.layer} makes {layer}:{unit}", "")
        own = kernels.weights[number].numpy()
        norms = np.sqrt(np.square(own, dtype=np.float64).sum((1, 2)))
        order = np.argsort(-norms, kind="stable")[:FEEDING]
        first = number // (len(kernels.weights) // kernels.groups) * len(own)  # of the channels of its group
        owner = net.layer(kernels.layer)
        reads = wiring(net.graph, net.layers)[owner.alias_of or owner.name]
        return {
            "layer": kernels.layer,
            "reads": self.followed(reads[0]) if len(reads) == 1 else "",
            "colours": kernels.first,
            "channels": [int(one) + first for one in order],
            "norms": [float(norms[one]) for one in order],
            "share": float(np.square(norms[order]).sum() / (np.square(norms).sum() or 1.0)),
            "total": len(own),
            "size": list(own.shape[1:]),
            "limit": float(np.abs(own).max()) or 1.0,
            "kernels": [[round(float(value), 6) for value in own[one].ravel()] for one in order],
        }

    def followed(self, name: str) -> str:
        """The followed layer whose units are what a layer's filters read; "" where there is none."""
        records, known = self.atlas.store.layers, self.atlas.store.followed
        while name != INPUT and name in records:
            record = records[name]
            if record["name"] in known:
                return str(find_layer(self.atlas.store, name)["name"])
            same = (
                len(record["inputs"]) == 1
                and records.get(record["inputs"][0], record)["shape"][0] == record["shape"][0]
            )
            if not same or record["kind"] in ("conv2d", "linear", "cat", "add"):
                return ""
            name = record["inputs"][0]
        return name if name == INPUT else ""


def probabilities(scores: torch.Tensor) -> torch.Tensor:
    """Of all classes (K,), in double precision; UnreadableImage where scores are no numbers."""
    if not bool(scores.isfinite().all()):
        raise UnreadableImage(
            "its scores are not finite: the network gives NaN or infinite ones for it",
            "builds skip such images; check the network's weights, mean and std",
        )
    return torch.softmax(scores.double().cpu(), 0)


def best(found: torch.Tensor) -> list[tuple[int, float]]:
    """The most probable classes with their probabilities."""
    top = found.topk(min(TOP, len(found)))
    return list(zip(top.indices.tolist(), top.values.tolist(), strict=True))


def need(given: dict[str, Any], name: str) -> str:
    """A text of a request's body; BadOption without it."""
    value = given.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value:
        raise BadOption(f"the body needs {name!r}, a text", '{"image": "0", "layer": "features.3"}')
    return value
