"""Techniques as forms and as JSON schema, from their signatures: a new technique needs no line here."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, ValidationError, create_model
from pydantic.fields import FieldInfo

from convscope.errors import BadOption
from convscope.technique import refusal

SELECTED = frozenset(["image", "image_a", "image_b", "layer", "target"])  # what the page's selection gives
SUPPLIED = frozenset(["net", "watch", "atlas"])  # what the server gives; a page names no files
KINDS: Mapping[type, str] = {bool: "flag", int: "integer", float: "number", str: "text"}
Technique = Callable[..., Any]


class WrongOption(BadOption):
    """An option of a request that does not exist or has a value that it may not have; `field` names it."""

    def __init__(self, problem: str, hint: str, field: str) -> None:
        super().__init__(problem, hint)
        self.field = field


def form_of(name: str, technique: Technique) -> dict[str, Any]:
    """What a page needs to ask for a technique."""
    return {
        "name": name,
        "summary": (inspect.getdoc(technique) or name).split("\n")[0],
        "takes": [given for given in parameters(technique) if given in SELECTED],
        "options": [option_of(parameter, hint) for parameter, hint in options(technique).values()],
    }


def parameters(technique: Technique) -> dict[str, inspect.Parameter]:
    """Those of the function itself, by name."""
    return dict(inspect.signature(inspect.unwrap(technique)).parameters)


def options(technique: Technique) -> dict[str, tuple[inspect.Parameter, Any]]:
    """The keyword options that a page can set, with their types."""
    hints = get_type_hints(inspect.unwrap(technique), include_extras=True)
    return {
        name: (parameter, hints[name])
        for name, parameter in parameters(technique).items()
        if name not in SELECTED | SUPPLIED and not names_files(hints[name])
    }


def names_files(hint: Any) -> bool:
    """Whether a type lets a path in."""
    return hint is Path or any(names_files(part) for part in get_args(hint) if not isinstance(part, str | FieldInfo))


def option_of(parameter: inspect.Parameter, hint: Any) -> dict[str, Any]:
    """One option: its kind, default, choices and range, and its own words."""
    kind, notes = (get_args(hint)[0], get_args(hint)[1:]) if get_origin(hint) is Annotated else (hint, ())
    fields = [note for note in notes if isinstance(note, FieldInfo)]
    found: dict[str, Any] = {
        "name": parameter.name,
        "description": next((one.description for one in fields if one.description), ""),
        "default": None if parameter.default is inspect.Parameter.empty else plain(parameter.default),
    }
    for limit in (limit for one in fields for limit in one.metadata):
        for bound, name in (("ge", "minimum"), ("gt", "minimum"), ("le", "maximum"), ("lt", "maximum")):
            if hasattr(limit, bound):
                found[name] = getattr(limit, bound)
    if get_origin(kind) in (Union, UnionType):
        kind = next(part for part in get_args(kind) if part is not type(None))
    if get_origin(kind) is Literal:
        return found | {"kind": "choice", "choices": list(get_args(kind))}
    if get_origin(kind) in (tuple, list):
        return found | {"kind": "list"}
    return found | {"kind": KINDS.get(kind, "text")}


def plain(value: Any) -> Any:
    """A default as JSON holds it."""
    return list(value) if isinstance(value, tuple) else value


def schema_of(name: str, technique: Technique) -> dict[str, Any]:
    """The JSON schema of the body of POST /api/run/NAME."""
    schema: dict[str, Any] = model_of(name, technique).model_json_schema()
    texts = {given: {"type": "string"} for given in parameters(technique) if given in SELECTED}
    needed = [given for given in texts if parameters(technique)[given].default is inspect.Parameter.empty]
    schema["properties"] = texts | schema.get("properties", {})
    return schema | {"required": needed, "additionalProperties": False}


def model_of(name: str, technique: Technique) -> Any:
    """A pydantic model of a technique's options."""
    known: dict[str, Any] = {
        option: (hint, parameter.default) for option, (parameter, hint) in options(technique).items()
    }
    return create_model(name, __config__=ConfigDict(extra="forbid"), **known)


def checked_options(name: str, technique: Technique, given: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a request that are options, checked against the signature before anything runs; BadOption."""
    chosen = {option: value for option, value in given.items() if option not in SELECTED}
    try:
        model_of(name, technique)(**chosen)
    except ValidationError as error:
        names = [known for known in parameters(technique) if known not in SUPPLIED]
        found = refusal(name, names, error)
        raise WrongOption(found.problem, found.hint, str(error.errors()[0]["loc"][0])) from None
    return chosen
