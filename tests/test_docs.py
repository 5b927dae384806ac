"""The code blocks of README and docs run as they stand, one after the other, in a folder with the demo's data."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

import convscope
from tests.photos import cut_some

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def load(lite0: convscope.Net) -> Callable[..., convscope.Net]:
    """`convscope.load`, which opens the bundled network only once for all the blocks that ask for it."""
    real = convscope.load
    return lambda name, **options: real(name, **options) if options or name != lite0.name else lite0


@pytest.fixture(scope="module")
def workplace(lite0: convscope.Net, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small demo: two photos' regions and the atlas of the real network."""
    folder = tmp_path_factory.mktemp("docs")
    cut_some(folder / "demo" / "regions", ("chelsea", "coffee"), 6)
    atlas = convscope.build(folder / "demo" / "regions", lite0, folder / "demo" / "atlas")
    (folder / "atlas").symlink_to(atlas.folder)
    return folder


TECHNIQUES = [
    f"docs/{name}.md" for name in ("techniques", "activations", "filters", "occlusion", "gradient", "all-cnn")
]
STUDIES = ("docs/exemplars.md", "docs/vitals.md", "docs/map.md")


@pytest.mark.parametrize("page", ["README.md", *TECHNIQUES, *STUDIES])
def test_code_blocks_run(
    page: str,
    workplace: Path,
    load: Callable[..., convscope.Net],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(workplace)
    monkeypatch.setattr(convscope, "load", load)
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, page, "exec"), {})
    if page == "README.md":
        assert "cat" in capsys.readouterr().out
    for name in re.findall(r'\.save\("(.+?\.png)"\)', "".join(blocks)):
        assert (workplace / name).read_bytes()[:4] == b"\x89PNG"


def test_links_and_pictures_are_there() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"), ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md"):
        for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
            assert target.startswith("https://arxiv.org/") or (page.parent / target).exists(), f"{page.name}: {target}"


def test_pictures_of_techniques_are_there_and_small() -> None:
    """`python -m docs.generate` draws them; each is shown on a page."""
    from docs.generate import FIGURES, PARTS, STUDY_FIGURES

    pages = "".join(page.read_text() for page in (ROOT / "docs").glob("*.md"))
    for name in (*FIGURES, *STUDY_FIGURES, *PARTS):
        assert f"(pictures/{name})" in pages, name
        assert (ROOT / "docs" / "pictures" / name).stat().st_size < 250_000, name


def test_the_command_line_page_is_fresh() -> None:
    from docs.generate import command_line

    assert (ROOT / "docs" / "command-line.md").read_text() == command_line(), "run `make docs`"
