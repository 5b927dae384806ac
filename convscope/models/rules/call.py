"""One node with its arguments by name, and the register of rules."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, fx

from convscope.models.receptive import Field

Rule = Callable[["Call"], "Field | list[Field] | None"]  # None: this call is not followed
RULES: dict[str, Rule] = {}


class Call:
    """One node with its arguments by name: fields where they are tensors."""

    def __init__(self, node: fx.Node, known: Mapping[fx.Node, Any]) -> None:
        self.node = node
        self.known = known
        schema = getattr(node.target, "_schema", None)
        self.arguments: dict[str, Any] = {}
        for position, argument in enumerate(schema.arguments if schema else ()):
            default = argument.default_value if argument.has_default_value() else None
            given = node.args[position] if position < len(node.args) else node.kwargs.get(argument.name, default)
            self.arguments[argument.name] = self.resolve(given)

    def resolve(self, value: Any) -> Any:
        """Nodes replaced by their fields, also inside lists."""
        if isinstance(value, fx.Node):
            return self.known.get(value)
        return [self.resolve(item) for item in value] if isinstance(value, list | tuple) else value

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    @property
    def input(self) -> Field:
        """The first tensor argument."""
        field = next(iter(self.arguments.values()))
        assert isinstance(field, Field)
        return field

    @property
    def fields(self) -> list[Field]:
        """All tensor arguments."""
        return [f for v in self.arguments.values() for f in (v if isinstance(v, list) else [v]) if isinstance(f, Field)]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the (first) result for one image."""
        value = self.node.meta["val"]
        return shape_of(value if isinstance(value, Tensor) else value[0])

    def pair(self, name: str, count: int = 2) -> list[int]:
        """An argument with one number per spatial axis, also where it was given once for all."""
        values = self[name]
        values = list(values) if isinstance(values, list | tuple) else [values]
        return values * count if len(values) == 1 else values


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Registers a rule for operators of these names."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return register


def shape_of(value: Tensor) -> tuple[int, ...]:
    """The shape for one image: 1 for the batch axis, 0 for an axis that mixes the batch with something else."""
    sizes: Sequence[Any] = tuple(value.shape)
    return tuple(
        size if isinstance(size, int) else int(axis == 0 and size.node.expr.is_Symbol)
        for axis, size in enumerate(sizes)
    )


def joint_axes(fields: Sequence[Field], rank: int) -> tuple[str, ...] | None:
    """The axes that all inputs of full rank agree on."""
    known = {field.axes for field in fields if field.axes is not None and len(field.shape) == rank}
    return known.pop() if len(known) == 1 else None
