"""Techniques as forms and as JSON schema, from their signatures: a new technique needs no line here."""

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, ValidationError, create_model
from pydantic.fields import FieldInfo

from convscope.technique import refusal

SELECTED = frozenset(["image", "image_a", "image_b", "layer", "target"])  # what the page's selection gives
SUPPLIED = frozenset(["net", "watch", "atlas", "store"])  # what the server gives; a page names no files
KINDS: Mapping[type, str] = {bool: "flag", int: "integer", float: "number", str: "text"}
BOUNDS = {"ge": "minimum", "gt": "above", "le": "maximum", "lt": "below"}
Technique = Callable[..., Any]
Techniques = Mapping[str, Technique]


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
    """One option: its kind, default, choices and range, its own words, and whether it may be nothing."""
    kind, fields, optional = unwrapped(hint)
    found: dict[str, Any] = {
        "name": parameter.name,
        "description": next((one.description for one in fields if one.description), ""),
        "default": None if parameter.default is inspect.Parameter.empty else plain(parameter.default),
        **bounds(fields),
    }
    if optional:
        found["optional"] = True
    if get_origin(kind) is Literal:
        return found | {"kind": "choice", "choices": list(get_args(kind))}
    if get_origin(kind) in (tuple, list):
        item, notes, _ = unwrapped(next(iter(get_args(kind)), str))
        return found | {"kind": "list", "items": {"kind": KINDS.get(item, "text"), **bounds(notes)}}
    return found | {"kind": KINDS.get(kind, "text")}


def unwrapped(hint: Any) -> tuple[Any, list[FieldInfo], bool]:
    """A type without its notes and its None; the notes; whether it may be None."""
    fields, optional = [], False
    while get_origin(hint) in (Annotated, Union, UnionType):
        if get_origin(hint) is Annotated:
            fields += [note for note in get_args(hint)[1:] if isinstance(note, FieldInfo)]
            hint = get_args(hint)[0]
        else:
            optional = optional or type(None) in get_args(hint)
            hint = next(part for part in get_args(hint) if part is not type(None))
    return hint, fields, optional


def bounds(fields: list[FieldInfo]) -> dict[str, Any]:
    """The range of a number; what is above or below an end does not hold the end itself."""
    limits = [limit for one in fields for limit in one.metadata]
    return {name: getattr(limit, key) for limit in limits for key, name in BOUNDS.items() if hasattr(limit, key)}


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


@cache
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
        raise refusal(name, names, error) from None
    return chosen
