"""The promises of ARCHITECTURE.md as tests: what is listed, drawn, documented, and how large things are."""

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import convscope
from convscope import registry
from convscope.render.draw import draw
from convscope.technique import Result

ROOT = Path(__file__).parents[1]
TEXTS = {".py", ".md", ".toml", ".lock", ".txt", ".js", ".ts", ".svelte", ".json", ".html", ".css", ""}


def results() -> list[type[Result]]:
    for package in ("techniques", "studies"):
        for module in pkgutil.iter_modules([str(ROOT / "convscope" / package)]):
            importlib.import_module(f"convscope.{package}.{module.name}")
    return [one for one in leaves(Result) if one.__module__.startswith("convscope.")]


def leaves(base: type[Result]) -> list[type[Result]]:
    """The classes that something is an instance of: those without classes below them."""
    return [leaf for one in base.__subclasses__() for leaf in (leaves(one) or [one])]


def module_of(function: Callable[..., Any]) -> str:
    return inspect.unwrap(function).__module__.rsplit(".", 1)[1]


def test_every_module_of_a_technique_or_study_is_in_the_registry() -> None:
    for package, listed in (("techniques", registry.TECHNIQUES), ("studies", registry.STUDIES)):
        modules = {module.name for module in pkgutil.iter_modules([str(ROOT / "convscope" / package)])}
        known = {module_of(function) for function in listed.values()}
        assert modules == known, f"add what is in {modules ^ known} to convscope/registry.py"


@pytest.mark.parametrize("result", results(), ids=lambda result: result.__name__)
def test_every_result_can_be_drawn(result: type[Result]) -> None:
    assert draw.dispatch(result) is not draw.dispatch(object), f"add a draw case for {result.__name__}"


@pytest.mark.parametrize("name", [*registry.TECHNIQUES, *registry.STUDIES])
def test_every_technique_has_its_docs_and_its_tests(name: str) -> None:
    docs = (ROOT / "docs" / "techniques.md").read_text()
    assert re.search(rf"^## .*`{name}`", docs, re.MULTILINE), f"add a section on `{name}` to docs/techniques.md"
    module = module_of({**registry.TECHNIQUES, **registry.STUDIES}[name])
    assert list(ROOT.glob(f"tests/*/test_{module}.py")), f"add tests for {name}"


def test_every_module_says_what_it_is_and_stays_short() -> None:
    for path in (ROOT / "convscope").rglob("*.py"):
        text = path.read_text()
        assert text.startswith('"""'), f"{path} has no first line that says what it is"
        assert text.count("\n") <= 300, f"{path} holds more than one idea"


def test_every_public_name_is_there_and_documented() -> None:
    for name in convscope.__all__:
        assert getattr(convscope, name), name
        assert name == "__version__" or getattr(convscope, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = convscope.nothing
    assert set(convscope.PUBLIC) <= set(dir(convscope))


def test_errors_carry_problem_and_hint() -> None:
    error = convscope.UnknownLayer("alexnet has no layer 'conv2'", hint="did you mean 'features.3'?")
    assert isinstance(error, convscope.ConvscopeError)
    assert (error.problem, error.hint) == ("alexnet has no layer 'conv2'", "did you mean 'features.3'?")
    assert str(error) == "alexnet has no layer 'conv2'\n\nhint: did you mean 'features.3'?"


def test_import_is_light() -> None:
    """What `import convscope` loads beyond torch: nothing that is slow; the seconds are in `make bench`."""
    code = "import torch, sys; before = set(sys.modules); import convscope; print(sorted({m.split('.')[0] for m in set(sys.modules) - before}))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "convscope" in found.stdout
    for heavy in ("timm", "torchvision", "pyarrow", "matplotlib", "pydantic", "PIL"):
        assert f"'{heavy}'" not in found.stdout


def test_the_command_line_loads_no_more_than_it_needs() -> None:
    """Who asks for help does not wait for what only some commands use."""
    code = "import sys, convscope.faces.cli; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "torch" in found
    slow = {"timm", "torchvision", "torch._dynamo", "scipy.optimize", "sklearn", "openTSNE", "matplotlib", "fastapi"}
    assert not slow & set(found)


def test_no_address_of_a_registry_and_no_path_of_this_machine() -> None:
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    words = re.compile(
        "|".join(
            ("pypi" + r"\.org", "files\\.python" + "hosted", "npm" + "js\\.org", "/wo" + "rk/", "registry" + r"\.npm")
        )
    )
    for name in names:
        path = ROOT / name
        if path.suffix in TEXTS and path.is_file():
            assert not words.search(path.read_text(errors="replace")), name


def test_the_manual_of_the_command_line_is_complete() -> None:
    """Every command has its section in docs/command-line.md, and every option of it is named there."""
    from convscope.faces.cli import app

    manual = (ROOT / "docs" / "command-line.md").read_text()
    commands = [name for name in app if not name.startswith("-")]
    assert {"build", "report", "layers", "exemplars", "demo"} <= set(commands)
    for command in commands:
        section = re.search(rf"^## `convscope {command}`\n(.*?)(?=^## |\Z)", manual, re.MULTILINE | re.DOTALL)
        assert section, f"`make docs` writes the section of {command}"
        for argument in app[command].assemble_argument_collection():
            for name in argument.names:
                assert name in section[1], f"`make docs`: {name} of {command} is missing"
