"""Commands made from the signatures of the registry: a new technique or study needs no line here."""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from cyclopts import Parameter
from pydantic.fields import FieldInfo

from convscope.faces.bar import Bar
from convscope.technique import Result

SAVE = Annotated[Path | None, Parameter(help="a .png, .html or .npz file; without it the numbers are printed")]
Opened = Callable[[dict[str, Any]], tuple[Any, ...]]  # the command's arguments → the function's first positionals
Printed = Callable[[Sequence[Sequence[str]]], None]


def command_of(
    function: Callable[..., Result], replaced: int, own: Sequence[inspect.Parameter], opened: Opened, printed: Printed
) -> Callable[..., None]:
    """A command with the function's options.

    The first `replaced` positionals of the function come from `opened`, which takes the command's `own` parameters.
    """
    hints = get_type_hints(inspect.unwrap(function), include_extras=True)
    kept = [p for p in list(inspect.signature(function).parameters.values())[replaced:] if p.name != "watch"]
    positionals = [p for p in kept if p.kind is not inspect.Parameter.KEYWORD_ONLY]
    options = [p for p in kept if p.kind is inspect.Parameter.KEYWORD_ONLY]

    def command(*arguments: Any, **given: Any) -> None:
        bound = signature.bind(*arguments, **given)
        bound.apply_defaults()
        values = dict(bound.arguments)
        save = values.pop("save")
        first = opened(values)
        rest = [values[p.name] for p in positionals]
        chosen = {p.name: values[p.name] for p in options}
        if "watch" in inspect.signature(function).parameters:
            with Bar(function.__name__) as bar:
                try:
                    result = function(*first, *rest, **chosen, watch=bar)
                except KeyboardInterrupt:
                    if save and isinstance(bar.shown, hints["return"]):
                        bar.say(f"what is known so far is saved in {bar.shown.save(save)}")
                    raise
        else:
            result = function(*first, *rest, **chosen)
        printed([[str(result.save(save))]] if save else result.lines())

    only = inspect.Parameter.POSITIONAL_ONLY
    own_first = [p for p in own if p.kind is only]
    own_last = [p for p in own if p.kind is not only]
    signature = inspect.Signature(
        [
            *own_first,
            *(p.replace(kind=only, annotation=plain(hints[p.name])) for p in positionals),
            *(p.replace(annotation=plain(hints[p.name]), default=typed(p.default, hints[p.name])) for p in options),
            *own_last,
            inspect.Parameter("save", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=SAVE),
        ]
    )
    command.__name__ = function.__name__
    command.__doc__ = function.__doc__
    command.__signature__ = signature  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
    return command


def plain(hint: Any) -> Any:
    """A type as the command line reads it: text for addresses, and the options' own words as help."""
    if get_origin(hint) is not Annotated:
        return text_of(hint)
    kind, *notes = get_args(hint)
    words = next((note.description for note in notes if isinstance(note, FieldInfo) and note.description), "")
    several = get_origin(kind) in (tuple, list) or None
    return Annotated[
        text_of(kind),
        Parameter(help=words, negative_iterable=(), consume_multiple=several),
    ]


def text_of(kind: Any) -> Any:
    """Text for what can be given as text, or as nothing where that is allowed; anything else as it is."""
    if get_origin(kind) not in (Union, UnionType) or str not in get_args(kind):
        return kind
    return str | None if type(None) in get_args(kind) else str


def typed(default: Any, hint: Any) -> Any:
    """A default as the command line would be given it."""
    kind = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    return str(default) if text_of(kind) is not kind and isinstance(default, int) else default
