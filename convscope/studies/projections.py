"""A unit's strongest patches, and beside each what is sent back from it to the pixels.

Zeiler & Fergus 2014, Visualizing and Understanding Convolutional Networks, figure 2 (arXiv:1311.2901); with guided
backprop: Springenberg et al. 2015, Striving for Simplicity, figure 3 (arXiv:1412.6806).
"""

from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, SkipValidation
from torch import Tensor

from convscope.errors import BadAddress, BadOption
from convscope.models.address import Address
from convscope.models.backward import RULES, Method
from convscope.models.net import Net
from convscope.models.patches import Patches, Wanted
from convscope.models.prepared import to_pixels
from convscope.store.opened import AtlasStore
from convscope.studies.exemplars import Patch, find_layer, find_unit, read_patches, without_place
from convscope.technique import SILENT, Result, Watch, checked

PAGE = 16  # units of a layer's page
SCORE = "score (logit)"  # the quantity of the output's units


@dataclass(frozen=True, eq=False)
class Projected:
    """One patch of a unit, and the signal that was sent back from it."""

    patch: Patch
    signal: NDArray[np.float32]  # 3×h×w: within the patch's input_box, at pixels in [0, 1]
    value: float  # the unit's activation there, as the network gives it now


@dataclass(frozen=True, eq=False)
class Projections(Result):
    """The strongest patches of one or several units of a layer, each with its projection to the pixels."""

    net: str
    layer: str
    method: Method
    units: tuple[int, ...]
    unit_names: tuple[str, ...]  # classes, where the layer is the output; else ""
    quantity: str  # what the values are: activation, or score (logit) of a class
    images: int  # how many images were looked at
    rows: tuple[tuple[Projected, ...], ...] = field(
        repr=False
    )  # of each unit, the strongest first; none of a silent one
    cropped: bool  # whether signals were computed from crops; they are those of the whole images all the same

    @property
    def address(self) -> str:
        """The unit or the layer, as a title."""
        return f"{self.layer}:{self.units[0]}" if len(self.units) == 1 else self.layer

    @property
    def of_classes(self) -> bool:
        """Whether the units are classes, so that values are scores, and signals begin with 1 whatever the method."""
        return self.quantity == SCORE

    def arrays(self) -> dict[str, NDArray[Any]]:
        """units (U,); of each projection its signal 3×h×w; rows, places, boxes and values of all, in their order."""
        flat = [one for row in self.rows for one in row]
        found: dict[str, NDArray[Any]] = {
            "units": np.array(self.units),
            "unit_of": np.array([unit for unit, row in zip(self.units, self.rows, strict=True) for _ in row], np.int64),
            "rows": np.array([one.patch.row for one in flat], np.int64),
            "places": np.array([one.patch.place for one in flat], np.int64).reshape(-1, 2),
            "boxes": np.array([one.patch.box for one in flat], np.float64).reshape(-1, 4),
            "input_boxes": np.array([one.patch.input_box for one in flat], np.float64).reshape(-1, 4),
            "values": np.array([one.value for one in flat], np.float32),
        }
        return found | {f"signal {number}": one.signal for number, one in enumerate(flat)}

    def lines(self) -> list[list[str]]:
        """Unit, value, place, greatest |signal| and file of every patch."""
        rows = [["unit", "value", "place", "greatest |signal|", "image"]]
        for unit, row in zip(self.units, self.rows, strict=True):
            for one in row:
                place, size = one.patch.place, float(np.abs(one.signal).max(initial=0.0))
                rows.append(
                    [str(unit), f"{one.value:.4g}", f"{place.row},{place.column}", f"{size:.3g}", one.patch.uri]
                )
        return rows


@checked
def projections(
    store: AtlasStore,
    net: Annotated[Net, SkipValidation],
    address: Annotated[str | Address, Field(description='a unit "layer:17", or a layer: a page of its units')],
    *,
    units: Annotated[
        tuple[int, ...], Field(description=f"of the layer's page; default: the first {PAGE}, without silent ones")
    ] = (),
    k: Annotated[int, Field(ge=1, description="patches of each unit")] = 9,
    method: Annotated[
        Method,
        Field(description='how signals pass rectifiers: "deconvnet", "guided_backprop", or "saliency", the gradient'),
    ] = "deconvnet",
    watch: Annotated[Watch, SkipValidation] = SILENT,
) -> Projections:
    """The patches that excite a unit most, and beside each what a deconvnet (or guided backprop) sends back from it.

    net: the one that the atlas was built with; BadOption for another one. Raises NoRule, UnknownLayer, BadAddress.
    """
    store.check_net(net.name, net.fingerprint)
    given = without_place(address)
    record = find_layer(store, given.layer)
    name, total = str(record["name"]), int(record["shape"][0])
    labels, output = store.manifest["net"]["labels"], name == store.manifest["net"]["output"]
    if given.unit is not None and units:
        raise BadOption(
            f"{address} is one unit, and units={units} are those of a page", f"ask for {name!r}, or no units"
        )
    if given.unit is not None:
        units = (find_unit(store, given)[1],)
    elif wrong := [unit for unit in units if not 0 <= unit < total]:
        raise BadAddress(f"{name} has {total} units, so {wrong[0]} is none", f"units count from 0 to {total - 1}")
    elif not units:
        alive = store.of_layer(name, "strongest/values")[:, 0] > 0
        units = tuple(int(unit) for unit in np.flatnonzero(alive | output)[:PAGE]) or tuple(range(min(PAGE, total)))
    start, _ = store.followed[name]
    kept = [read_patches(store, "strongest", start + unit, k) for unit in units]
    found = [tuple(patch for patch in row if output or patch.value) for row in kept]  # 0: nothing excites it
    layer = net.layer(name)
    patches = Patches(net, layer, RULES[method])
    wanted = [Wanted(patch.row, unit, patch.place) for unit, row in zip(units, found, strict=True) for patch in row]
    values, signals = patches.signals(wanted, lambda row: pixels_of(store, row), watch)
    pairs = iter(zip(values.tolist(), signals, strict=True))
    return Projections(
        net=net.name,
        layer=name,
        method=method,
        units=units,
        unit_names=tuple(labels[unit] if output and labels else "" for unit in units),
        quantity=SCORE if output else "activation",
        images=len(store.images),
        rows=tuple(
            tuple(Projected(patch, signal.numpy(), value) for patch, (value, signal) in zip(row, pairs, strict=False))
            for row in found
        ),
        cropped=patches.crops is not None,
    )


def pixels_of(store: AtlasStore, row: int) -> Tensor:
    """3×H×W in [0, 1]: an image of the atlas as the network saw it."""
    return to_pixels(store.pixels(row)[None])[0]
