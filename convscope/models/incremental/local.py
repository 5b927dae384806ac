"""Whether a step can run on windows of its inputs, and how: its rule, or none.

A step without a rule, and all that reads it, runs on whole maps: slower, never wrong. The rules of the operators are in
operators.py.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import getitem
from typing import Any, Literal

from torch import Tensor, fx

from convscope.models.graph import operator_name
from convscope.models.receptive import Field
from convscope.models.rules.call import Call
from convscope.models.steps import Step

Kind = Literal["pointwise", "slide", "reshape", "cat", "mean"]
Fields = Mapping[fx.Node, Field]
MAP = ("N", "C", "H", "W")


@dataclass(frozen=True)
class Slide:
    """A window that slides along an axis: cell o reads `kernel` cells, from o·stride − before on."""

    kernel: int  # dilation counted in
    stride: int
    before: int

    def read(self, cells: int) -> int:
        """How many cells so many cells next to each other read."""
        return (cells - 1) * self.stride + self.kernel


@dataclass(frozen=True, eq=False)
class Rule:
    """How a step runs on windows."""

    kind: Kind
    sources: tuple[fx.Node, ...]  # what it reads as windows
    slides: tuple[Slide, ...] = ()  # rows and columns, of "slide"
    outside: float = 0.0  # what stands around the map
    run: Callable[..., Any] | None = None  # in place of the step's operator


@dataclass(frozen=True, eq=False)
class Asked:
    """A step that is asked for its rule: what it reads and gives, by their fields."""

    step: Step
    call: Call  # the node's arguments by name
    sources: tuple[fx.Node, ...]
    ins: tuple[Field, ...]  # of the sources; each has rows and columns
    out: Field | None  # None where the result is no tensor with a field

    def axes(self) -> tuple[str, ...]:
        """The meaning of the first source's axes."""
        return self.ins[0].axes or ()

    def keeps_rows(self) -> bool:
        """Whether the result has rows and columns too."""
        return has_rows(self.out)


Maker = Callable[[Asked], "Rule | None"]
LOCAL: dict[Any, Maker] = {}  # operator's name, or the operator itself → its rule


def local(*names: Any) -> Callable[[Maker], Maker]:
    """Registers a rule for operators of these names."""

    def register(function: Maker) -> Maker:
        LOCAL.update(dict.fromkeys(names, function))
        return function

    return register


def find_rule(step: Step, fields: Fields, changing: frozenset[fx.Node]) -> Rule | None:
    """The rule of a step; None where it cannot run on windows. changing: what depends on the image."""
    named: list[fx.Node] = []
    fx.node.map_arg((step.arguments, step.keywords), named.append)
    sources = tuple(dict.fromkeys(node for node in named if node in changing and is_tensor(node)))
    ins = tuple(field for source in sources if (field := field_of(source, fields)) is not None)
    if not sources or len(ins) < len(sources) or not all(map(has_rows, ins)):
        return None
    name = "getitem" if step.node.target is getitem else operator_name(step.node)
    key = next((one for one in (type(step.operator), step.operator, name) if one in LOCAL), None)
    return LOCAL[key](Asked(step, Call(step.node, {}), sources, ins, field_of(step.node, fields))) if key else None


def field_of(node: fx.Node, fields: Fields) -> Field | None:
    """A tensor's field; of several tensors that of the first that is read."""
    if node in fields:
        return fields[node]
    return next((fields[user] for user in node.users if user.target is getitem and user in fields), None)


def has_rows(field: Field | None) -> bool:
    """Whether rows and columns are axes of their own."""
    return field is not None and field.axes is not None and field.axes.count("H") == field.axes.count("W") == 1


def is_map(node: fx.Node, fields: Fields) -> bool:
    """Whether a tensor has images, channels, rows and columns, in any order, and nothing else."""
    return node in fields and sorted(fields[node].axes or ()) == sorted(MAP)


def is_tensor(node: fx.Node) -> bool:
    """Whether a node's value is a tensor, or several."""
    return isinstance(node.meta.get("val"), Tensor | tuple | list)


def pointwise(asked: Asked, holds: bool) -> Rule | None:
    """The rule of an operator that makes each row and column from that row and column of its inputs alone."""
    return Rule("pointwise", asked.sources) if holds and asked.keeps_rows() else None


def sliding(asked: Asked, slides: Sequence[Slide], run: Callable[..., Any], outside: float = 0.0) -> Rule | None:
    """The rule of a window over the rows and columns of N×C×H×W; run: the operator without its padding."""
    plain = asked.out is not None and asked.out.axes == MAP and all(field.axes == MAP for field in asked.ins)
    return Rule("slide", asked.sources, tuple(slides), outside, run) if plain else None
