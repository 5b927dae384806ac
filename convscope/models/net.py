"""A Net: a classifier with its preprocessing and labels, read through its graph and never touched."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor, fx, nn

from convscope.arrays import Box, Place
from convscope.errors import BadAddress, BadOption, UnsuitableNet
from convscope.models.address import OUTPUT, Address, unknown_layer
from convscope.models.devices import Device, checked_device, first_device, snapshot
from convscope.models.graph import trace
from convscope.models.labels import Labels
from convscope.models.layers import Layer, code_layer, find_layers, stage_ends, watched_layers
from convscope.models.prepared import ImageLike, Prepared, prepare
from convscope.models.preprocess import Preprocess
from convscope.models.propagate import propagate
from convscope.models.rectifiers import ceiling
from convscope.models.weights import check_finite, check_fit


class Net:
    """Your own classifier under the microscope.

    module: takes N×3×H×W, gives N×K logits. mean, std: of pixels in [0, 1]. size: (height, width) of its input.
    labels: class names in the order of the scores, or None. Works in eval mode on a snapshot of the weights, and
    leaves the module as it was. Raises UnsuitableNet, BadWeights.
    """

    def __init__(
        self,
        module: nn.Module,
        mean: Sequence[float] = (0, 0, 0),
        std: Sequence[float] = (1, 1, 1),
        size: tuple[int, int] = (224, 224),
        labels: Sequence[str] | Labels | None = None,
        name: str = "mine",
        device: Device = None,
        *,
        preprocess: Preprocess | None = None,
    ) -> None:
        three = all(isinstance(values, Sequence) and len(values) == 3 for values in (mean, std))
        if not three or any(value <= 0 for value in std):
            raise BadOption("mean and std are three numbers each, and std is above 0", "one for red, green and blue")
        if isinstance(size, int) or len(size) != 2 or min(size) < 1:
            raise BadOption(f"size is (height, width) in pixels, not {size!r}", "size=(224, 224)")
        if preprocess is not None and any(value <= 0 for value in preprocess.std):
            raise BadOption(f"std is {preprocess.std}", "it divides, so it is above 0")
        self.name = name
        self.preprocess = preprocess or Preprocess(
            (int(size[0]), int(size[1])), tuple(float(v) for v in mean), tuple(float(v) for v in std)
        )
        if not isinstance(module, nn.Module):
            raise BadOption(
                f"a Net is made from a torch.nn.Module, not a {type(module).__name__}", "load(NAME) opens one"
            )
        module = getattr(module, "_orig_mod", module)  # torch.compile's wrapper
        module = module.module if isinstance(module, nn.DataParallel) else module
        self._module: nn.Module | None = module
        self.graph, state = trace(module, self.preprocess.size)
        self._expected = {key: tuple(value.shape) for key, value in module.state_dict().items()}
        self.device = checked_device(device) if device is not None else first_device(state)
        for node in self.graph.nodes:
            if "device" in node.kwargs:
                node.update_kwarg("device", self.device)
        self._weights = snapshot(state, self.device)
        check_finite(self._weights, name)
        self.fields = propagate(self.graph, self.preprocess.size)  # what every tensor of the graph can see
        self._layers = find_layers(self.graph, self.fields, self.preprocess.size)
        self._programs: dict[tuple[fx.Node, ...], tuple[fx.GraphModule, tuple[str, ...]]] = {}
        if labels is None or isinstance(labels, Labels):
            self._labels = labels
        else:
            self._labels = Labels(tuple(str(label) for label in labels))
        if self._labels is not None and len(self._labels.names) != self.classes:
            raise UnsuitableNet(
                f"{name} has {self.classes} scores, but {len(self._labels.names)} labels were given",
                "give one label per score, in their order, or labels=None",
            )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the input, px."""
        return self.preprocess.size

    @property
    def labels(self) -> list[str] | None:
        """Class names in the order of the scores, or None."""
        return list(self._labels.names) if self._labels else None

    @property
    def classes(self) -> int:
        """How many scores it gives."""
        return int(self.graph.scores.meta["val"].shape[1])

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Every layer in the order of computation, under every name that it has."""
        return self._layers

    @property
    def watched_layers(self) -> tuple[str, ...]:
        """The layers whose units a build follows: rectified and other activations, and the output."""
        return watched_layers(self._layers, self.graph.scores)

    def ceiling(self, name: str) -> tuple[str, float] | None:
        """For a rectified layer that cuts its values off at a ceiling: the layer that feeds it, and the ceiling."""
        node = self.layer(name).node
        highest = ceiling(node)
        feeding = [layer.name for layer in self._layers if layer.node is node.args[0]] if highest is not None else []
        return (feeding[0], highest) if feeding and highest is not None else None

    @property
    def suggested_layers(self) -> tuple[str, ...]:
        """One layer per stage, from the first to the last map size."""
        return stage_ends(self.graph, self._layers)

    @property
    def output_layer(self) -> Layer:
        """The layer of the scores."""
        return next(layer for layer in self._layers if layer.node is self.graph.scores)

    @property
    def code_layer(self) -> Layer:
        """The layer that enters the classifier: its values are an image's CNN code."""
        return code_layer(self.graph, self._layers)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of weights, graph, preprocessing and labels, 16 hex digits: what results of this net are keyed by."""
        digest = hashlib.sha256(repr((self.preprocess, self._labels)).encode())
        for node in self.graph.nodes:
            named = {key: value for key, value in node.kwargs.items() if key != "device"}
            digest.update(f"{node.name}={node.target}{node.args}{named}".encode())
        for name, value in sorted(self._weights.items()):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()[:16]

    def __repr__(self) -> str:
        height, width = self.size
        return (
            f"Net({self.name!r}, {height}×{width}, {self.classes} classes, {len(self._layers)} layers, {self.device})"
        )

    @cached_property
    def _by_name(self) -> Mapping[str, Layer]:
        return {layer.name: layer for layer in self._layers} | {OUTPUT: self.output_layer}

    def layer(self, name: str) -> Layer:
        """The layer of that name ("class" is the output); UnknownLayer with near matches otherwise."""
        if name not in self._by_name:
            raise unknown_layer(self.name, name, list(self._by_name))
        return self._by_name[name]

    def locate(self, address: str | Address) -> tuple[Layer, int | None, Place | None]:
        """The layer, unit and place of an address, checked; BadAddress or UnknownLayer."""
        address = Address.parse(address)
        layer = self.layer(address.layer)
        unit, place = address.unit, address.place
        if isinstance(unit, str):
            unit = self.class_index(unit)
        if unit is not None and not 0 <= unit < layer.units:
            raise BadAddress(
                f"{layer.name} has {layer.units} units, so {unit} is none",
                f"units count from 0 to {layer.units - 1}",
            )
        if place is not None:
            rows, columns = layer.shape[1:] if layer.spatial else (1, 1)
            if place.row >= rows or place.column >= columns:
                hint = f"rows 0 to {rows - 1}, columns 0 to {columns - 1}, counted from the upper left"
                raise BadAddress(
                    f"{layer.name} has {rows}×{columns} places, so {place.row},{place.column} is none", hint
                )
        return layer, unit, place

    def class_index(self, text: str) -> int:
        """The class that a name or WordNet id stands for; BadAddress otherwise."""
        if self._labels is None:
            raise BadAddress(
                f"{self.name} has no class names, so {text!r} is none",
                'name a class by its index: "class:259"',
            )
        return self._labels.find(text)

    def class_name(self, index: int) -> str:
        """What a class is called; "class 259" where it has no name."""
        return self._labels.names[index] if self._labels else f"class {index}"

    def match_label(self, label: str | None) -> int | None:
        """The class of a data set's label, by exact name, WordNet id or index; None where none matches."""
        if label is None:
            return None
        if self._labels is None:
            return int(label) if label.isdecimal() and int(label) < self.classes else None
        return self._labels.match(label)

    def prepare(self, image: ImageLike) -> Prepared:
        """A path, PIL image, H×W×3 uint8 array or 3×H×W tensor in [0, 1], as the net sees it.

        Raises UnreadableImage, and BadOption for an array or tensor of another layout.
        """
        prepared = prepare(self.preprocess, image)
        return replace(prepared, pixels=prepared.pixels.to(self.device))

    def outputs(self, pixels: Float[Tensor, "n 3 height width"], names: Sequence[str]) -> dict[str, Tensor]:
        """{name: N×C×H×W or N×C}, the exact values at those layers for pixels in [0, 1].

        Runs only what the layers need; gradients with respect to the pixels flow if they ask for them.
        """
        if isinstance(names, str):
            raise BadOption("names is a list of layer names", f"net.outputs(pixels, [{names!r}])")
        layers = [self.layer(name) for name in names]
        wanted = tuple(dict.fromkeys(layer.node for layer in layers))
        values = dict(zip(wanted, self.values(pixels, wanted), strict=True))
        return {name: layer.ordered(values[layer.node]) for name, layer in zip(names, layers, strict=True)}

    def scores(self, pixels: Float[Tensor, "n 3 height width"]) -> Float[Tensor, "n classes"]:
        """N×3×H×W in [0, 1] → N×K logits."""
        return self.values(pixels, (self.graph.scores,))[0]

    def probabilities(self, pixels: Float[Tensor, "n 3 height width"]) -> Float[Tensor, "n classes"]:
        """N×3×H×W in [0, 1] → N×K, the softmax of the scores."""
        return self.scores(pixels).softmax(dim=1)

    def values(self, pixels: Tensor, wanted: tuple[fx.Node, ...]) -> tuple[Tensor, ...]:
        """The values of some nodes of the graph for pixels in [0, 1]."""
        if pixels.ndim != 4 or pixels.shape[1] != 3 or tuple(pixels.shape[2:]) != self.size:
            height, width = self.size
            raise BadOption(
                f"{self.name} takes pixels of N×3×{height}×{width}, not {'×'.join(map(str, pixels.shape))}",
                "net.prepare(image).pixels brings any image to that size",
            )
        program, names = self._program(wanted)
        found: tuple[Tensor, ...] = program(
            self.preprocess.normalise(pixels.to(self.device, self.graph.pixels.meta["val"].dtype)),
            *(self._weights[name] for name in names),
        )
        return found

    def _program(self, wanted: tuple[fx.Node, ...]) -> tuple[fx.GraphModule, tuple[str, ...]]:
        if wanted not in self._programs:
            self._programs[wanted] = self.graph.program(wanted)
        return self._programs[wanted]

    def receptive_box(self, address: str | Address, prepared: Prepared) -> Box:
        """The smallest box of the original image that can matter to an address, in its pixels, clipped to it.

        Where the image was resized, the resampling filter's own reach around the box is left out.
        Without a place: all that the unit can see anywhere; without a unit: all that the layer can see.
        """
        return prepared.placement.to_original(self.input_box(address))

    def input_box(self, address: str | Address) -> Box:
        """The same in pixels of the net's input; an address that sees nothing gives a box without area."""
        layer, unit, place = self.locate(address)
        return layer.input_box(unit, place)

    @property
    def weights(self) -> Mapping[str, Tensor]:
        """The snapshot of parameters and buffers that the net works with; read, do not change."""
        return self._weights

    def refresh(self) -> None:
        """Reads the module's weights again, after it was trained further; BadOption for a net made by with_weights."""
        if self._module is None:
            raise BadOption(
                "this net was made by with_weights, and no module has its weights", "call with_weights again"
            )
        state = {**dict(self._module.named_buffers()), **dict(self._module.named_parameters())}
        fresh = snapshot({name: state.get(name, value) for name, value in self._weights.items()}, self.device)
        check_finite(fresh, self.name)
        self._weights = fresh
        self.__dict__.pop("fingerprint", None)

    def with_weights(self, state: Mapping[str, Tensor]) -> "Net":
        """A sibling with other weights of the same names and shapes (a checkpoint, randomised weights).

        BadWeights lists every missing, left-over and misshapen key. The module itself is not changed.
        """
        check_fit(self._expected, state, "the state")
        check_finite(dict(state), "the state")
        return self.sibling(state)

    def sibling(self, weights: Mapping[str, Tensor]) -> "Net":
        """The same net with other values in place of some of its `weights`."""
        sibling = object.__new__(Net)
        sibling.__dict__.update(self.__dict__)
        sibling.__dict__.pop("fingerprint", None)
        sibling._module = None
        fresh = {name: weights.get(name, value).to(value.dtype) for name, value in self._weights.items()}
        sibling._weights = snapshot(fresh, self.device)
        return sibling
