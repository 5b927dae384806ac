"""Every technique and study as a command: options from its signature, help, pictures and tables, exit codes."""

import inspect
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convscope.faces.cli import app
from convscope.registry import STUDIES, TECHNIQUES
from tests.faces.commands import run_here

NET = ("--net", "tests.nets:small_classifier")


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("photos") / "noise.png"
    small = np.random.default_rng(0).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    Image.fromarray(small).resize((250, 240), Image.Resampling.BICUBIC).save(file)
    return file


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command in this process."""
    done = run_here(capsys, *arguments)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("name", TECHNIQUES)
def test_a_technique_is_a_command_with_its_positionals_and_options(name: str) -> None:
    command = app[name.replace("_", "-")]
    parameters = list(inspect.signature(TECHNIQUES[name]).parameters.values())
    assert parameters[0].name == "net"
    arguments = [argument.names[0] for argument in command.assemble_argument_collection()]
    positionals = [p.name.upper() for p in parameters[1:] if p.kind is not p.KEYWORD_ONLY]
    options = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "watch"]
    assert arguments[: len(positionals)] == positionals
    own = ["net", "weights", "pretrained", "device", "save"]
    assert arguments[len(positionals) :] == [f"--{option.replace('_', '-')}" for option in (*options, *own)]


@pytest.mark.parametrize("name", [*TECHNIQUES, *STUDIES])
def test_help_names_every_option_and_what_it_is(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, name.replace("_", "-"), "--help")
    assert code == 0
    assert (inspect.getdoc({**TECHNIQUES, **STUDIES}[name]) or "nothing").split()[0] in out
    for argument in app[name.replace("_", "-")].assemble_argument_collection():
        assert argument.names[0] in out
        if argument.names[0].startswith("--"):
            assert argument.parameter.help, f"{name}: {argument.names[0]} does not say what it is"


def test_activations_as_table_and_as_picture(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, words = run(capsys, "activations", photo, "2", *NET)
    assert code == 0, words
    rows = [line.split("\t") for line in out.splitlines()]
    assert rows[0] == ["unit", "maximum", "zeros", "state"]
    assert [row[0] for row in rows[1:]] == [str(unit) for unit in range(6)]
    for suffix, start in ((".png", b"\x89PNG"), (".html", b"<!doctype"), (".npz", b"PK")):
        target = tmp_path / f"maps{suffix}"
        options = ("--units", "4", "1", "--scale", "map", "--boost", "2", "--save", target)
        code, out, words = run(capsys, "activations", photo, "2", *NET, *options)
        assert (code, out) == (0, f"{target}\n"), words
        assert target.read_bytes().startswith(start)
    code, out, _ = run(capsys, "activations", photo, "2", *NET, "--units", "4", "1", "--device", "cpu")
    assert [line.split("\t")[0] for line in out.splitlines()] == ["unit", "4", "1"]


def test_random_weights_and_weights_of_a_file(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from safetensors.torch import save_file

    from tests.nets import small_classifier

    state = small_classifier().state_dict()
    state["0.weight"] = state["0.weight"] * 0
    save_file(state, tmp_path / "zero.safetensors")
    plain = run(capsys, "filters", "0", *NET)[1]
    zero = run(capsys, "filters", "0", *NET, "--weights", tmp_path / "zero.safetensors")[1]
    assert plain.splitlines()[0] == zero.splitlines()[0]
    assert [line.split("\t")[-1] for line in zero.splitlines()[1:]] == ["0"] * 6
    code, _, words = run(
        capsys, "activations", photo, "features.0", "--net", "torchvision:squeezenet1_1", "--no-pretrained"
    )
    assert code == 0, words


def test_filters_tell_how_far_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "filters.png"
    code, out, words = run(capsys, "filters", "2", *NET, "--shuffles", "120", "--save", target)
    assert (code, out) == (0, f"{target}\n")
    assert "filters: 240 of 240 draws" in words
    assert target.read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("activations", "PHOTO", "22"), 2, "has no layer '22'"),
        (("activations", "PHOTO", "conv2"), 2, "lists them all"),
        (("activations", "no.png", "2"), 1, "no such file"),
        (("activations", "PHOTO"), 2, "LAYER"),
        (("activations",), 2, "IMAGE"),
        (("activations", "PHOTO", "2", "--boost", "0.5"), 2, "boost is 0.5"),
        (("activations", "PHOTO", "2", "--boost", "much"), 2, "--boost"),
        (("activations", "PHOTO", "2", "--scale", "both"), 2, "both"),
        (("activations", "PHOTO", "2", "--boots", "2"), 2, "--boots"),
        (("activations", "PHOTO", "2", "--units", "6"), 2, "2 has 6 units"),
        (("activations", "PHOTO", "2", "--atlas", "nowhere"), 1, "nowhere is no atlas"),
        (("activations", "PHOTO", "2", "--save", "maps.jpg"), 2, "name the file .png, .html or .npz"),
        (("filters", "7"), 2, "no filters make 7"),
        (("filters", "2", "--shuffles", "3"), 2, "shuffles is 3"),
    ],
)
def test_wrong_use_is_2_and_failed_work_is_1(
    arguments: tuple[str, ...], code: int, words: str, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(photo) if argument == "PHOTO" else argument for argument in arguments]
    found, out, said = run(capsys, *given, *NET)
    assert found == code, said
    assert words in said
    assert out == ""


def test_near_layers_are_suggested(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, words = run(capsys, "activations", photo, "bn11")
    assert code == 2
    assert "did you mean 'bn1'" in words
