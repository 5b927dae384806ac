"""A unit's strongest patches, with their receptive boxes, and beside them its middle and random directions.

Girshick et al. 2014, Rich feature hierarchies, section 3.1 and figure 4 (arXiv:1311.2524). The control: Szegedy et
al. 2014, Intriguing properties of neural networks, section 3 (arXiv:1312.6199).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, overload

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from convscope.arrays import Box, Place
from convscope.data.decode import decode
from convscope.errors import BadAddress, UnreadableImage
from convscope.models.address import OUTPUT, Address, unknown_layer
from convscope.models.labels import Labels
from convscope.models.preprocess import Placement
from convscope.store.opened import AtlasStore
from convscope.technique import Result, checked

CONTEXT = 0.35  # of the box's longer side, added around it, so that one sees what the patch is a part of
SMALLEST = 48  # px of the original: boxes of the first layers are shown within at least that much


@dataclass(frozen=True, eq=False)
class Patch:
    """One image that excites a unit: where, how much, and what the unit sees there."""

    row: int  # in atlas.images
    value: float  # the activation
    place: Place  # of the greatest activation in the unit's map
    box: Box  # what that place can see, px of the original image
    input_box: Box  # the same in px of the net's input
    label: str  # the image's label, "" where it has none
    store: AtlasStore = field(repr=False)

    @property
    def uri(self) -> str:
        """Where the image was read from."""
        return str(self.store.images["uri"][self.row].as_py())

    @property
    def box_text(self) -> str:
        """The box for reading: top, left, bottom, right."""
        return ", ".join(f"{edge:.1f}" for edge in self.box)

    def cut(self) -> tuple[NDArray[np.uint8], Box]:
        """The patch with its surroundings, and the box in it: from the original file, else as the net saw it."""
        path = self.store.original(self.row)
        if path is not None:
            try:
                return surroundings(decode(path), self.box)
            except UnreadableImage:
                pass  # the file was read once; the atlas holds its picture
        picture = self.store.pixels(self.row)
        return surroundings(picture, self.input_box.clipped(*picture.shape[:2]))


@dataclass(frozen=True, eq=False)
class Direction:
    """A random direction in the space of a layer's units: the control, with its own strongest patches."""

    number: int
    patches: tuple[Patch, ...] = field(repr=False)


@dataclass(frozen=True)
class Excited:
    """A predicted class whose images excite a unit."""

    name: str
    mean: float  # of the unit's greatest activation over the class's images
    images: int  # how many they are


@dataclass(frozen=True, eq=False)
class Exemplars(Result):
    """The patches of one unit, best first: a sequence of Patch."""

    address: str
    layer: str
    unit: int
    unit_name: str  # the class, where the layer is the output; else ""
    quantity: str  # what the values are: activation, or score (logit) of a class
    net: str
    images: int  # how many images were looked at
    patches: tuple[Patch, ...] = field(repr=False)
    middle: tuple[Patch, ...] = field(repr=False)  # around the median of the images that excite it
    middle_sample: int  # how many images the median is taken from
    directions: tuple[Direction, ...] = field(repr=False)
    classes: tuple[Excited, ...] = field(repr=False)  # what excites it, by falling mean

    def __len__(self) -> int:
        return len(self.patches)

    @overload
    def __getitem__(self, index: int) -> Patch: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Patch, ...]: ...
    def __getitem__(self, index: int | slice) -> Patch | tuple[Patch, ...]:
        return self.patches[index]

    def __iter__(self) -> Iterator[Patch]:
        return iter(self.patches)

    def lines(self) -> list[list[str]]:
        """Value, place, box on the original, and file of every patch."""
        names = ["value", "place", "box", "image"]
        return [names, *([f"{p.value:.4g}", f"{p.place.row},{p.place.column}", p.box_text, p.uri] for p in self)]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """rows (k,), values (k,), places (k, 2), boxes (k, 4) in px of the originals."""
        return {
            "address": np.asarray(self.address),
            "rows": np.array([patch.row for patch in self], np.int64),
            "values": np.array([patch.value for patch in self], np.float32),
            "places": np.array([patch.place for patch in self], np.int64).reshape(-1, 2),
            "boxes": np.array([patch.box for patch in self], np.float64).reshape(-1, 4),
            "middle_rows": np.array([patch.row for patch in self.middle], np.int64),
            "middle_values": np.array([patch.value for patch in self.middle], np.float32),
            "direction_rows": np.array([[p.row for p in one.patches] for one in self.directions], np.int64),
            "direction_values": np.array([[p.value for p in one.patches] for one in self.directions], np.float32),
        }


@checked
def exemplars(
    store: AtlasStore,
    address: str | Address,
    *,
    k: Annotated[int, Field(ge=1, description="how many patches")] = 9,
    directions: Annotated[int, Field(ge=0, description="how many random directions, as the control")] = 2,
) -> Exemplars:
    """The k patches that excite a unit most ("features.3:17", "class:pomeranian"), best first, one an image.

    Fewer where the atlas holds fewer. Beside them images from the middle of the unit's distribution, random
    directions of its layer as the control, and the predicted classes that excite it. Raises UnknownLayer, BadAddress.
    """
    layer, unit = find_unit(store, without_place(address))
    names = store.manifest["net"]["labels"]
    output = layer == store.manifest["net"]["output"]
    start, _ = store.followed[layer]
    count = store.manifest["folds"]["directions"]["count"]
    first = list(store.followed).index(layer) * count
    return Exemplars(
        f"{layer}:{unit}",
        layer,
        unit,
        names[unit] if output and names else "",
        "score (logit)" if output else "activation",
        store.manifest["net"]["name"],
        len(store.images),
        read_patches(store, "strongest", start + unit, k),
        read_patches(store, "middle", start + unit, k),
        int(store.manifest["folds"]["middle"]["sample"]),
        tuple(
            Direction(number, read_patches(store, "directions", first + number, k))
            for number in range(min(directions, count))
        ),
        excited_by(store, start + unit),
    )


def read_patches(store: AtlasStore, fold: str, position: int, k: int) -> tuple[Patch, ...]:
    """What a fold kept for one unit or direction."""
    kept = (store.array(f"{fold}/{name}")[position][:k] for name in ("rows", "values", "places", "boxes"))
    return tuple(
        make_patch(store, int(row), float(value), Place(*map(int, place)), Box(*map(float, box)))
        for row, value, place, box in zip(*kept, strict=True)
        if row >= 0
    )


def excited_by(store: AtlasStore, position: int) -> tuple[Excited, ...]:
    """The predicted classes with the greatest means, above 0."""
    names = store.manifest["net"]["labels"]
    kept = (store.array(f"classes/{name}")[position].tolist() for name in ("classes", "means", "counts"))
    return tuple(
        Excited(names[number] if names else f"class {number}", mean, images)
        for number, mean, images in zip(*kept, strict=True)
        if number >= 0 and mean > 0
    )


def make_patch(store: AtlasStore, row: int, value: float, place: Place, box: Box) -> Patch:
    """A patch with its box brought from the net's input to the original image."""
    image = {
        name: store.images[name][row].as_py()
        for name in ("height", "width", "top", "left", "row_scale", "column_scale", "label")
    }
    label = image.pop("label") or ""
    return Patch(row, value, place, Placement(**image).to_original(box), box, label, store)


def find_layer(store: AtlasStore, name: str) -> Mapping[str, Any]:
    """The record of a followed layer by any of its names, "class" being the output; UnknownLayer, BadAddress."""
    net = store.manifest["net"]
    name = net["output"] if name == OUTPUT else name
    if name not in store.layers:
        raise unknown_layer(net["name"], name, list(store.layers))
    record = store.layers[name]
    if record["name"] not in store.followed:
        raise BadAddress(
            f"the build did not follow {name}, a {record['kind']}", f"followed are {', '.join(store.followed)}"
        )
    return record


def without_place(address: str | Address) -> Address:
    """An address of a unit or a layer; BadAddress where it names a place."""
    given = Address.parse(address)
    if given.place is not None:
        hint = f'leave it out: "{replace(given, place=None)}"'
        raise BadAddress(f"{address} names a place, and each patch has its own", hint)
    return given


def find_unit(store: AtlasStore, address: Address) -> tuple[str, int]:
    """The followed layer and the unit that an address names; UnknownLayer, BadAddress."""
    record = find_layer(store, address.layer)
    name, unit = record["name"], address.unit
    if unit is None:
        raise BadAddress(f"{address} names no unit", f'say which, e.g. "{name}:0"')
    if isinstance(unit, str):
        unit = Labels(tuple(store.manifest["net"]["labels"] or ())).find(unit)
    if unit >= record["shape"][0]:
        raise BadAddress(f"{name} has {record['shape'][0]} units, so {unit} is none", "units count from 0")
    return name, unit


def surroundings(picture: NDArray[np.uint8], box: Box) -> tuple[NDArray[np.uint8], Box]:
    """A square of the picture around a box, moved inside at its edges, and the box in it."""
    height, width = picture.shape[:2]
    side = max(max(box.height, box.width) * (1 + CONTEXT), SMALLEST)
    rows, columns = span(box.top, box.bottom, side, height), span(box.left, box.right, side, width)
    cut = picture[rows[0] : rows[1], columns[0] : columns[1]]
    return cut, Box(box.top - rows[0], box.left - columns[0], box.bottom - rows[0], box.right - columns[0])


def span(first: float, stop: float, side: float, size: int) -> tuple[int, int]:
    """Whole pixels of about `side` around an interval, inside 0 … size."""
    length = min(round(side), size)
    start = min(max(round((first + stop - length) / 2), 0), size - length)
    return start, start + length
