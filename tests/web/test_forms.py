"""Forms and schemas are the signatures."""

from pathlib import Path
from typing import Annotated, Literal

import pytest
import torch
from pydantic import Field

from convscope import registry
from convscope.errors import BadOption
from convscope.faces.web.forms import checked_options, form_of, model_of, schema_of
from convscope.faces.web.serve import at_hand


def example(
    net: object,
    image: object,
    target: str | None = None,
    *,
    window: Annotated[int, Field(ge=1, le=64, description="side, px")] = 32,
    fill: Annotated[Literal["zero", "mean"] | None, Field(description="a colour")] = None,
    share: Annotated[float, Field(gt=0, lt=1)] = 0.5,
    count: Annotated[int, Field(ge=2)] | None = 5,
    again: bool = False,
    units: tuple[Annotated[int, Field(ge=0)], ...] = (1, 2),
    weights: Path | None = None,
    folders: tuple[Path, ...] = (),
    watch: object = None,
) -> None:
    """What it does.

    More of it.
    """


def test_a_form_is_the_signature() -> None:
    form = form_of("example", example)
    assert (form["name"], form["summary"], form["takes"]) == ("example", "What it does.", ["image", "target"])
    assert form["options"] == [
        {"name": "window", "kind": "integer", "description": "side, px", "default": 32, "minimum": 1, "maximum": 64},
        {
            "name": "fill",
            "kind": "choice",
            "description": "a colour",
            "default": None,
            "choices": ["zero", "mean"],
            "optional": True,
        },
        {"name": "share", "kind": "number", "description": "", "default": 0.5, "above": 0, "below": 1},
        {"name": "count", "kind": "integer", "description": "", "default": 5, "minimum": 2, "optional": True},
        {"name": "again", "kind": "flag", "description": "", "default": False},
        {
            "name": "units",
            "kind": "list",
            "description": "",
            "default": [1, 2],
            "items": {"kind": "integer", "minimum": 0},
        },
    ]  # neither files nor what the server gives


def test_options_are_checked_before_anything_runs() -> None:
    assert checked_options("example", example, {"window": 16, "image": "3"}) == {"window": 16}
    for given, field in (
        ({"window": 0}, "window"),
        ({"fill": "red"}, "fill"),
        ({"weights": "/etc/passwd"}, "weights"),
        ({"windw": 1}, "windw"),
    ):
        with pytest.raises(BadOption) as error:
            checked_options("example", example, given)
        assert error.value.field == field
    with pytest.raises(BadOption, match="has no option 'windw'") as error:
        checked_options("example", example, {"windw": 1})
    assert error.value.hint == "did you mean 'window'?"


def test_the_schema_names_what_is_needed() -> None:
    schema = schema_of("example", example)
    assert schema["required"] == ["image"]
    assert set(schema["properties"]) == {"image", "target", "window", "fill", "share", "count", "again", "units"}
    assert schema["properties"]["window"]["maximum"] == 64


@pytest.mark.parametrize("name", registry.TECHNIQUES)
def test_every_technique_has_a_form(name: str) -> None:
    form = form_of(name, registry.TECHNIQUES[name])
    assert form["summary"].endswith(".")
    for option in form["options"]:
        assert option["kind"] in ("integer", "number", "choice", "flag", "text", "list")
        assert option["description"], f"{name}: say what {option['name']} is, in its Field"
        model_of(name, registry.TECHNIQUES[name])(**{option["name"]: option["default"]})


def test_only_what_is_at_hand_is_opened_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert at_hand("efficientnet-lite0", False)
    assert not at_hand("torchvision:alexnet", False)  # it would be fetched
    assert at_hand("torchvision:alexnet", True)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "alexnet-owt-7be5be79.pth").write_bytes(b"")
    assert at_hand("torchvision:alexnet", False)
    assert at_hand("torchvision:alexnet@IMAGENET1K_V1", False)
    strange = ("tests.nets:explodes", "timm:hf_hub:somebody/model", "mine", "torchvision:a:b", "efficientnet-lite0\n",
               "os:system", "/etc/x", "torchvision:../x", "torchvision:nothing", "torchvision:alexnet@NONE", "")  # fmt: skip
    for name in strange:
        assert not at_hand(name, True), name
