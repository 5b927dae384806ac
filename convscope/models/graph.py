"""The one picture of the network: a flat, functional ATen graph made by torch.export.

Everything else (layers, receptive fields, outputs, rules, occlusion) reads this graph.
"""

import re
import warnings
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, fx, nn
from torch.export import Dim, export
from torch.export.graph_signature import InputKind

import convscope
from convscope.errors import UnsuitableNet
from convscope.models.functional import rewrite

WRAP_HINT = (
    "Convscope reads the network's graph, so its forward must take one N×3×H×W tensor, return one N×K tensor, "
    "and not branch on the values in them. Wrap it: class Wrapped(nn.Module): "
    "def forward(self, x): return self.network(x)[0]"
)
TABLES = ("_parameters", "_buffers", "_modules")
VIEWS = (torch.ops.aten.view.default, torch.ops.aten._unsafe_view.default)
DETACH = torch.ops.aten.detach.default
ALIASES = {"clip": "clamp", "clip_": "clamp", "max.other": "maximum", "min.other": "minimum"}


@dataclass(frozen=True, eq=False)
class Graph:
    """A functional graph from weights and normalised pixels to scores; the weights are inputs of it."""

    nodes: tuple[fx.Node, ...]  # in the order of computation
    weights: Mapping[fx.Node, str]  # placeholder → name in the state
    pixels: fx.Node
    scores: fx.Node
    learnt: frozenset[str]  # the names of the weights that are parameters, not buffers or constants

    @cached_property
    def from_pixels(self) -> frozenset[fx.Node]:
        """The nodes whose value depends on the image."""
        reached = {self.pixels}
        for node in self.nodes:
            if any(source in reached for source in node.all_input_nodes):
                reached.add(node)
        return frozenset(reached)

    @cached_property
    def calls(self) -> Mapping[tuple[str, int], tuple[fx.Node, ...]]:
        """(module path, number of the call from 1) → the nodes computed in it, the root as ("", 1)."""
        found: dict[tuple[str, int], list[fx.Node]] = {}
        for node in self.nodes:
            for call in module_calls(node):
                found.setdefault(call, []).append(node)
        return {call: tuple(nodes) for call, nodes in found.items()}

    def needed(self, wanted: Iterable[fx.Node]) -> set[fx.Node]:
        """All that some nodes are computed from, weights and pixels too, these nodes among them."""
        found = set(wanted)
        for node in reversed(self.nodes):
            if node in found:
                found.update(node.all_input_nodes)
        return found

    def program(self, wanted: tuple[fx.Node, ...]) -> tuple[fx.GraphModule, tuple[str, ...]]:
        """A module (pixels, *weights) → values of the wanted nodes that computes only what they need.

        Also gives the names of the weights that it takes, in order.
        """
        needed = self.needed(wanted)
        copy = fx.Graph()
        values: dict[fx.Node, fx.Node] = {self.pixels: copy.placeholder("pixels")}
        weights = [node for node in self.weights if node in needed]
        for node in weights:
            values[node] = copy.placeholder(node.name)
        for node in self.nodes:
            if node.target is DETACH and node.args[0] in values:  # as with no_grad: gradients flow through
                values[node] = values[node.args[0]]  # type: ignore[index]
            elif node in needed and node not in values:
                values[node] = copied = copy.node_copy(node, lambda source: values[source])
                if copied.target in VIEWS:  # views hold for one memory layout only; the values are the same
                    copied.target = torch.ops.aten.reshape.default
        copy.output(tuple(values[node] for node in wanted))
        return fx.GraphModule(nn.Module(), copy), tuple(self.weights[node] for node in weights)


def module_calls(node: fx.Node) -> list[tuple[str, int]]:
    """The module calls that a node was computed in, outermost first; a path's later calls count 2, 3, …"""
    calls = []
    for key, (path, _) in node.meta.get("nn_module_stack", {}).items():
        if key.startswith("_empty_nn_module_stack"):
            continue
        again = re.search(r"@(\d+)$", key)
        calls.append((re.sub(r"@\d+$", "", path), int(again[1]) + 1 if again else 1))
    return calls


def operator_name(node: fx.Node) -> str:
    """The plain name of a node's operator, e.g. "conv2d", "relu", "batch_norm", "getitem"."""
    target = node.target
    packet = getattr(target, "overloadpacket", None)
    name = packet.__name__ if packet is not None else getattr(target, "__name__", str(target))
    if name.startswith("_native_batch_norm_legit"):
        return "batch_norm"
    return ALIASES.get(name, ALIASES.get(f"{name}.{getattr(target, '_overloadname', '')}", name))


def trace(module: nn.Module, size: tuple[int, int]) -> tuple[Graph, dict[str, Tensor]]:
    """Exports a module in eval mode for N×3×size inputs; gives the graph and the weights that it reads.

    The module is left as it was. UnsuitableNet, with the place in its code, if it cannot be exported.
    """
    tensors = [*module.parameters(), *module.buffers()]
    weight = next((tensor for tensor in tensors if tensor.is_floating_point()), torch.empty(0))
    example = torch.zeros(2, 3, *size, device=weight.device, dtype=weight.dtype)
    with torch.no_grad(), borrowed(module), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own notes mean nothing to a user of Convscope
        try:
            program = export(module, (example,), dynamic_shapes=({0: Dim("batch", min=1)},), strict=False)
            image = next(node for node in program.graph.nodes if node.name in program.graph_signature.user_inputs)
            if not rewrite(program.graph, image):
                program = program.run_decompositions({})
        except Exception as error:
            raise refusal(module, error) from error
    signature, state = program.graph_signature, {**program.state_dict, **program.constants}
    placeholders = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    weights: dict[fx.Node, str] = {}
    pixels, learnt = None, set[str]()
    for entry in signature.input_specs:
        name = getattr(entry.arg, "name", "")
        if entry.kind == InputKind.USER_INPUT:
            pixels = placeholders[name]
        elif entry.target is not None:
            weights[placeholders[name]] = entry.target
            if entry.kind == InputKind.PARAMETER:
                learnt.add(entry.target)
            if entry.kind == InputKind.CONSTANT_TENSOR:  # nothing can change it: what is_zero asks
                placeholders[name].meta["zero"] = not state[entry.target].any()
    output = next(node for node in program.graph.nodes if node.op == "output")
    results = output.args[0]
    if signature.buffers_to_mutate or signature.user_inputs_to_mutate:
        changed = [*signature.buffers_to_mutate.values(), *signature.user_inputs_to_mutate.values()]
        raise UnsuitableNet(f"the network changes its own state in eval mode: {', '.join(changed)}", WRAP_HINT)
    if pixels is None or not isinstance(results, tuple) or len(results) != 1:
        raise UnsuitableNet(f"{type(module).__name__} does not return one tensor of scores", WRAP_HINT)
    shape = tuple(results[0].meta["val"].shape)
    if len(shape) != 2:
        raise UnsuitableNet(f"{type(module).__name__} returns {len(shape)} axes where N×K scores are needed", WRAP_HINT)
    nodes = tuple(node for node in program.graph.nodes if node.op == "call_function")
    return Graph(nodes, weights, pixels, results[0], frozenset(learnt)), {
        name: state[name] for name in weights.values()
    }


@contextmanager
def borrowed(module: nn.Module) -> Iterator[None]:
    """Puts a module in eval mode, and everything back at the end, also after an exception.

    The forward assigns no attribute that stays, and the user's forward hooks do not run: they observe, and are not
    to see the exporter's tensors without values.
    """
    before = [(part, dict(vars(part)), {name: dict(vars(part)[name]) for name in TABLES}) for part in module.modules()]
    gradients = [(parameter, parameter.grad) for parameter in module.parameters()]
    module.eval()
    for part, _, _ in before:
        vars(part)["_forward_hooks"] = OrderedDict()
    try:
        yield
    finally:
        for part, attributes, tables in before:
            vars(part).clear()
            vars(part).update(attributes)
            for name, entries in tables.items():
                vars(part)[name].clear()
                vars(part)[name].update(entries)
        for parameter, gradient in gradients:
            parameter.grad = gradient


def refusal(module: nn.Module, error: Exception) -> UnsuitableNet:
    """The exporter's complaint in short: what it says first, and the last line of the network's own code."""
    message = str(error).strip()
    reason = next((line.strip() for line in message.splitlines() if line.strip()), type(error).__name__)
    places = re.findall(r'File "([^"]+)", line (\d+), in (\w+)', message)
    step = error.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        places.append((code.co_filename, str(step.tb_lineno), code.co_name))
        step = step.tb_next
    ours = [str(Path(file).parent) for file in (torch.__file__, convscope.__file__)]
    own = [place for place in places if not place[0].startswith((*ours, "<"))]
    where = f" (at {own[-1][0]}, line {own[-1][1]}, in {own[-1][2]})" if own else ""
    return UnsuitableNet(f"{type(module).__name__} cannot be exported: {reason}{where}", WRAP_HINT)
